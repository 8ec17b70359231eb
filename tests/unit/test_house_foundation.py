"""Errors, units and execution: errors survive pickling, lengths convert, and no number depends on the workers."""

import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from threadpoolctl import threadpool_info

from tusi import errors
from tusi.errors import ConvergenceError, InputError, TusiError
from tusi.execution import Executor, SerialExecutor, arguments_of, call, stream
from tusi.units import BOLTZMANN, angstroms


def pickled(thing):
    return pickle.loads(pickle.dumps(thing))


# ---- errors --------------------------------------------------------------------------------------------------------


def test_input_error_says_name_expected_got_and_next_step():
    error = InputError("width", expected="a length above 0", got="-1", then="Leave it out.")
    assert str(error) == "`width`: expected a length above 0; got -1. Leave it out."
    assert isinstance(error, ValueError)
    assert isinstance(error, TusiError)


def test_input_error_survives_pickling():
    before = InputError("width", expected="a length", got="-1", then="Leave it out.")
    after = pickled(before)
    assert str(after) == str(before)
    assert (after.name, after.expected, after.got, after.then) == ("width", "a length", "-1", "Leave it out.")


def test_convergence_error_carries_its_result_through_pickling():
    after = pickled(ConvergenceError("stopped after 3 steps", result={"best": 1.5}))
    assert isinstance(after, ConvergenceError)
    assert str(after) == "stopped after 3 steps"
    assert after.result == {"best": 1.5}


def test_every_warning_is_a_tusi_warning():
    found = [thing for name, thing in vars(errors).items() if name.endswith("Warning") and name != "TusiWarning"]
    assert found
    assert all(issubclass(one, errors.TusiWarning) and issubclass(one, UserWarning) for one in found)


# ---- units ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "unit", "expected"),
    [
        (1, "angstrom", 1.0),
        (1, "Å", 1.0),
        (100, "pm", 1.0),
        (1, "nm", 10.0),
        (1, " NM ", 10.0),
        (1, "um", 1e4),
        (1, "µm", 1e4),
        (1, "\u03bcm", 1e4),
        (1, "mm", 1e7),
        (1, "cm", 1e8),
        (1, "m", 1e10),
        (-2.5, "nm", -25.0),
    ],
)
def test_lengths_convert(value, unit, expected):
    assert angstroms(value, unit) == pytest.approx(expected, rel=1e-15)


@pytest.mark.parametrize("unit", ["", "1/nm", "eV", "pixel"])
def test_what_is_no_length_is_refused(unit):
    with pytest.raises(InputError, match=r"`unit`: expected a unit of length .*angstrom.*; got"):
        angstroms(1.0, unit)


def test_boltzmann_is_the_exact_si_ratio():
    assert pytest.approx(1.380649e-23 / 1.602176634e-19, rel=1e-9) == BOLTZMANN


# ---- execution -----------------------------------------------------------------------------------------------------


def draw(item: int, rng: np.random.Generator) -> tuple[int, float]:
    return item, float(rng.normal())


def square(item: int) -> int:
    return item * item


def blas_threads(_: int) -> int:
    np.ones((4, 4)) @ np.ones((4, 4))
    return max([pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"], default=1)


class Threads(Executor):
    """The same arguments and the same call as every executor, finishing out of order."""

    def __init__(self, n_workers: int) -> None:
        self.n_workers = n_workers

    def map(self, function, items, *, rng=None, progress=None):
        with ThreadPoolExecutor(self.n_workers) as pool:
            jobs = [pool.submit(call, function, arguments) for arguments in reversed(arguments_of(items, rng))]
            return [job.result() for job in reversed(jobs)]


def test_map_keeps_the_order():
    assert SerialExecutor().map(square, range(5)) == [0, 1, 4, 9, 16]
    assert SerialExecutor().map(square, []) == []


@pytest.mark.parametrize("n_workers", [1, 2, 5])
def test_map_does_not_depend_on_the_workers(n_workers):
    serial = SerialExecutor().map(draw, range(20), rng=np.random.default_rng(5))
    assert Threads(n_workers).map(draw, range(20), rng=np.random.default_rng(5)) == serial


def test_the_number_of_items_does_not_change_the_first_ones():
    few = SerialExecutor().map(draw, range(3), rng=np.random.default_rng(5))
    many = SerialExecutor().map(draw, range(30), rng=np.random.default_rng(5))
    assert many[:3] == few


def test_items_draw_from_streams_of_their_own():
    values = [value for _, value in SerialExecutor().map(draw, range(200), rng=np.random.default_rng(5))]
    assert len(set(values)) == 200


def test_a_second_map_draws_anew():
    rng = np.random.default_rng(5)
    assert SerialExecutor().map(draw, range(3), rng=rng) != SerialExecutor().map(draw, range(3), rng=rng)


def test_progress_counts_every_item():
    seen = []
    SerialExecutor().map(square, range(3), progress=lambda done, n_items: seen.append((done, n_items)))
    assert seen == [(1, 3), (2, 3), (3, 3)]


def test_items_run_with_one_blas_thread():
    assert SerialExecutor().map(blas_threads, [0]) == [1]


def test_an_items_error_reaches_the_caller():
    with pytest.raises(ZeroDivisionError):
        SerialExecutor().map(lambda item: 1 // item, [1, 0])


def test_stream_depends_on_seed_and_key_alone():
    assert stream(1, "finding", 3).random() == stream(1, "finding", 3).random()
    values = {stream(seed, name, i).random() for seed in (0, 1) for name in ("finding", "species") for i in range(50)}
    assert len(values) == 200


def test_stream_is_the_same_on_every_machine():
    """Pinned: a change here changes every published number."""
    assert stream(2026, "species", 7).integers(0, 2**32, 2).tolist() == [1519198797, 3893458684]
