"""The critical temperatures of the square and the triangular Ising model, found without knowing them."""

import numpy as np
import pytest

from tusi.generative.lattice import SQUARE, TRIANGULAR, ising, lattice_system, periodic_sites
from tusi.generative.montecarlo import SamplingPlan, SwendsenWang, draw_samples

pytestmark = pytest.mark.science
N_SAMPLES = {16: 24000, 32: 16000, 64: 6000}
SIDES = tuple(N_SAMPLES)
N_CHAINS = 8


def binder(statistics, simulated, temperature):
    """Return U4 at each temperature, all chains pooled, by reweighting what was simulated at one."""
    energy, magnetisation = statistics[..., 0].ravel(), statistics[..., 1].ravel()
    log_weight = -(1 / temperature[:, None] - 1 / simulated) * (energy - energy.mean())
    weight = np.exp(log_weight - log_weight.max(axis=1, keepdims=True))
    weight /= weight.sum(axis=1, keepdims=True)
    return 1 - (weight @ magnetisation**4) / (3 * (weight @ magnetisation**2) ** 2)


def crossing(small, large, simulated):
    """Return the temperature at which the two sizes have the same U4."""
    temperature = simulated * np.linspace(0.985, 1.015, 121)
    gap = binder(large, simulated, temperature) - binder(small, simulated, temperature)
    place = np.flatnonzero((gap[:-1] > 0) & (gap[1:] <= 0))
    assert len(place) == 1
    k = place[0]
    return temperature[k] + (temperature[k + 1] - temperature[k]) * gap[k] / (gap[k] - gap[k + 1])


@pytest.mark.parametrize(("crystal", "simulated", "tc"), [(SQUARE, 2.28, 2.269185), (TRIANGULAR, 3.66, 3.640957)])
def test_binder_crossing_finds_the_critical_temperature(crystal, simulated, tc):
    model, runs = ising(), []
    for side in SIDES:
        plan = SamplingPlan(n_samples=N_SAMPLES[side], n_chains=N_CHAINS, burn_in=200)
        system = lattice_system(model, periodic_sites(crystal, (side, side)))
        rng = np.random.default_rng([20, side])
        samples = draw_samples(system, model.couplings(K=1 / simulated), rng=rng, sampler=SwendsenWang(), plan=plan)
        assert samples.r_hat.max() < 1.01
        runs.append(samples.statistics)
    for side, small, large in zip(SIDES, runs, runs[1:], strict=False):
        found = crossing(small, large, simulated)
        left_out = [crossing(np.delete(small, k, 0), np.delete(large, k, 0), simulated) for k in range(N_CHAINS)]
        error = np.sqrt((N_CHAINS - 1) * np.var(left_out))
        print(  # noqa: T201
            f"{side}/{2 * side}: Tc = {found:.5f} +- {error:.5f}, exact {tc}, off by {100 * (found / tc - 1):+.3f} %"
        )
        assert abs(found / tc - 1) < 0.003
        assert error / tc < 0.001
