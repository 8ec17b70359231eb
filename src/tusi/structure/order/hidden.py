"""Local displacements that average to zero, told apart from none."""

import dataclasses
import functools

import numpy as np
from jaxtyping import Float, Int
from scipy import sparse
from scipy.spatial import cKDTree

from tusi.data import Atoms, Lattice
from tusi.errors import InputError
from tusi.execution import Progress
from tusi.inference.resampling import resampling_p_value
from tusi.structure.order.off_centring import Cage, displacement_stencil
from tusi.structure.order.ring_sites import OffCentreSites, fit_off_centre_sites
from tusi.structure.order.shells import lattice_shells
from tusi.structure.order.stencils import Stencil, atoms_at_steps, check_registered

LEAST_ROWS = 16
"""Fewer displacements than this are not tested."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class HiddenDisplacementTest:
    """How the tests are made.

    Attributes
    ----------
    n_replicas
        Replicas of each null hypothesis; p-values are at least 1/(n + 1).
    n_local
        Centres over which the map pools.
    n_shells
        Shells of centres over which displacements are correlated.
    """

    n_replicas: int = 499
    n_local: int = 13
    n_shells: int = 3

    def __post_init__(self) -> None:
        if self.n_replicas < 19 or self.n_local < 1 or self.n_shells < 1:
            raise InputError("settings", expected="n_replicas >= 19, n_local and n_shells >= 1", got=repr(self))


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class HiddenDisplacements:
    """Local off-centring beyond the errors of the positions.

    Attributes
    ----------
    atom
        Rows of the centres, one for each row below.
    position
        Their (y, x), in the length unit.
    displacement
        (y, x) from the middle of the cage, mean over the image taken off, in the length unit.
    covariance
        From the errors of the positions alone.
    mean
        The mean displacement, in the length unit.
    p_value
        Of "all centres are displaced alike": what scatter there is, the errors explain.
    scatter
        Covariance of the displacements beyond that of the errors, in the length unit squared; unbiased, so it may be
        slightly negative where there is none.
    scatter_error
        Standard error of its trace; too small where displacements are alike over many cells.
    local_p_value
        The same test over the centres around each centre.
    correlation
        Correlation of the local displacements of centres in each shell, the noise that their cages share taken off; NaN
        where there is no scatter.
    correlation_p_value
        Of "displaced independently of each other", two-sided, for each shell.
    few_sites_p_value
        Of "normally distributed, independent of each other": small where centres sit on a few off-centre sites. Read it
        only where `p_value` is small and `correlation_p_value` is not: it rejects more often than it says where nothing
        is displaced, or where displacements are alike over many cells.
    sites
        The off-centre sites that explain the displacements best.
    length_unit
        "angstrom" or "pixel".
    """

    atom: Int[np.ndarray, " row"]
    position: Float[np.ndarray, "row 2"]
    displacement: Float[np.ndarray, "row 2"]
    covariance: Float[np.ndarray, "row 2 2"]
    mean: Float[np.ndarray, "2"]
    p_value: float
    scatter: Float[np.ndarray, "2 2"]
    scatter_error: float
    local_p_value: Float[np.ndarray, " row"]
    correlation: Float[np.ndarray, " shell"]
    correlation_p_value: Float[np.ndarray, " shell"]
    few_sites_p_value: float
    sites: OffCentreSites
    length_unit: str

    @property
    def amplitude(self) -> float:
        """Root mean square local displacement, in the length unit; zero where the scatter is not positive."""
        return float(np.sqrt(max(np.trace(self.scatter), 0.0)))

    @property
    def amplitude_interval(self) -> tuple[float, float]:
        """95 % interval of the amplitude, in the length unit."""
        square = np.trace(self.scatter) + 1.96 * self.scatter_error * np.array([-1.0, 1.0])
        low, high = np.sqrt(np.maximum(square, 0.0))
        return float(low), float(high)


def hidden_displacements(
    atoms: Atoms,
    lattice: Lattice,
    *,
    cage: Cage,
    rng: np.random.Generator,
    settings: HiddenDisplacementTest = HiddenDisplacementTest(),
    progress: Progress | None = None,
) -> HiddenDisplacements:
    """Test whether centres are displaced one by one although their mean displacement may be zero.

    In a paraelectric average structure each ion can still stand off its centre, in a direction of its own. Its
    displacement then scatters more than the positions' errors allow. The statistic is the mean squared displacement in
    units of its covariance; its null distribution is simulated by drawing errors for every position and passing
    them through the same cages, which accounts for columns that neighbouring cages share. Two more questions are asked
    of what scatters: is it correlated in space (polar regions), and is it flatter than normal (a few off-centre sites)?
    Their null hypothesis draws normal displacements of the measured covariance, independent of each other, on top of
    the errors. All rests on the covariance of the positions being right: an error stated 5 % too small in a thousand
    centres looks like a displacement.

    Parameters
    ----------
    atoms
        Atoms with the covariance of their positions.
    lattice
        The lattice that `atoms` was registered to.
    cage
        Centre and neighbours.
    rng
        Draws the replicas.
    settings
        Numbers of replicas, of centres to pool, of shells.
    progress
        Told how many replicas are done, and of how many.

    Returns
    -------
    HiddenDisplacements
        Tests, amplitude and map.

    Raises
    ------
    InputError
        Fewer than 16 centres have a whole cage with known covariances.

    References
    ----------
    .. [1] E. A. Stern, "Character of order-disorder and displacive components in barium titanate", Phys. Rev. Lett. 93,
       037601 (2004).

    Examples
    --------
    >>> from tusi.datasets.crystals import CrystalRecipe, OffCentre, simulate_crystal
    >>> from tusi.structure.order import find_cage
    >>> recipe = CrystalRecipe(shape=(16, 16), noise=0.05, off_centre=OffCentre(amplitude=0.12, n_sites=4))
    >>> crystal = simulate_crystal(recipe, rng=np.random.default_rng(0))
    >>> settings = HiddenDisplacementTest(n_replicas=99)
    >>> cage = find_cage(crystal.lattice, centre=1)
    >>> found = hidden_displacements(
    ...     crystal.atoms, crystal.lattice, cage=cage, rng=np.random.default_rng(1), settings=settings
    ... )
    >>> found.p_value, round(found.amplitude, 2)
    (0.01, 0.12)
    """
    check_registered(atoms, lattice)
    sites, stencil = displacement_stencil(atoms, lattice, cage)
    covariance = stencil.covariance(atoms.covariance)
    row = np.flatnonzero(np.linalg.det(np.nan_to_num(covariance)) > 0)
    if len(row) < LEAST_ROWS:
        expected = f"{LEAST_ROWS} centres or more with a whole cage and known covariances"
        raise InputError("atoms", expected=expected, got=str(len(row)))
    stencil = Stencil(weight=stencil.weight[row], complete=np.ones(len(row), bool))
    raw, centre = stencil.of_positions(atoms.position), sites.centre[row]
    position = atoms.position[centre]
    near = cKDTree(position).query(position, k=min(settings.n_local, len(row)))[1].reshape(len(row), -1)
    pairs = _pairs(lattice, centre, basis_site=cage.centre, n_shells=settings.n_shells)
    cages = _Cages(
        weight=stencil.weight,
        inverse=np.linalg.inv(covariance[row]),
        covariance=covariance[row],
        root=_root(np.where(np.isfinite(atoms.covariance), atoms.covariance, 0.0)),
        near=near,
        pairs=pairs,
    )
    away = raw - raw.mean(axis=0)
    scatter = cages.scatter(away)
    spread, local = cages.spread(away)
    order = cages.order(away)
    null = _replicas(cages, (local, scatter), rng=rng, n_replicas=settings.n_replicas, progress=progress)
    middle = np.median(null.order, axis=0)
    size = np.trace(scatter)
    return HiddenDisplacements(
        atom=centre,
        position=position,
        displacement=away,
        covariance=cages.covariance,
        mean=raw.mean(axis=0),
        p_value=resampling_p_value(spread, null.spread),
        scatter=scatter,
        scatter_error=cages.scatter_error(away),
        local_p_value=(1 + null.n_more) / (1 + settings.n_replicas),
        correlation=order[1:] / size if size > 0 else np.full(len(pairs), np.nan),
        correlation_p_value=np.array(
            [
                resampling_p_value(abs(order[k] - middle[k]), np.abs(null.order[:, k] - middle[k]))
                for k in range(1, len(order))
            ]
        ),
        few_sites_p_value=resampling_p_value(-order[0], -null.order[:, 0]),
        sites=fit_off_centre_sites(away, cages.covariance),
        length_unit=atoms.length_unit,
    )


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class _Replicas:
    """Statistics under the null hypotheses, and how often the local one was at least as large as in the data."""

    spread: Float[np.ndarray, " replica"]
    n_more: Int[np.ndarray, " row"]
    order: Float[np.ndarray, "replica statistic"]


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class _Cages:
    """What the data and all replicas have in common."""

    weight: sparse.csr_array
    inverse: Float[np.ndarray, "row 2 2"]
    covariance: Float[np.ndarray, "row 2 2"]
    root: Float[np.ndarray, "atom 2 2"]
    near: Int[np.ndarray, "row near"]
    pairs: tuple[Int[np.ndarray, "_ 2"], ...]

    @functools.cached_property
    def shared(self) -> Float[np.ndarray, " shell"]:
        """Mean product of the errors of two rows in each shell, which common columns make."""
        variance = (self.root**2).sum(axis=(1, 2))
        return np.array(
            [(self.weight[pair[:, 0]].multiply(self.weight[pair[:, 1]]) @ variance).mean() for pair in self.pairs]
        )

    def noise(self, rng: np.random.Generator) -> Float[np.ndarray, "row 2"]:
        """Draw displacements that the positions' errors alone make."""
        draw = rng.standard_normal((len(self.root), 2))
        return np.asarray(self.weight @ (self.root @ draw[:, :, None])[:, :, 0])

    def spread(self, away: Float[np.ndarray, "row 2"]) -> tuple[float, Float[np.ndarray, " row"]]:
        """Return the mean square in units of its covariance: over all rows, and around each."""
        square = _square(away, self.inverse) / 2
        return float(square.mean()), square[self.near].mean(axis=1)

    def scatter(self, away: Float[np.ndarray, "row 2"]) -> Float[np.ndarray, "2 2"]:
        """Return the covariance of the displacements less that of the errors."""
        return away.T @ away / (len(away) - 1) - self.covariance.mean(axis=0)

    def scatter_error(self, away: Float[np.ndarray, "row 2"]) -> float:
        """Return the standard error of the trace of the scatter; nearest rows count as correlated."""
        square = (away**2).sum(axis=1)
        square = square - square.mean()
        own = float((square**2).sum())
        near = 2 * float((square[self.pairs[0][:, 0]] * square[self.pairs[0][:, 1]]).sum())
        return float(np.sqrt(max(own + near, own)) / len(square))

    def order(self, away: Float[np.ndarray, "row 2"]) -> Float[np.ndarray, " statistic"]:
        """Return the kurtosis of the whitened displacements, and their covariance in each shell less shared errors."""
        wide = self.covariance + _positive(self.scatter(away))
        square = _square(away, np.linalg.inv(wide))
        product = [(away[pair[:, 0]] * away[pair[:, 1]]).sum(axis=1).mean() for pair in self.pairs]
        return np.array([(square**2).mean(), *(np.array(product) - self.shared)])


