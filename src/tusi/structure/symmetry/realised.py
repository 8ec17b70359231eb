"""The exact symmetry of the structures that a group leaves invariant, and how probable each is beforehand."""

import dataclasses
import functools

import numpy as np
from jaxtyping import Float, Int

from tusi.structure.symmetry.mean_cells import MeanCell
from tusi.structure.symmetry.operations import product_table, subgroups
from tusi.structure.symmetry.plane_groups import PLANE_GROUPS, plane_group
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


def group_prior(prior: SymmetryPrior, n_atoms: int, *, n_species: int = 1) -> Float[np.ndarray, " group"]:
    """Return the prior probability of each plane group as the exact group of a structure.

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
    return np.array(_group_prior(prior, n_atoms, n_species))


@functools.lru_cache(maxsize=64)
def _group_prior(prior: SymmetryPrior, n_atoms: int, n_species: int) -> tuple[float, ...]:
    rng = np.random.default_rng(11)
    probability = dict.fromkeys(PLANE_GROUPS, 0.0)
    n_examples = 1 if prior.positions == "general" and n_species == 1 else N_EXAMPLES
    for name, weight in prior.of_parents(n_atoms).items():
        group, share = plane_group(name), weight / n_examples
        for _ in range(n_examples):
            structure, made_with = draw_parent(group, n_atoms, prior=prior, n_species=n_species, rng=rng)
            broken = prior.broken if len(made_with) > 1 else 0.0
            probability[structure.group] += share * (1 - broken)
            members = subgroups(product_table(made_with))[:-1] if broken else ()
            for kept in members:
                example = distort(structure, made_with[kept], scale=0.03 * structure.side, rng=rng)
                probability[example.group] += share * broken / len(members)
    return tuple(probability.values())
