"""From local structure to a table of causes: what sits on and around each site, and how the lattice is deformed."""

import dataclasses
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int

from tusi.causal import CausalTable, Knowledge
from tusi.data import Atoms, Lattice
from tusi.errors import InputError
from tusi.inference.spatial import Layout
from tusi.structure.neighbourhoods import Neighbourhoods
from tusi.study.structure import ImageStructure

COMPOSITION = "composition"
"""Fraction of the counted species in the whole image: one sample an image."""

FEWEST_ROWS = 50
"""Complete neighbourhoods that an image must have."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class SiteVariables:
    """Variables on the sites of images, and what is known of them before looking.

    Attributes
    ----------
    table
        One row for each site whose neighbours are all there.
    knowledge
        Composition comes first, then which species sit where, then how the lattice is deformed.
    meaning
        What each variable is, in words.
    notes
        Images that were left out, and why.
    """

    table: CausalTable
    knowledge: Knowledge
    meaning: dict[str, str]
    notes: tuple[str, ...]


def site_variables(images: Sequence[ImageStructure], *, species: str | None = None) -> SiteVariables:
    """Gather causal variables on every site of all images whose lattices are of one kind.

    Of the ring of neighbours of a site, the uniform deformation is fitted; `cell_area` and `shear` are those of the
    fit, `distortion` is what the neighbours deviate from it. Squared lengths are less what errors of the positions add
    to them, so that a dark column, whose position is known less well, does not look more distorted. The joint errors
    of these three, which come from the same positions, are carried along. Lengths are relative to the image's own
    lattice unless the scale is known.

    Numbers of a species are expectations over its probabilities. Such a value errs independently of itself (Berkson),
    which does not weaken its effects: it carries no error.

    Parameters
    ----------
    images
        Local structure of each image.
    species
        Species that is counted; `None` takes the last. Without several species the intensity of the column stands for
        the chemistry.

    Raises
    ------
    InputError
        No image has enough complete neighbourhoods.

    Examples
    --------
    >>> site_variables([])
    Traceback (most recent call last):
    tusi.errors.InputError: `images`: expected neighbourhoods in at least one image; got none.
    """
    notes: list[str] = []
    usable = _alike(images, notes)
    if not usable:
        raise InputError("images", expected="neighbourhoods in at least one image", got="; ".join(notes) or "none")
    names = usable[0][0].atoms.species
    several = len(names) > 1 and all(one.atoms.species == names for one, _ in usable)
    counted = species or (list(names)[-1] if several else None)
    if counted is not None and counted not in names:
        raise InputError("species", expected=f"one of {', '.join(names)}", got=repr(counted))
    parts = [_of_image(one, hoods, counted) for one, hoods in usable]
    rows = np.repeat(np.arange(len(parts)), [len(part.index) for part in parts])
    table = CausalTable.of(
        {name: np.concatenate([part.columns[name] for part in parts]) for name in parts[0].columns},
        layout=Layout.of_lattice(np.concatenate([part.index for part in parts]), rows),
        units=parts[0].units,
        image_names=[one.name for one, _ in usable],
    )
    table = _with_places(table, parts, rows)
    scaled = usable[0][1].length_unit == "angstrom"
    return SiteVariables(
        table=table, knowledge=_knowledge(table, counted), meaning=_meaning(counted, scaled=scaled), notes=tuple(notes)
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Part:
    """The rows of one image."""

    columns: dict[str, np.ndarray]
    units: dict[str, str]
    error: Float[np.ndarray, "3 3"]
    index: Int[np.ndarray, "row 2"]
    position: Float[np.ndarray, "row 2"]


_DEFORMED = ("cell_area", "shear", "distortion")


def _alike(images: Sequence[ImageStructure], notes: list[str]) -> list[tuple[ImageStructure, Neighbourhoods]]:
    """Return images with enough complete neighbourhoods of the first one's kind."""
    out: list[tuple[ImageStructure, Neighbourhoods]] = []
    for one in images:
        hoods = one.neighbourhoods
        n_complete = int(hoods.complete.sum()) if hoods is not None else 0
        if hoods is None or n_complete < FEWEST_ROWS:
            notes.append(f"{one.name}: left out with {n_complete} complete neighbourhoods")
        elif out and (hoods.n_slots, hoods.length_unit) != (out[0][1].n_slots, out[0][1].length_unit):
            notes.append(f"{one.name}: left out, its lattice or unit of length differs from that of {out[0][0].name}")
        else:
            out.append((one, hoods))
    return out


