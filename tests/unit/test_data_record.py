"""Records: what goes in comes out, nothing can be changed afterwards, and mistakes are named."""

import dataclasses
import pickle
from typing import ClassVar

import numpy as np
import pytest

from tusi.data import Atoms
from tusi.data.record import Record, array, array_fields
from tusi.errors import InputError


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Walk(Record):
    format_name: ClassVar[str] = "walk"
    row: ClassVar[str] = "step"

    shared: np.ndarray = array("axis")
    position: np.ndarray = array("step", "axis")
    count: np.ndarray = array("step", dtype=np.int64)
    weight: np.ndarray | None = array("step", default=None)
    name: str = ""
    nested: tuple = ()


def walk(n_steps: int = 4, **changes: object) -> Walk:
    rng = np.random.default_rng(7)
    fields: dict = {"shared": np.zeros(2), "position": rng.normal(size=(n_steps, 2)), "count": np.arange(n_steps)}
    return Walk(**(fields | changes))


def same(first: Record, second: Record) -> None:
    assert type(first) is type(second)
    for field in dataclasses.fields(first):
        one, other = getattr(first, field.name), getattr(second, field.name)
        if isinstance(one, np.ndarray):
            np.testing.assert_array_equal(one, other)
            assert one.dtype == other.dtype
        else:
            assert one == other


@pytest.mark.parametrize(
    "record",
    [
        walk(),
        walk(0),
        walk(weight=np.array([0.1, np.nan, np.inf, -0.0])),
        walk(name="a", nested=(("b", 1.5), (None, True))),
    ],
    ids=["plain", "empty", "optional", "attributes"],
)
def test_round_trips(record):
    same(record, Walk.from_xarray(record.to_xarray()))
    same(record, pickle.loads(pickle.dumps(record)))


def test_round_trip_is_exact_to_the_bit():
    value = np.nextafter(np.array([[0.1, 1e300]]), np.inf)
    record = walk(1, position=value)
    assert Walk.from_xarray(record.to_xarray()).position.tobytes() == value.tobytes()


def test_unknown_stays_unknown():
    record = walk()
    assert record.weight is None
    assert Walk.from_xarray(record.to_xarray()).weight is None
    assert record[:2].weight is None


def test_columns_are_locked_copies():
    count = np.arange(4)
    record = walk(count=count)
    count[0] = 99
    assert record.count[0] == 0
    with pytest.raises(ValueError, match="read-only"):
        record.count[0] = 1
    with pytest.raises(dataclasses.FrozenInstanceError):
        record.name = "other"


def test_locked_after_pickling_through_xarray_and_slicing():
    for record in (walk()[1:], Walk.from_xarray(walk().to_xarray())):
        with pytest.raises(ValueError, match="read-only"):
            record.position[0, 0] = 1.0


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        (np.array([True, False, True, False]), [0, 2]),
        (slice(1, 3), [1, 2]),
        (np.array([3, 0]), [3, 0]),
        (2, [2]),
        (-1, [3]),
        (-2, [2]),
        (np.int64(0), [0]),
        (np.zeros(4, bool), []),
        ([], []),
    ],
)
def test_rows(rows, expected):
    if isinstance(rows, list):
        rows = np.array(rows, dtype=np.int64)
    part = walk()[rows]
    assert part.count.tolist() == expected
    assert len(part) == len(expected)
    np.testing.assert_array_equal(part.position, walk().position[expected])
    assert part.shared.shape == (2,)


def test_row_out_of_range_is_not_silently_empty():
    assert len(walk()[1:1]) == 0
    with pytest.raises(IndexError):
        walk()[np.array([4])]


def test_sizes_must_agree():
    with pytest.raises(InputError, match=r"`count`: expected 4 along 'step' as in the other fields; got 3"):
        walk(count=np.arange(3))


def test_number_of_dimensions_must_agree():
    with pytest.raises(InputError, match=r"`position`: expected dimensions \(step, axis\); got shape \(4,\)"):
        walk(position=np.zeros(4))


def test_wrong_format_is_refused():
    with pytest.raises(InputError, match="expected tusi_format 'atoms'; got 'walk'"):
        Atoms.from_xarray(walk().to_xarray())


def test_dataset_without_format_is_refused():
    dataset = walk().to_xarray()
    del dataset.attrs["tusi_format"]
    with pytest.raises(InputError, match="expected tusi_format 'walk'; got None"):
        Walk.from_xarray(dataset)


def test_dtypes_are_converted():
    record = walk(count=np.array([0.0, 1.0, 2.0, 3.0]), position=np.ones((4, 2), np.float32))
    assert record.count.dtype == np.int64
    assert record.position.dtype == np.float64


def test_array_fields_are_found_on_class_and_instance():
    names = [field.name for field in array_fields(Walk)]
    assert names == ["shared", "position", "count", "weight"] == [field.name for field in array_fields(walk())]
