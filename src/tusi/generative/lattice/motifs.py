"""Which clusters a term counts: sites, pairs of a shell, triangles, or any group of sites with all its images."""

import dataclasses
from abc import ABC, abstractmethod

from tusi.errors import InputError
from tusi.generative.lattice.crystal import Crystal
from tusi.generative.lattice.symmetry import Orbit, Site, find_orbits, orbit_of, pair_shells


class Motif(ABC):
    """A recipe that finds a term's clusters on any crystal."""

    @abstractmethod
    def orbits(self, crystal: Crystal) -> tuple[Orbit, ...]:
        """Return the orbits of clusters that are counted alike."""

    @property
    @abstractmethod
    def n_corners(self) -> int:
        """Sites of a cluster."""

    @property
    @abstractmethod
    def symbol(self) -> str:
        """How an equation writes it, e.g. "NN"."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class SingleSite(Motif):
    """Every site, or the sites with one label.

    Attributes
    ----------
    label
        Label of the sites; all sites by default.
    """

    label: str | None = None

    @property
    def n_corners(self) -> int:
        """One site."""
        return 1

    @property
    def symbol(self) -> str:
        """Return "i" or the label."""
        return self.label or "i"

    def orbits(self, crystal: Crystal) -> tuple[Orbit, ...]:
        """Return the orbits of single sites."""
        _check_labels(crystal, (self.label,) if self.label else ())
        origin = (0,) * crystal.n_translations
        chosen = [b for b, label in enumerate(crystal.labels) if self.label in (None, label)]
        return tuple(orbit_of(crystal, ((*origin, b),), oriented=True) for b in chosen)


@dataclasses.dataclass(frozen=True, kw_only=True)
class PairShell(Motif):
    """All pairs at the k-th distance.

    Attributes
    ----------
    shell
        1 for nearest neighbours, 2 for next-nearest, and so on.
    labels
        Only pairs of sites with these labels; the shells are then counted among such pairs alone.
    """

    shell: int = 1
    labels: tuple[str, str] | None = None

    def __post_init__(self) -> None:
        if not 1 <= self.shell <= 12:
            raise InputError("shell", expected="1 to 12", got=str(self.shell))

    @property
    def n_corners(self) -> int:
        """Two sites."""
        return 2

    @property
    def symbol(self) -> str:
        """Return "NN", "NNN", "3rd", ... and the labels."""
        names = {1: "NN", 2: "NNN", 3: "3rd"}
        return names.get(self.shell, f"{self.shell}th") + (f" {'-'.join(self.labels)}" if self.labels else "")

    def orbits(self, crystal: Crystal) -> tuple[Orbit, ...]:
        """Return the pair orbits at this distance."""
        _check_labels(crystal, self.labels or ())
        found = pair_shells(crystal, labels=self.labels, n_shells=self.shell)[-1]
        if self.labels is None or self.labels[0] == self.labels[1]:
            return found
        return tuple(_led_by(orbit, crystal, self.labels[0]) for orbit in found)


@dataclasses.dataclass(frozen=True, kw_only=True)
class NearestClusters(Motif):
    """All groups of sites that are mutually nearest neighbours: triangles, or tetrahedra.

    Attributes
    ----------
    size
        3 or 4 sites.
    """

    size: int = 3

    @property
    def n_corners(self) -> int:
        """Sites of a group."""
        return self.size

    @property
    def symbol(self) -> str:
        """Return "T" for triangles."""
        return {3: "T", 4: "tetrahedra"}[self.size]

    def orbits(self, crystal: Crystal) -> tuple[Orbit, ...]:
        """Return the orbits of such groups.

        Raises
        ------
        InputError
            The crystal has none.
        """
        diameter = pair_shells(crystal, n_shells=1)[0][0].diameter
        found = find_orbits(crystal, n_corners=self.size, diameter=diameter)
        if not found:
            raise InputError(
                "model",
                expected="a crystal with triangles" if self.size == 3 else "a crystal with tetrahedra",
                got=f"the {crystal.name} lattice, which has none",
                then="Choose clusters by their sites (`ClusterOf`).",
            )
        return found


@dataclasses.dataclass(frozen=True, kw_only=True)
class ClusterOf(Motif):
    """A group of sites given by one example, with all its images under the crystal's symmetry.

    Attributes
    ----------
    sites
        The example: (cell ..., site of the cell) of each corner, in order.
    oriented
        Translations alone: the group turned or mirrored is another one.
    name
        How an equation writes it.
    """

    sites: tuple[Site, ...]
    oriented: bool = False
    name: str = "clusters"

    @property
    def n_corners(self) -> int:
        """Sites of the group."""
        return len(self.sites)

    @property
    def symbol(self) -> str:
        """The name given."""
        return self.name

    def orbits(self, crystal: Crystal) -> tuple[Orbit, ...]:
        """Return the orbit of the example."""
        return (orbit_of(crystal, self.sites, oriented=self.oriented),)


def _led_by(orbit: Orbit, crystal: Crystal, label: str) -> Orbit:
    """Return the pair orbit with this label first in every pair, so that the table's rows are that label's species."""
    clusters = tuple(
        cluster if crystal.labels[cluster[0][-1]] == label else cluster[::-1] for cluster in orbit.clusters
    )
    return dataclasses.replace(orbit, clusters=clusters)


def _check_labels(crystal: Crystal, labels: tuple[str, ...]) -> None:
    unknown = set(labels) - set(crystal.labels)
    if unknown:
        raise InputError(
            "label", expected=f"labels among {sorted(set(crystal.labels))}", got=", ".join(sorted(unknown))
        )
