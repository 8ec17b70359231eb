"""Phase diagrams over temperature, and field or composition, with bands from the couplings."""

import dataclasses
from typing import ClassVar

import numpy as np
from jaxtyping import Float

from tusi.data.record import Record, array
from tusi.errors import InputError
from tusi.execution import Executor, Progress, SerialExecutor
from tusi.generative.lattice.compilation import lattice_system
from tusi.generative.lattice.sites import LatticeSites, periodic_sites
from tusi.generative.montecarlo.plan import Sampler, SamplingPlan
from tusi.generative.prediction.conditions import Conditions, FittedModel
from tusi.generative.prediction.measurement import Measurement
from tusi.generative.prediction.mixture import Mixture, mixture_of
from tusi.generative.prediction.order import OrderParameter, UniformOrder, find_order
from tusi.generative.prediction.simulation import NodeJob, best_sampler, run_node

PILOT_CELLS = 12
"""Cells along each direction of the crystal on which the order is looked for: whole waves of period 2, 3, 4 and 6."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class DiagramPlan:
    """How carefully a phase diagram is computed.

    Attributes
    ----------
    sizes
        Cells along each direction of the periodic crystals, ascending; rounded up to hold whole periods of the order.
    n_draws
        Draws of the couplings behind the bands.
    refinement
        Temperatures at which observables are given per step between the temperatures that are simulated.
    n_samples, n_chains, burn_in, spacing
        Of every simulation; see `SamplingPlan`.
    sampler
        The moves: exchanges where the composition is kept, cluster moves where they apply, else a heat bath.
    order
        The order parameter; found from the structure factor where it is None.
    shells
        Shells of the short-range order.
    least_samples
        Effective sample size below which simulations at further couplings are added.
    max_rounds
        Rounds of such additions.
    """

    sizes: tuple[int, ...] = (16, 24, 32)
    n_draws: int = 100
    refinement: int = 4
    n_samples: int = 500
    n_chains: int = 4
    burn_in: int = 200
    spacing: int = 1
    sampler: Sampler | None = None
    order: OrderParameter | None = None
    shells: int = 2
    least_samples: float = 50.0
    max_rounds: int = 3

    def __post_init__(self) -> None:
        if not self.sizes or min(self.sizes) < 4 or (np.diff(self.sizes) <= 0).any():
            raise InputError("sizes", expected="numbers of cells of at least 4, ascending", got=str(self.sizes))
        for name, least in (("n_draws", 2), ("refinement", 1), ("max_rounds", 0)):
            if getattr(self, name) < least:
                raise InputError(name, expected=f"at least {least}", got=str(getattr(self, name)))


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class PhaseDiagram(Record):
    """Observables over temperature and field or composition, for several sizes.

    Attributes
    ----------
    model, equation, parameters, crystal
        The Hamiltonian and the crystal.
    axis
        What the levels are: "field", "composition", or empty where there is one level only.
    temperature_unit
        "K", or "T/T_ref".
    sizes
        Cells along each direction.
    order
        Name of the order parameter.
    observables
        Names; `Measurement` says what they are.
    notes
        What to know of this result.
    temperature, level
        The grid.
    value
        Observables at the posterior's centre.
    monte_carlo_error
        Standard error of `value` that longer simulations would remove.
    band
        95 % credible band: posterior of the couplings and Monte Carlo error together.
    effective_sample_size
        Independent-sample equivalent of the weighted samples, for the draw with the fewest.
    draw
        Draws of the couplings, in kT at the reference temperature.
    draw_value
        Observables for each draw, each with a Monte Carlo error of its own.
    """

    format_name: ClassVar[str] = "phase-diagram"
    row: ClassVar[str] = "temperature"

    model: str
    equation: str
    parameters: tuple[str, ...]
    crystal: str
    axis: str
    temperature_unit: str
    sizes: tuple[int, ...]
    order: str
    observables: tuple[str, ...]
    notes: tuple[str, ...]
    temperature: Float[np.ndarray, " temperature"] = array("temperature")
    level: Float[np.ndarray, " level"] = array("level")
    value: Float[np.ndarray, "size temperature level observable"] = array("size", "temperature", "level", "observable")
    monte_carlo_error: Float[np.ndarray, "size temperature level observable"] = array(
        "size", "temperature", "level", "observable"
    )
    band: Float[np.ndarray, "size temperature level observable 2"] = array(
        "size", "temperature", "level", "observable", "bound"
    )
    effective_sample_size: Float[np.ndarray, "size temperature level"] = array("size", "temperature", "level")
    draw: Float[np.ndarray, "draw parameter"] = array("draw", "parameter")
    draw_value: Float[np.ndarray, "size draw temperature level observable"] = array(
        "size", "draw", "temperature", "level", "observable"
    )

    def __getitem__(self, rows: object) -> "PhaseDiagram":
        raise TypeError("a PhaseDiagram cannot be sliced: its arrays have sizes and temperatures as rows")

    def column(self, name: str) -> int:
        """Return the number of an observable."""
        if name not in self.observables:
            raise InputError("observable", expected=f"one of {', '.join(self.observables)}", got=repr(name))
        return self.observables.index(name)


def phase_diagram(
    posterior: FittedModel,
    *,
    conditions: Conditions,
    rng: np.random.Generator,
    plan: DiagramPlan | None = None,
    executor: Executor | None = None,
    progress: Progress | None = None,
) -> PhaseDiagram:
    """Return what fitted couplings predict over temperature, and field or composition, with credible bands.

    Periodic crystals of every size are simulated at the conditions for the centre of the posterior, and at further
    couplings until every draw of the posterior is within reach; the multistate Bennett acceptance ratio carries the
    averages to each draw. Temperature scales all couplings: they are energies. Each draw takes its Monte Carlo error
    along by resampling blocks of the chains, so that the bands hold both.

    Parameters
    ----------
    posterior
        A model, its couplings and their uncertainty, in kT at the reference temperature.
    conditions
        The grid.
    rng
        Source of randomness; results do not depend on the executor.
    plan
        How carefully.
    executor
        Where simulations run.
    progress
        Told of every finished simulation of the present size.

    Returns
    -------
    PhaseDiagram
        Observables on the grid.

    Raises
    ------
    InputError
        The field is not a coupling of the model, or compositions are asked of more than two species.

    References
    ----------
    A. M. Ferrenberg and R. H. Swendsen, Phys. Rev. Lett. 63, 1195 (1989).

    Examples
    --------
    >>> from tusi.generative.lattice import SQUARE, ising
    >>> model = ising(field=False)
    >>> posterior = FittedModel(model=model, value=np.array([0.4]), covariance=np.array([[1e-4]]))
    >>> conditions = Conditions(crystal=SQUARE, temperatures=(1.2, 1.6, 2.0))
    >>> plan = DiagramPlan(sizes=(4, 6), n_samples=50, n_draws=10)
    >>> diagram = phase_diagram(posterior, conditions=conditions, rng=np.random.default_rng(1), plan=plan)
    >>> diagram.value.shape
    (2, 9, 1, 8)
    """
    plan = plan or DiagramPlan()
    executor = executor or SerialExecutor()
    for level in conditions.levels:
        conditions.shift(posterior.model, level)
    draws = np.vstack([posterior.value, posterior.sample(plan.n_draws, rng=rng)])
    work = _Work(posterior=posterior, conditions=conditions, plan=plan, executor=executor, progress=progress)
    order = plan.order or _find_order(work, rng)
    sizes = tuple(dict.fromkeys(-(-size // order.period) * order.period for size in plan.sizes))
    notes = [] if sizes == plan.sizes else [f"sizes rounded up to multiples of {order.period}, the period of the order"]
    parts = []
    for size in sizes:
        sites = periodic_sites(conditions.crystal, (size,) * conditions.crystal.n_translations)
        parts.append(_diagram_of_size(work, _measurement(work, sites, order), draws, rng))
    least = np.stack([part[3] for part in parts])
    if least.min() < plan.least_samples:
        notes.append(
            f"some draws of the couplings are represented by only {least.min():.0f} effective samples; "
            "use more samples or rounds"
        )
    return PhaseDiagram(
        model=posterior.model.name,
        equation=posterior.model.equation(),
        parameters=posterior.model.parameters,
        crystal=conditions.crystal.name,
        axis=conditions.axis,
        temperature_unit="K" if conditions.reference_temperature else "T/T_ref",
        sizes=sizes,
        order=order.name,
        observables=_measurement(work, sites, order).names,
        notes=tuple(notes),
        temperature=_refined(np.array(conditions.temperatures), plan.refinement),
        level=np.array(conditions.levels),
        value=np.stack([part[0] for part in parts]),
        monte_carlo_error=np.stack([part[1] for part in parts]),
        band=np.stack([np.moveaxis(np.quantile(part[2], (0.025, 0.975), axis=0), 0, -1) for part in parts]),
        effective_sample_size=least,
        draw=draws[1:],
        draw_value=np.stack([part[2] for part in parts]),
    )


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class _Work:
    """What stays the same for all sizes."""

    posterior: FittedModel
    conditions: Conditions
    plan: DiagramPlan
    executor: Executor
    progress: Progress | None

    def couplings(self, draws: np.ndarray, ratios: np.ndarray) -> np.ndarray:
        """Return the couplings in kT for each draw, temperature and level."""
        shift = np.array([self.conditions.shift(self.posterior.model, level) for level in self.conditions.levels])
        return (draws[:, None, None] + shift) / ratios[None, :, None, None]

    def jobs(self, measurement: Measurement, couplings: np.ndarray, levels: np.ndarray) -> list[NodeJob]:
        """Return the simulations at these couplings."""
        plan, kept = self.plan, bool(self.conditions.compositions)
        sampling = SamplingPlan(
            n_samples=plan.n_samples, n_chains=plan.n_chains, burn_in=plan.burn_in, spacing=plan.spacing,
            keep_species=True,
        )  # fmt: skip
        sampler = plan.sampler or best_sampler(measurement.system, conserved=kept)
        return [
            NodeJob(
                measurement=measurement,
                couplings=u,
                sampler=sampler,
                plan=sampling,
                fraction=self.conditions.levels[level] if kept else None,
            )
            for u, level in zip(couplings, levels, strict=True)
        ]


def _measurement(work: _Work, sites: LatticeSites, order: OrderParameter) -> Measurement:
    model = work.posterior.model
    return Measurement(
        system=lattice_system(model, sites), sites=sites, species=model.species, order=order, shells=work.plan.shells
    )


def _find_order(work: _Work, rng: np.random.Generator) -> OrderParameter:
    """Look for the order in short simulations of a small crystal at all conditions."""
    crystal, model = work.conditions.crystal, work.posterior.model
    sites = periodic_sites(crystal, (PILOT_CELLS,) * crystal.n_translations)
    kept = bool(work.conditions.compositions)
    short = dataclasses.replace(work.plan, n_samples=30, n_chains=4, spacing=4, burn_in=100, shells=1, sampler=None)
    pilot = dataclasses.replace(work, plan=short, progress=None)
    grid = pilot.couplings(work.posterior.value[None], work.conditions.ratios)[0]
    levels = np.broadcast_to(np.arange(grid.shape[1]), grid.shape[:2])
    jobs = pilot.jobs(_measurement(pilot, sites, UniformOrder()), grid.reshape(-1, grid.shape[2]), levels.ravel())
    found = work.executor.map(run_node, [dataclasses.replace(job, species=True) for job in jobs], rng=rng)
    species = np.concatenate([part.species for part in found])
    return find_order(species, sites, n_species=model.n_species, conserved=kept)


def _diagram_of_size(
    work: _Work, measurement: Measurement, draws: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return value, Monte Carlo error, values of the draws, and effective sample size, of one size."""
    ratios = work.conditions.ratios
    fine = _refined(ratios, work.plan.refinement)
    target = work.couplings(draws, fine)
    groups = [[j] for j in range(target.shape[2])] if work.conditions.compositions else [list(range(target.shape[2]))]
    shape = (*target.shape[:3], len(measurement.names))
    each, value, error = np.empty(shape), np.empty(shape[1:]), np.empty(shape[1:])
    size = np.empty(shape[:3])
    for group in groups:
        nodes = work.couplings(draws[:1], ratios)[0][:, group]
        chosen = target[:, :, group]
        mixture = _within_reach(work, measurement, (nodes, np.array(group), chosen), rng)
        flat = chosen.reshape(-1, chosen.shape[-1])
        sums, share, samples = mixture.moments(flat)
        ratio = np.broadcast_to(fine[None, :, None], chosen.shape[:3])
        sums, share = (a.reshape(*chosen.shape[:3], *a.shape[1:]) for a in (sums, share))
        size[:, :, group] = samples.reshape(chosen.shape[:3])
        n_blocks = share.shape[-1]
        mean = sums.sum(axis=-2)
        value[:, group] = measurement.derive(mean[0], chosen[0], ratio[0])
        again = rng.multinomial(n_blocks, np.full(n_blocks, 1.0 / n_blocks), size=len(draws)).astype(np.float64)
        total = np.einsum("dtlbc,db->dtlc", sums, again) / np.einsum("dtlb,db->dtl", share, again)[..., None]
        each[:, :, group] = measurement.derive(total, chosen, ratio)
        central = np.einsum("tlbc,db->dtlc", sums[0], again) / np.einsum("tlb,db->dtl", share[0], again)[..., None]
        error[:, group] = measurement.derive(
            central, np.broadcast_to(chosen[:1], chosen.shape), np.broadcast_to(ratio[:1], ratio.shape)
        ).std(axis=0)
    return value, error, each[1:], size.min(axis=0)


