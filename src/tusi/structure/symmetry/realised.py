"""The exact symmetry of the structures that a group leaves invariant, and how probable each is beforehand."""

import dataclasses
import functools

import numpy as np
from jaxtyping import Float, Int

from tusi.structure.symmetry.mean_cells import MeanCell
from tusi.structure.symmetry.operations import product_table, subgroups
from tusi.structure.symmetry.plane_groups import PLANE_GROUPS, SITE_GROUPS, plane_group
from tusi.structure.symmetry.prior import SymmetryPrior
from tusi.structure.symmetry.strata import Stratum
from tusi.structure.symmetry.structures import CrystalStructure, distort, draw_parent, group_of, site_groups_of

N_EXAMPLES = 6
"""Structures drawn for each group to see which symmetry its structures have."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class RealisedSymmetry:
    """Plane group, point group about each site, and lattice translations per cell."""

    group: str
    site_groups: tuple[str, ...]
    n_translations: int


def realised_symmetry(stratum: Stratum, cell: MeanCell, species: Int[np.ndarray, " site"]) -> RealisedSymmetry:
    """Return the exact symmetry of nearly all structures that a group leaves invariant.

    It can exceed the group: two equal atoms, placed anyhow, have a twofold axis between them.

    Parameters
    ----------
    stratum
        The invariant structures.
    cell
        The observed cell.
    species
        Species of the sites, one for each orbit.
    """
    fraction = stratum.example(cell.fraction)
    gram = cell.vectors @ (np.eye(2) + 0.05 * np.diag([1.0, -0.6]) + 0.03 * (1 - np.eye(2))) @ cell.vectors.T
    rotation = stratum.rotation
    mean = np.einsum("kba,bc,kcd->ad", rotation, gram, rotation) / len(rotation)
    structure = CrystalStructure(vectors=np.linalg.cholesky(mean), fraction=fraction, species=species)
    operations = structure.operations()
    identity = (operations.rotation == np.eye(2, dtype=int)).all(axis=(1, 2))
    return RealisedSymmetry(
        group=group_of(operations, fraction),
        site_groups=site_groups_of(operations),
        n_translations=int(identity.sum()),
    )


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class RealisedPrior:
    """Prior probability of each plane group as the exact group of a structure, and of each point group about a site."""

    group: Float[np.ndarray, " group"]
    site: Float[np.ndarray, " point_group"]


@functools.lru_cache(maxsize=64)
def realised_prior(prior: SymmetryPrior, n_atoms: int, *, n_species: int = 1) -> RealisedPrior:
    """Return how probable each exact symmetry is before the data.

    A few structures are drawn for each parent; all of their subgroups count.

    Parameters
    ----------
    prior
        The law that structures come from.
    n_atoms
        Atoms in the cell.
    n_species
        Species, each as likely for an orbit.
    """
    rng = np.random.default_rng(11)
    groups: dict[str, float] = dict.fromkeys(PLANE_GROUPS, 0.0)
    sites: dict[str, float] = dict.fromkeys(SITE_GROUPS, 0.0)
    n_examples = 1 if prior.positions == "general" and n_species == 1 else N_EXAMPLES
    for name, weight in prior.of_parents(n_atoms).items():
        for _ in range(n_examples):
            parent, made_with = draw_parent(plane_group(name), n_atoms, prior=prior, n_species=n_species, rng=rng)
            members = subgroups(product_table(made_with))[:-1] if prior.broken and len(made_with) > 1 else ()
            whole = 1.0 - prior.broken if len(members) else 1.0
            drawn = [(parent, whole)]
            for kept in members:
                example = distort(parent, made_with[kept], scale=0.03 * parent.side, rng=rng)
                drawn.append((example, prior.broken / len(members)))
            for structure, share in drawn:
                operations = structure.operations()
                groups[group_of(operations, structure.fraction)] += share * weight / n_examples
                for site_group in site_groups_of(operations):
                    sites[site_group] += share * weight / n_examples / n_atoms
    return RealisedPrior(group=np.array(list(groups.values())), site=np.array(list(sites.values())))
