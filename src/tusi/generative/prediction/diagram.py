"""Phase diagrams over temperature, and field or composition, with bands from the couplings."""

import dataclasses
from typing import ClassVar

import numpy as np
from jaxtyping import Float

from tusi.data.record import Record, array
from tusi.errors import InputError
from tusi.execution import Executor, Progress, SerialExecutor
from tusi.generative.lattice.compilation import lattice_system
from tusi.generative.lattice.sites import periodic_sites
from tusi.generative.montecarlo.plan import Sampler, SamplingPlan
from tusi.generative.prediction.coexistence import COEXISTING, free_composition, is_symmetric, without_fields
from tusi.generative.prediction.conditions import Conditions, FittedModel
from tusi.generative.prediction.measurement import Measurement
from tusi.generative.prediction.node_pool import NodePool, Simulator
from tusi.generative.prediction.order import OrderParameter, SeparationOrder, UniformOrder, find_order

PILOT_CELLS = 12
"""Cells along each direction of the crystal on which the order is looked for: whole waves of period 2, 3, 4 and 6."""

FOCUS_WIDTH = 1.5
"""Half width of the temperatures added around a suspected transition, over the number of cells and relative to it."""

FOCUS_NODES, FOCUS_TEMPERATURES = 5, 9
"""Temperatures that are simulated there, and at which observables are given."""


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
        Steps at which observables are given between two of the temperatures asked for; steps are finer around a
        transition.
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
    command, versions
        What makes it again, and the versions that made it; empty where the caller did not say.
    temperature, level
        The grid.
    value
        Observables at the posterior's centre.
    monte_carlo_error
        Standard error of `value` that longer simulations would remove.
    band
        95 % credible band: posterior of the couplings and Monte Carlo error together.
    effective_sample_size
        Independent samples that the weighted and autocorrelated ones are worth, for the draw with the fewest.
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
    command: str = ""
    versions: tuple[str, ...] = ()
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
    averages to each draw. Temperature scales all couplings: they are energies. More temperatures are simulated where
    the energies of neighbours would not overlap, and around the suspected transition. Each draw takes its Monte Carlo
    error along by random weights of blocks of the chains, so that the bands hold both. Where a kept composition parts
    into two phases that are each other's mirror image, their coexistence is simulated too, at free composition.

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
    for level in conditions.levels:
        conditions.shift(posterior.model, level)
    draws = posterior.sample(plan.n_draws, rng=rng)
    simulator = _simulator(posterior, conditions, plan=plan, executor=executor, progress=progress)
    order = plan.order or _find_order(simulator, rng)
    sizes = tuple(dict.fromkeys(-(-size // order.period) * order.period for size in plan.sizes))
    notes = [] if sizes == plan.sizes else [f"sizes rounded up to multiples of {order.period}, the period of the order"]
    pools = _pools(plan, simulator, sizes, order, rng=rng)
    first, refined = next(iter(pools.values())).measurement, _refined(conditions.ratios, plan.refinement)
    names, coexisting = first.names, {}
    if isinstance(order, SeparationOrder) and is_symmetric(posterior.model, first):
        coexisting = _pools(plan, free_composition(simulator), sizes, UniformOrder(), rng=rng)
        names += COEXISTING
    ratios = _focus(coexisting or pools, draws, refined, rng=rng)
    value, error, each, least = _evaluated(pools, draws, ratios, plan=plan, rng=rng)
    if coexisting:
        zero = without_fields(posterior.model, draws)
        free = _evaluated(coexisting, zero, ratios, plan=plan, rng=rng)
        columns = [first.names.index(name) for name in ("order", "Binder cumulant")]
        value, error, each = (
            np.concatenate([own, np.repeat(part[..., columns], len(conditions.levels), axis=-2)], axis=-1)
            for own, part in zip((value, error, each), free[:3], strict=True)
        )
        if free[3].min() < plan.least_samples:
            notes.append(f"at free composition the chains are worth only {free[3].min():.0f} independent samples")
        notes.append("transitions are where the composition meets the coexistence curve, simulated at free composition")
    if least.min() < plan.least_samples:
        notes.append(
            f"chains too short or too slow: at some temperatures they are worth only {least.min():.0f} independent "
            "samples; use more samples"
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
        observables=names,
        notes=tuple(notes),
        temperature=ratios * (conditions.reference_temperature or 1.0),
        level=np.array(conditions.levels),
        value=value,
        monte_carlo_error=error,
        band=np.moveaxis(np.quantile(each, (0.025, 0.975), axis=1, method="weibull"), 0, -1),
        effective_sample_size=least,
        draw=draws,
        draw_value=each,
    )


def _simulator(
    posterior: FittedModel,
    conditions: Conditions,
    *,
    plan: DiagramPlan,
    executor: Executor | None,
    progress: Progress | None,
) -> Simulator:
    """Return what all simulations have in common."""
    sampling = SamplingPlan(
        n_samples=plan.n_samples, n_chains=plan.n_chains, burn_in=plan.burn_in, spacing=plan.spacing,
        keep_species=True,
    )  # fmt: skip
    return Simulator(
        posterior=posterior, conditions=conditions, sampling=sampling, sampler=plan.sampler,
        executor=executor or SerialExecutor(), progress=progress,
    )  # fmt: skip


def _pools(
    plan: DiagramPlan, simulator: Simulator, sizes: tuple[int, ...], order: OrderParameter, *, rng: np.random.Generator
) -> dict[tuple[int, int], NodePool]:
    """Simulate every size and level at the temperatures asked for, and between them until neighbours overlap."""
    pools = {}
    for size in sizes:
        measurement = _measurement(simulator, size, order, shells=plan.shells)
        for level in range(len(simulator.conditions.levels)):
            pool = NodePool(simulator=simulator, measurement=measurement, level=level)
            pool.add_temperatures(simulator.conditions.ratios, rng=rng)
            pools[size, level] = pool
    return pools


def _evaluated(
    pools: dict[tuple[int, int], NodePool],
    draws: np.ndarray,
    ratios: np.ndarray,
    *,
    plan: DiagramPlan,
    rng: np.random.Generator,
) -> tuple[np.ndarray, ...]:
    """Return observables, their Monte Carlo error, those of the draws, and effective sample sizes, of every pool."""
    parts: dict[int, list] = {}
    for (size, _), pool in pools.items():
        if not (draws == pool.simulator.posterior.value).all():
            pool.reach(draws, ratios, least=(plan.least_samples, plan.max_rounds), rng=rng)
        parts.setdefault(size, []).append(pool.evaluate(draws, ratios, rng=rng))
    return tuple(
        np.stack([np.stack([part[k] for part in row], axis=axis) for row in parts.values()])
        for k, axis in enumerate((1, 1, 2, 1))
    )


def _measurement(simulator: Simulator, size: int, order: OrderParameter, *, shells: int) -> Measurement:
    model, crystal = simulator.posterior.model, simulator.conditions.crystal
    sites = periodic_sites(crystal, (size,) * crystal.n_translations)
    return Measurement(
        system=lattice_system(model, sites), sites=sites, species=model.species, order=order, shells=shells
    )


def _find_order(simulator: Simulator, rng: np.random.Generator) -> OrderParameter:
    """Look for the order in short simulations of a small crystal at all conditions."""
    short = dataclasses.replace(simulator.sampling, n_samples=30, n_chains=4, spacing=4, burn_in=100)
    pilot = dataclasses.replace(simulator, sampling=short, sampler=None, progress=None)
    measurement = _measurement(pilot, PILOT_CELLS, UniformOrder(), shells=1)
    model, conditions = simulator.posterior.model, simulator.conditions
    species = []
    for level in range(len(conditions.levels)):
        couplings = pilot.couplings(simulator.posterior.value[None], conditions.ratios, level=level)[0]
        found = pilot.run(measurement, couplings, level=level, rng=rng, species=True)
        species += [part.species for part in found]
    kept = bool(conditions.compositions)
    return find_order(np.concatenate(species), measurement.sites, n_species=model.n_species, conserved=kept)


def _focus(
    pools: dict[tuple[int, int], NodePool], draws: np.ndarray, ratios: np.ndarray, *, rng: np.random.Generator
) -> np.ndarray:
    """Simulate more where the transition of each level seems to be; return the temperatures added to the grid."""
    sizes = tuple(dict.fromkeys(size for size, _ in pools))
    added: list[np.ndarray] = [ratios]
    if len(sizes) < 2 or len(ratios) < 3:
        return ratios
    for level in range(max(level for _, level in pools) + 1):
        pair = [pools[size, level] for size in sizes[-2:]]
        centre = _suspected(ratios, *(pool.observables(ratios) for pool in pair), names=pair[0].measurement.names)
        if np.isnan(centre):
            continue
        energies = (draws * pair[1].mean_statistics(centre)).sum(axis=1)
        spread = float(np.std(energies) / max(abs(energies.mean()), 1e-12))
        half = min(np.hypot(FOCUS_WIDTH / sizes[-2], 2.0 * spread), 0.5) * centre
        low, high = max(centre - half, ratios[0]), min(centre + half, ratios[-1])
        for size in sizes:
            pools[size, level].add_temperatures(np.linspace(low, high, FOCUS_NODES), rng=rng)
        added.append(np.linspace(low, high, FOCUS_TEMPERATURES))
    return np.unique(np.concatenate(added).round(12))


def _suspected(ratios: np.ndarray, smaller: np.ndarray, larger: np.ndarray, *, names: tuple[str, ...]) -> float:
    """Return where Binder cumulants cross, else where the specific heat peaks; NaN where it does so at an end."""
    binder = names.index("Binder cumulant")
    difference = larger[:, binder] - smaller[:, binder]
    falls = np.flatnonzero((difference[:-1] >= 0) & (difference[1:] < 0))
    before = falls[falls < np.argmin(difference)]
    if len(before):
        k = before[-1]
        share = difference[k] / (difference[k] - difference[k + 1])
        return float(ratios[k] + share * (ratios[k + 1] - ratios[k]))
    top = int(np.argmax(larger[:, names.index("specific heat")]))
    return float(ratios[top]) if 0 < top < len(ratios) - 1 else float("nan")


def _refined(values: np.ndarray, refinement: int) -> np.ndarray:
    """Return the values with this many steps between two of them."""
    at = np.arange((len(values) - 1) * refinement + 1) / refinement
    return np.interp(at, np.arange(len(values)), values)