def _of_image(image: ImageStructure, hoods: Neighbourhoods, counted: str | None) -> _Part:
    """Return the variables of one image."""
    atoms = image.atoms
    kept = hoods.complete & np.isfinite(hoods.covariance(atoms)).all(axis=(1, 2)) if _errors_known(atoms) else (
        hoods.complete
    )  # fmt: skip
    hoods = hoods[kept]
    index, there = _lattice_index(image.lattice, hoods)
    hoods = hoods[there]
    deformed, error = _deformation(hoods, atoms)
    chemistry, units = _chemistry(atoms, hoods, counted)
    scaled = hoods.length_unit == "angstrom"
    return _Part(
        columns={**chemistry, **dict(zip(_DEFORMED, deformed.T, strict=True))},
        units={**units, "cell_area": "angstrom^2" if scaled else "1"},
        error=error,
        index=index[there],
        position=hoods.position,
    )


def _errors_known(atoms: Atoms) -> bool:
    return bool(np.isfinite(atoms.covariance).all(axis=(1, 2)).mean() > 0.5)


def _lattice_index(lattice: Lattice, hoods: Neighbourhoods) -> tuple[np.ndarray, np.ndarray]:
    """Return (row, column) of the centres, and which of them lie in the largest domain."""
    site = np.full(max(lattice.atom.max(initial=-1), hoods.centre.max(initial=-1)) + 1, -1)
    filled = np.flatnonzero(lattice.atom >= 0)
    site[lattice.atom[filled]] = filled
    own = site[hoods.centre]
    largest = np.bincount(lattice.domain).argmax() if len(lattice.domain) else 0
    return lattice.index[own, :2], (own >= 0) & (lattice.domain[own] == largest)