def _within_reach(
    work: _Work, measurement: Measurement, places: tuple[np.ndarray, np.ndarray, np.ndarray], rng: np.random.Generator
) -> Mixture:
    """Simulate at the nodes, then where the weighted samples are worth least, until they are worth enough."""
    grid, group, targets = places
    nodes = grid.reshape(-1, grid.shape[-1])
    levels = np.broadcast_to(group, grid.shape[:2]).ravel()
    drawn, measured, every = [], [], np.empty((0, nodes.shape[1]))
    flat = targets.reshape(-1, targets.shape[-1])
    place = np.indices(targets.shape[:3]).reshape(3, -1)
    for turn in range(work.plan.max_rounds + 1):
        jobs = work.jobs(measurement, nodes, levels)
        found = work.executor.map(run_node, jobs, rng=rng, progress=work.progress)
        drawn += [part.statistics for part in found]
        measured += [part.columns for part in found]
        every = np.concatenate([every, nodes])
        mixture = mixture_of(every, drawn, measured)
        if turn == work.plan.max_rounds:
            break
        worth = mixture.moments(flat)[2]
        poor = np.flatnonzero(worth < work.plan.least_samples)
        if not len(poor):
            break
        order = poor[np.argsort(worth[poor], kind="stable")]
        _, first = np.unique(place[1:, order] // np.array([[work.plan.refinement], [1]]), axis=1, return_index=True)
        nodes, levels = flat[order[first]], group[place[2, order[first]]]
    return mixture


def _refined(values: np.ndarray, refinement: int) -> np.ndarray:
    """Return the values with this many steps between two of them."""
    at = np.arange((len(values) - 1) * refinement + 1) / refinement
    return np.interp(at, np.arange(len(values)), values)