def _replicas(
    cages: _Cages,
    observed: tuple[Float[np.ndarray, " row"], Float[np.ndarray, "2 2"]],
    *,
    rng: np.random.Generator,
    n_replicas: int,
    progress: Progress | None,
) -> _Replicas:
    """Draw errors alone, and errors with independent normal displacements on top."""
    local, scatter = observed
    root = _root(_positive(scatter)[None])[0]
    spread, order, n_more = [], [], np.zeros(len(local), np.int64)
    for number in range(n_replicas):
        noise = cages.noise(rng)
        one, around = cages.spread(noise - noise.mean(axis=0))
        spread.append(one)
        n_more += around >= local
        displaced = noise + rng.standard_normal(noise.shape) @ root.T
        order.append(cages.order(displaced - displaced.mean(axis=0)))
        if progress is not None:
            progress(number + 1, n_replicas)
    return _Replicas(spread=np.array(spread), n_more=n_more, order=np.array(order))


def _square(away: Float[np.ndarray, "row 2"], inverse: Float[np.ndarray, "row 2 2"]) -> Float[np.ndarray, " row"]:
    """Return the squared length of each displacement in units of its covariance."""
    return np.einsum("ri,rij,rj->r", away, inverse, away)


def _root(covariance: Float[np.ndarray, "row 2 2"]) -> Float[np.ndarray, "row 2 2"]:
    """Return the symmetric square root of each covariance."""
    value, vector = np.linalg.eigh(covariance)
    return vector * np.sqrt(np.maximum(value, 0.0))[:, None, :] @ np.swapaxes(vector, 1, 2)


def _positive(covariance: Float[np.ndarray, "2 2"]) -> Float[np.ndarray, "2 2"]:
    """Return the nearest covariance: negative variances become zero."""
    value, vector = np.linalg.eigh(covariance)
    return vector * np.maximum(value, 0.0) @ vector.T


def _pairs(
    lattice: Lattice, centre: Int[np.ndarray, " row"], *, basis_site: int, n_shells: int
) -> tuple[Int[np.ndarray, "_ 2"], ...]:
    """Return the pairs of rows in each shell of centres, each pair once."""
    number = np.full(int(lattice.atom.max()) + 2, -1)
    number[centre] = np.arange(len(centre))
    pairs = []
    for shell in lattice_shells(lattice, basis_site=basis_site, n_shells=n_shells):
        half = shell[: len(shell) // 2]
        found = atoms_at_steps(lattice, [(0, 0), *half], basis_site=basis_site).atom
        one, other = number[found[:, :1]].repeat(len(half), axis=1), number[found[:, 1:]]
        whole = (one >= 0) & (other >= 0)
        pairs.append(np.stack([one[whole], other[whole]], axis=1))
    return tuple(pair for pair in pairs if len(pair))