def _chemistry(
    atoms: Atoms, hoods: Neighbourhoods, counted: str | None
) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Return the columns that say which species sit where."""
    if counted is None:
        return {"brightness": atoms.intensity[hoods.centre]}, {"brightness": "signal pixel^2"}
    probability = atoms.species_probability[:, atoms.species.index(counted)]
    overall = float(np.nanmean(probability[np.unique(hoods.centre)]))
    here, around = probability[hoods.centre], probability[hoods.neighbour].sum(axis=1)
    columns = {
        COMPOSITION: np.full(len(hoods), overall),
        f"{counted}_on_site": here,
        f"local_{counted}_count": around,
    }
    return columns, {}


def _deformation(hoods: Neighbourhoods, atoms: Atoms) -> tuple[Float[np.ndarray, "row 3"], Float[np.ndarray, "3 3"]]:
    """Return cell area, squared shear and squared distortion, and the mean covariance of their errors."""
    n_rows, n_slots = hoods.neighbour.shape
    joint = hoods.covariance(atoms) if _errors_known(atoms) else np.zeros((n_rows, 2 * n_slots, 2 * n_slots))
    inverse = np.linalg.pinv(hoods.reference)
    gradient = np.einsum("ak,cd->cakd", inverse, np.eye(2)).reshape(4, -1)
    fitted = np.linalg.det((hoods.vector.reshape(n_rows, -1) @ gradient.T).reshape(n_rows, 2, 2))
    shear = np.array([[0.5, 0, 0, -0.5], [0, 0.5, 0.5, 0]]) @ gradient
    deviation = np.kron(np.eye(n_slots) - hoods.reference @ inverse, np.eye(2))
    spacing = float(np.linalg.norm(hoods.reference, axis=1).mean())
    forms = np.stack([shear.T @ shear, deviation.T @ deviation / (n_slots * spacing**2)])
    away = hoods.displacement.reshape(n_rows, -1)  # both forms are zero on the ideal ring
    squares = np.einsum("ni,qij,nj->nq", away, forms, away) - np.einsum("qij,nji->nq", forms, joint)
    area = abs(float(np.linalg.det(hoods.reference[:2]))) if hoods.length_unit == "angstrom" else 1.0
    slope = area * np.array([1.0, 0, 0, 1.0]) @ gradient
    return np.column_stack([area * fitted, squares]), _mean_error((slope, forms), away, joint)


def _mean_error(maps: tuple[np.ndarray, np.ndarray], away: np.ndarray, joint: np.ndarray) -> Float[np.ndarray, "3 3"]:
    """Return the mean covariance of the errors of one linear and two quadratic forms of normal values."""
    slope, forms = maps
    error = np.zeros((3, 3))
    error[0, 0] = np.einsum("i,nij,j->n", slope, joint, slope).mean()
    for q, form in enumerate(forms):
        moved = np.einsum("ij,nj->ni", form, away)
        error[0, 1 + q] = error[1 + q, 0] = 2 * np.einsum("i,nij,nj->n", slope, joint, moved).mean()
        for p, other in enumerate(forms):
            left = np.einsum("ij,nj->ni", other, away)
            twice = np.einsum("ij,njk,kl,nli->n", form, joint, other, joint).mean()
            error[1 + q, 1 + p] = 4 * np.einsum("ni,nij,nj->n", left, joint, moved).mean() - 2 * twice
    values, vectors = np.linalg.eigh(error)
    return (vectors * np.maximum(values, 0.0)) @ vectors.T


def _with_places(table: CausalTable, parts: Sequence[_Part], rows: np.ndarray) -> CausalTable:
    """Return the table with the sites' positions in the images, and the errors of the deformation."""
    covariance = np.zeros_like(table.error_covariance)
    places = np.ix_(np.arange(len(rows)), *[[table.number(name) for name in _DEFORMED]] * 2)
    covariance[places] = np.stack([part.error for part in parts])[rows]
    position = np.concatenate([part.position for part in parts])
    return dataclasses.replace(table, error_covariance=covariance, position=position)


def _knowledge(table: CausalTable, counted: str | None) -> Knowledge:
    """Return what comes before what: composition, who sits where, how the lattice is deformed."""
    if counted is None:
        return Knowledge(tiers=(("brightness",), _DEFORMED), exogenous=("brightness",))
    here, around = f"{counted}_on_site", f"local_{counted}_count"
    unscaled = ((COMPOSITION, "cell_area"),) if table.units[table.number("cell_area")] == "1" else ()
    return Knowledge(
        tiers=((COMPOSITION,), (here, around), _DEFORMED),
        required=((COMPOSITION, here), (COMPOSITION, around)),
        forbidden=((here, around), (around, here), *unscaled),
        exogenous=(COMPOSITION,),
    )


def _meaning(counted: str | None, *, scaled: bool) -> dict[str, str]:
    """Return what each variable is, in words."""
    chemistry = {
        COMPOSITION: f"fraction of {counted} in the image",
        f"{counted}_on_site": f"probability that the site holds {counted}",
        f"local_{counted}_count": f"expected number of {counted} among the nearest neighbours",
    }
    relative = "" if scaled else ", relative to the image's mean: the scale is not known"
    return {
        **({"brightness": "intensity of the column"} if counted is None else chemistry),
        "cell_area": f"area of the cell that best fits the neighbours{relative}",
        "shear": "square of that cell's shear strain",
        "distortion": "mean square deviation of the neighbours from that cell, in units of the spacing squared",
    }
