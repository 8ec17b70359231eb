"""Counting clusters into the bins of a histogram, whatever the clusters are."""

import abc
import dataclasses
from collections.abc import Sequence

import numba
import numpy as np
from jaxtyping import Bool, Int

from tusi.errors import InputError
from tusi.generative.lattice.sites import LatticeSites


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Counter:
    """Clusters of some sites, and the bin of a histogram that each belongs to by the species on it.

    Attributes
    ----------
    members
        Sites of each cluster in order; -1 fills up smaller clusters.
    kind
        Row of `bin_of` that belongs to each cluster.
    bin_of
        Bin by the code of a cluster: its species as digits in base `n_species`, the first corner's the lowest.
    labels
        Name of each bin.
    block
        Histogram that each bin belongs to: the bins of a block add up to a count that does not depend on the species.
    n_species
        Species that exist.
    """

    members: Int[np.ndarray, "cluster corner"]
    kind: Int[np.ndarray, " cluster"]
    bin_of: Int[np.ndarray, "kind code"]
    labels: tuple[str, ...]
    block: Int[np.ndarray, " bin"]
    n_species: int

    def count(self, species: Int[np.ndarray, "*replica site"]) -> Int[np.ndarray, "*replica bin"]:
        """Return the histogram of each arrangement.

        Raises
        ------
        InputError
            A site that is counted holds no species.
        """
        flat = np.ascontiguousarray(species, dtype=np.int8).reshape(-1, species.shape[-1])
        if flat.size and not 0 <= flat.min() <= flat.max() < self.n_species:
            held = flat[:, np.unique(self.members[self.members >= 0])]
            if held.size and not 0 <= held.min() <= held.max() < self.n_species:
                raise InputError(
                    "species",
                    expected=f"numbers from 0 to {self.n_species - 1} on every counted site",
                    got=f"{held.min()} to {held.max()}",
                    then="Leave unseen sites out with `only`.",
                )
        out = np.zeros((len(flat), len(self.labels)), dtype=np.int64)
        _count(flat, self.members, self.kind, self.bin_of, self.n_species, out)
        return out.reshape(*species.shape[:-1], len(self.labels))

    def only(self, usable: Bool[np.ndarray, " site"]) -> "Counter":
        """Return the counter of the clusters all of whose sites are usable."""
        kept = (np.asarray(usable, dtype=bool)[self.members] | (self.members < 0)).all(axis=1)
        return dataclasses.replace(self, members=self.members[kept], kind=self.kind[kept])


class Statistic(abc.ABC):
    """A histogram of an arrangement that models are compared by."""

    @abc.abstractmethod
    def counter(self, sites: LatticeSites, species: Sequence[str]) -> Counter:
        """Return what counts it on these sites; vacant and unseen sites belong to no cluster.

        Parameters
        ----------
        sites
            The sites.
        species
            Names of the species in the order of their codes.
        """


@numba.njit(cache=True, nogil=True)
def _count(species, members, kind, bin_of, n_species, out):
    """Add one to the bin of every cluster of every replica."""
    for replica in range(len(species)):
        for cluster in range(len(members)):
            code, stride = 0, 1
            for place in range(members.shape[1]):
                site = members[cluster, place]
                if site >= 0:
                    code += stride * species[replica, site]
                stride *= n_species
            out[replica, bin_of[kind[cluster], code]] += 1
