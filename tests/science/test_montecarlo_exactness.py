"""Do the samplers give Onsager's energy and specific heat on the periodic square Ising model?

The finite torus differs from the infinite lattice by terms of order `exp(-64 / xi)`, far below the errors here. The
energy bounds the bias of a sweep; the variance bounds what a fit takes for its information matrix.
"""

import numpy as np
import pytest

from tusi.generative.lattice import SQUARE, ising, lattice_system, onsager_energy, onsager_specific_heat, periodic_sites
from tusi.generative.montecarlo import HeatBath, SamplingPlan, draw_samples

LENGTH = 64
N_SITES = LENGTH**2


def bonds(coupling, *, method="automatic", plan, seed):
    """Samples of minus the sum of s s over neighbours."""
    system = lattice_system(ising(field=False), periodic_sites(SQUARE, (LENGTH, LENGTH)))
    return draw_samples(
        system, np.array([coupling]), rng=np.random.default_rng(seed), sampler=HeatBath(method=method), plan=plan
    )


@pytest.mark.science
@pytest.mark.parametrize("method", ["environments", "clusters"])
def test_energy_is_onsagers(method):
    plan = SamplingPlan(n_samples=3000, n_chains=4, burn_in=200, spacing=5)
    samples = bonds(0.3, method=method, plan=plan, seed=7)
    error = samples.standard_error[0] / N_SITES
    assert error <= 3e-4
    assert samples.r_hat[0] < 1.01
    assert abs(-samples.mean[0] / N_SITES - 0.70450) < 3 * error
    assert onsager_energy(0.3) == pytest.approx(0.70450, abs=5e-6)


@pytest.mark.science
@pytest.mark.parametrize("coupling", [0.2, 0.3])
def test_variance_is_the_specific_heat(coupling):
    plan = SamplingPlan(n_samples=8000, n_chains=4, burn_in=200, spacing=12)
    samples = bonds(coupling, plan=plan, seed=8)
    expected = N_SITES * onsager_specific_heat(coupling) / coupling**2
    assert samples.effective_sample_size[0] > 20000
    assert samples.covariance[0, 0] == pytest.approx(expected, rel=0.03)


@pytest.mark.science
def test_the_standard_error_covers():
    """A hundred runs at K = .3: the root mean square of the error over its standard error is 1 to .2 (3 sigma)."""
    plan = SamplingPlan(n_samples=400, n_chains=2, burn_in=100, spacing=1)
    runs = [bonds(0.3, plan=plan, seed=seed) for seed in range(100)]
    scores = [(-run.mean[0] - N_SITES * onsager_energy(0.3)) / run.standard_error[0] for run in runs]
    assert 0.8 < np.sqrt(np.mean(np.square(scores))) < 1.2
