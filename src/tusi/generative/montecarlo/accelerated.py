"""The coloured heat bath through JAX: every chain at once, on a GPU where there is one."""

import contextlib
import dataclasses
import functools
from typing import Any, Literal

import numpy as np
from jaxtyping import Float, Int

from tusi.errors import InputError
from tusi.generative.lattice.system import LatticeSystem
from tusi.generative.montecarlo.plan import Sampler, SamplingPlan
from tusi.generative.montecarlo.samples import Samples

PRECISIONS = ("single", "double")
"""Arithmetic that energies and statistics can be computed in."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class AcceleratedHeatBath(Sampler):
    """The heat bath of all chains at once, compiled for a GPU or whatever device there is; a step is one sweep.

    All sites of a colour, in all chains, draw their species together, and the statistics are counted on the device.
    It pays with many chains of large systems; the first run of a new shape is compiled. Statistics are sums in the
    chosen precision: in single precision those of more than about ten million clusters are rounded.

    Attributes
    ----------
    precision
        "single" or "double", for energies and statistics; the setting of JAX itself is left as it is.
    device
        Kind of device as JAX names it ("cpu", "gpu"); the fastest that it finds where this is None.

    References
    ----------
    S. Geman and D. Geman, *IEEE Trans. Pattern Anal. Mach. Intell.* 6, 721 (1984).

    Examples
    --------
    >>> from tusi.generative.lattice import SQUARE, ising, lattice_system, periodic_sites
    >>> system = lattice_system(ising(field=False), periodic_sites(SQUARE, (8, 8)))
    >>> plan = SamplingPlan(n_samples=50, n_chains=20, burn_in=20)
    >>> sampler = AcceleratedHeatBath(device="cpu")
    >>> samples = sampler.run(system, np.array([0.2]), plan=plan, rng=np.random.default_rng(1))
    >>> samples.statistics.shape, bool(-32 < samples.mean[0] < -22)
    ((20, 50, 1), True)
    """

    precision: Literal["single", "double"] = "single"
    device: str | None = None

    def __post_init__(self) -> None:
        if self.precision not in PRECISIONS:
            raise InputError("precision", expected='"single" or "double"', got=repr(self.precision))

    def run(
        self,
        system: LatticeSystem,
        couplings: Float[np.ndarray, " parameter"],
        *,
        plan: SamplingPlan,
        rng: np.random.Generator,
    ) -> Samples:
        """Draw the samples of a plan."""
        import jax

        start = plan.first_arrangements(system, rng=rng)
        key_data = rng.integers(0, 2**32, size=2, dtype=np.uint32)
        layout = _lay_out(system)
        real = np.float32 if self.precision == "single" else np.float64
        state = np.append(start.T[layout.order], np.zeros((1, plan.n_chains), dtype=np.int8), axis=0)
        steps = np.array([plan.burn_in, plan.spacing], dtype=np.int32)
        with jax.enable_x64(True) if self.precision == "double" else contextlib.nullcontext():
            chains, sweeps, counted = jax.device_put(
                (
                    (state, key_data, steps),
                    _sweep_arrays(system, couplings, layout, real),
                    _counted(system, layout, real),
                ),
                _device(self.device),
            )
            last, statistics, kept = _compiled()(
                chains, sweeps, counted, bounds=layout.bounds, n_samples=plan.n_samples, keep=plan.keep_species
            )
            last, statistics, kept = (np.asarray(one) for one in (last, statistics, kept))
        place = np.argsort(layout.order)
        return Samples(
            statistics=np.ascontiguousarray(statistics.transpose(1, 0, 2), dtype=np.float64),
            species=np.ascontiguousarray(kept.transpose(2, 0, 1)[:, :, place]),
            final=np.ascontiguousarray(last[:-1][place].T),
            acceptance=1.0,
        )


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class _Layout:
    """Sites in the order of their colours, clamped ones last, so that a colour is a slice.

    Attributes
    ----------
    order
        Site at each place.
    place
        Place of each site; the phantom site keeps its number.
    bounds
        First place of each colour, and the end of the last.
    """

    order: Int[np.ndarray, " site"]
    place: Int[np.ndarray, " site_end"]
    bounds: tuple[int, ...]


def _lay_out(system: LatticeSystem) -> _Layout:
    order = np.concatenate([*system.colours, np.flatnonzero(~system.free)]).astype(np.int64)
    bounds = np.cumsum([0, *(len(colour) for colour in system.colours)])
    return _Layout(
        order=order, place=np.append(np.argsort(order), system.n_sites), bounds=tuple(int(bound) for bound in bounds)
    )


def _sweep_arrays(system: LatticeSystem, couplings: np.ndarray, layout: _Layout, real: type) -> tuple:
    """Return what the colours read: the energies above species 0 by code, and each colour's padded clusters.

    What acts on a site alone is summed beforehand.
    """
    near, n_codes = system.incidence, system.table.shape[1]
    energy = system.table @ couplings
    kind = system.kind[near.cluster]
    pairs, row = np.unique(np.column_stack([kind, near.own_stride]), axis=0, return_inverse=True)
    rise = np.zeros((len(pairs), n_codes, system.n_species - 1))
    for number, (which, stride) in enumerate(pairs.tolist()):
        for s in range(1, system.n_species):
            code = np.arange(n_codes - s * stride)
            rise[number, code, s - 1] = energy[which, code + s * stride] - energy[which, code]
    weight = system.weight[near.cluster]
    alone = (near.others == system.n_sites).all(axis=1)
    site = np.repeat(np.arange(system.n_sites), np.diff(near.start))
    base = -system.log_weight.copy()
    np.add.at(base[:, 1:], site[alone], weight[alone, None] * rise[row.ravel()[alone], 0])
    entries = (layout.place[near.others], near.stride, row.ravel() * n_codes, weight)
    colours = tuple(
        (base[colour].T[:, :, None].astype(real), *_padded(near.start, alone, entries, colour, real))
        for colour in system.colours
    )
    return rise.reshape(-1, system.n_species - 1).astype(real), colours


def _padded(
    start: np.ndarray, alone: np.ndarray, entries: tuple[np.ndarray, ...], sites: np.ndarray, real: type
) -> tuple[np.ndarray, ...]:
    """Return the clusters of these sites, each site's as many as the richest one's; those added have no weight."""
    others, stride, first, weight = entries
    numbers = [np.arange(int(start[site]), int(start[site + 1])) for site in sites]
    numbers = [entry[~alone[entry]] for entry in numbers]
    lengths = np.array([len(entry) for entry in numbers])
    there = np.arange(lengths.max(initial=0)) < lengths[:, None]
    which = np.zeros(there.shape, dtype=np.int64)
    which[there] = np.concatenate(numbers)
    return (
        others[which].astype(np.int32),
        stride[which].astype(np.int32),
        first[which].astype(np.int32),
        np.where(there, weight[which], 0.0).astype(real),
    )


def _counted(system: LatticeSystem, layout: _Layout, real: type) -> tuple[np.ndarray, ...]:
    """Return what the statistics are counted from."""
    strides = system.n_species ** np.arange(system.members.shape[1])
    n_codes = system.table.shape[1]
    return (
        layout.place[system.members].astype(np.int32),
        strides.astype(np.int32),
        (system.kind * n_codes).astype(np.int32),
        system.weight.astype(real),
        system.table.reshape(len(system.table) * n_codes, system.table.shape[2]).astype(real),
    )


def _device(kind: str | None) -> Any:
    """Return the device of a kind, the default one where none is asked for."""
    import jax

    try:
        return jax.devices(kind)[0]
    except RuntimeError as error:
        raise InputError(
            "device", expected=f"a device that JAX finds, such as {jax.default_backend()!r}", got=repr(kind)
        ) from error


@functools.cache
def _compiled() -> Any:
    """Return the sampler; JAX is imported when it is first needed."""
    import jax
    import jax.numpy as jnp

    def codes(state: Any, others: Any, strides: Any) -> Any:
        """Return the code of each cluster in each chain, corner by corner."""
        parts = [
            strides[..., corner, None] * state[others[..., corner]].astype(jnp.int32)
            for corner in range(others.shape[-1])
        ]
        return functools.reduce(jnp.add, parts)

    def draw(state: Any, uniform: Any, rise: Any, colour: tuple) -> Any:
        """Return the species that the sites of a colour draw, given all others."""
        base, others, stride, first, weight = colour
        local = [jnp.broadcast_to(level, uniform.shape) for level in base]
        if others.shape[1]:
            index = first[..., None] + codes(state, others, stride)
            for s in range(1, len(local)):
                local[s] = local[s] + (weight[..., None] * rise[index, s - 1]).sum(axis=1)
        lowest = functools.reduce(jnp.minimum, local)
        above = [jnp.exp(lowest - level) for level in local]
        for s in range(1, len(above)):
            above[s] = above[s] + above[s - 1]
        threshold = uniform * above[-1]
        return functools.reduce(jnp.add, [(threshold >= level).astype(jnp.int8) for level in above[:-1]])

    @functools.partial(jax.jit, static_argnames=("bounds", "n_samples", "keep"))
    def run(chains: tuple, sweeps: tuple, counted: tuple, *, bounds: tuple, n_samples: int, keep: bool) -> tuple:
        state, key_data, steps = chains
        key = jax.random.wrap_key_data(key_data)
        rise, colours = sweeps
        members, strides, first, weight, table = counted

        def sweep(number: Any, state: Any) -> Any:
            shape = (bounds[-1], state.shape[1])
            uniform = jax.random.uniform(jax.random.fold_in(key, number), shape, dtype=rise.dtype)
            for a, b, colour in zip(bounds[:-1], bounds[1:], colours, strict=True):
                state = state.at[a:b].set(draw(state, uniform[a:b], rise, colour))
            return state

        def step(state: Any, sample: Any) -> tuple:
            end = steps[0] + (sample + 1) * steps[1]
            state = jax.lax.fori_loop(jnp.where(sample == 0, 0, end - steps[1]), end, sweep, state)
            index = first[:, None] + codes(state, members, jnp.broadcast_to(strides, members.shape))
            totals = [(weight[:, None] * table[index, k]).sum(axis=0) for k in range(table.shape[1])]
            statistics = jnp.stack(totals, axis=-1) if totals else jnp.zeros((state.shape[1], 0), rise.dtype)
            return state, (statistics, state[:-1] if keep else state[:0])

        state, (statistics, kept) = jax.lax.scan(step, state, jnp.arange(n_samples, dtype=steps.dtype))
        return state, statistics, kept if keep else jnp.zeros((0, state.shape[0] - 1, state.shape[1]), state.dtype)

    return run
