"""A library of defects on disk: patches in an SQLite file of ASE's database, searched by similarity."""

import dataclasses
import os
from pathlib import Path
from typing import Any

import numpy as np

from tusi.errors import InputError
from tusi.io.materials import import_materials
from tusi.structure.defects.patches import DefectPatch, PatchMatch, compare_patches
from tusi.structure.defects.table import DefectKind

FORMAT, VERSION = "tusi-defect-patch", 1
"""What a row of the database says it holds."""


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class LibraryMatch:
    """One entry of a library, and how alike it is to what was searched for."""

    number: int
    patch: DefectPatch
    match: PatchMatch


class DefectLibrary:
    """Patches of defects in one SQLite file, which any ASE can open.

    Each row holds the patch as `ase.Atoms` (seen along z; the defect at the origin), its kind and label as keys, and
    the exact numbers as data. Needs the extra `materials`.

    Parameters
    ----------
    path
        The file, ending in .db; made at the first `add`.

    Raises
    ------
    InputError
        ASE is not installed, or the name ends otherwise.
    """

    def __init__(self, path: str | os.PathLike) -> None:
        self.path = Path(path)
        if self.path.suffix != ".db":
            raise InputError("path", expected="a name that ends in .db", got=self.path.name)
        self._ase = import_materials("ase")
        self._database: Any = import_materials("ase.db").connect(str(self.path), type="db")

    def __repr__(self) -> str:
        return f"DefectLibrary({str(self.path)!r})"

    def __len__(self) -> int:
        return int(self._database.count(format=FORMAT)) if self.path.exists() else 0

    def add(self, patch: DefectPatch) -> int:
        """Store a patch and return its number.

        Parameters
        ----------
        patch
            What `cut_patch` returned, usually with a label.
        """
        best = patch.species_probability.argmax(axis=1) if patch.species else np.zeros(len(patch), int)
        names = [patch.species[k] for k in best] if patch.species else ["X"] * len(patch)
        numbers = import_materials("ase.data").atomic_numbers
        position = np.column_stack([patch.offset[:, 1], -patch.offset[:, 0], np.zeros(len(patch))])
        atoms = self._ase.Atoms([name if name in numbers else "X" for name in names], positions=position)
        fields = {field.name: getattr(patch, field.name) for field in dataclasses.fields(patch)}
        data = {key: value.tolist() if isinstance(value, np.ndarray) else value for key, value in fields.items()}
        keys = {"format": FORMAT, "version": VERSION, "kind": DefectKind(patch.kind).name.lower()}
        return int(self._database.write(atoms, data=data, label=patch.label or "unnamed", **keys))

    def patch(self, number: int | np.integer) -> DefectPatch:
        """Return the patch of this number.

        Raises
        ------
        InputError
            There is none.
        """
        rows = list(self._database.select(id=int(number))) if self.path.exists() else []
        if not rows:
            raise InputError("number", expected=f"one of the {len(self)} entries", got=str(number))
        return _patch_of(rows[0])

    def search(
        self, patch: DefectPatch, *, rng: np.random.Generator, n_best: int = 5, any_kind: bool = False
    ) -> list[LibraryMatch]:
        """Return the entries that are most like a patch, the most probable first.

        Parameters
        ----------
        patch
            What to look for.
        rng
            Draws the noise for the p-values.
        n_best
            How many entries to return.
        any_kind
            Compare with entries of other kinds too.
        """
        if n_best < 1:
            raise InputError("n_best", expected="one or more", got=str(n_best))
        if not self.path.exists():
            return []
        keys = {"format": FORMAT} if any_kind else {"format": FORMAT, "kind": DefectKind(patch.kind).name.lower()}
        found = []
        for row in self._database.select(**keys):
            entry = _patch_of(row)
            found.append(LibraryMatch(number=int(row.id), patch=entry, match=compare_patches(patch, entry, rng=rng)))
        found.sort(key=lambda one: (-one.match.p_value, one.match.n_unmatched, one.match.distance))
        return found[:n_best]


def _patch_of(row: Any) -> DefectPatch:
    """Return the patch that a row of the database holds."""
    if row.get("version", VERSION) > VERSION:
        raise InputError("path", expected=f"entries of version {VERSION} or older", got=f"version {row.version}")
    data = dict(row.data)
    n_atoms = len(data["offset"])
    data["offset"] = np.array(data["offset"], float).reshape(n_atoms, 2)
    data["species"] = tuple(data["species"])
    data["species_probability"] = np.array(data["species_probability"], float).reshape(n_atoms, len(data["species"]))
    return DefectPatch(**data)
