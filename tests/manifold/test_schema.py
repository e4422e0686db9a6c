"""The schema as data: what is checked, what is written beside the numbers, and what is named."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from gendkit.data.columns import COLUMNS
from gendkit.errors import InvalidEmbeddings
from gendkit.manifold.schema import SCHEMA, UNIT_TOLERANCE, Variable, attributed, validate

from .conftest import Points

SIZES = {"sample": 4, "feature": 8, "class": 2, "rank": 3, "class_rank": 3, "axis": 2, "side": 4}
SIZES |= {"landmark": 5, "xy": 2, "level": 6}
OTHERS = [v for v in SCHEMA if v.name not in ("embedding", "sample")]
WRONG = {"f": "i", "i": "f", "U": "f"}


def filled(variable: Variable, *, kind: str | None = None) -> xr.DataArray:
    """Values of a variable's shape, of its own kind or another."""
    shape = [SIZES[d] for d in variable.dims]
    dtype = {"f": np.float32, "i": np.int64, "U": object}[kind or variable.kind]
    return xr.DataArray(np.full(shape, "" if dtype is object else 0, dtype), dims=variable.dims)


@pytest.fixture
def whole(points: Points) -> xr.Dataset:
    """A Dataset with every conventional variable."""
    return points(4).assign({v.name: filled(v) for v in OTHERS})


def test_a_dataset_with_every_variable_is_valid(whole: xr.Dataset) -> None:
    assert validate(whole) is whole


def test_a_dataset_with_embeddings_alone_is_valid(points: Points) -> None:
    ds = points(4)
    assert validate(ds) is ds
    assert set(ds.variables) == {"embedding", "sample"}


def test_variables_of_one_s_own_are_left_alone(points: Points) -> None:
    ds = points(4).assign(mood=("day", np.arange(7)))
    assert validate(ds) is ds


def test_every_column_of_the_manifest_is_in_the_schema() -> None:
    names = [v.name for v in SCHEMA]
    assert len(set(names)) == len(names)
    assert {c.name for c in COLUMNS} <= set(names)
    assert {v.name: v.unit for v in SCHEMA if v.unit}["time"] == "s"


@pytest.mark.parametrize("variable", OTHERS, ids=lambda v: v.name)
def test_a_variable_of_another_kind_is_named(points: Points, variable: Variable) -> None:
    ds = points(4).assign({variable.name: filled(variable, kind=WRONG[variable.kind])})
    with pytest.raises(InvalidEmbeddings, match=f"'{variable.name}' has dtype") as error:
        validate(ds)
    assert f"the schema says {variable.dtype}" in str(error.value)


@pytest.mark.parametrize("variable", OTHERS, ids=lambda v: v.name)
def test_a_variable_with_other_dims_is_named(points: Points, variable: Variable) -> None:
    renamed = filled(variable).rename({variable.dims[-1]: "other"})
    with pytest.raises(InvalidEmbeddings, match=f"'{variable.name}' has dims") as error:
        validate(points(4).assign({variable.name: renamed}))
    assert str(variable.dims) in str(error.value)


@pytest.mark.parametrize("strings", [["a", "b"], ["a", ""]])
@pytest.mark.parametrize("dtype", [object, "U", np.dtypes.StringDType()])
def test_strings_of_every_kind_are_strings(
    points: Points, strings: list[str], dtype: object
) -> None:
    ds = points(2).assign(video=("sample", np.array(strings, dtype)))
    assert validate(ds) is ds


@pytest.mark.parametrize("name", ["embedding", "sample"])
def test_what_must_be_there_is_named(points: Points, name: str) -> None:
    with pytest.raises(InvalidEmbeddings, match=f"no '{name}'"):
        validate(points(4).drop_vars(name))


def test_a_sample_that_occurs_twice_is_refused(points: Points) -> None:
    ds = points(3).assign_coords(sample=np.array(["a", "b", "a"], object))
    with pytest.raises(InvalidEmbeddings, match="sample occurs more than once"):
        validate(ds)


@pytest.mark.parametrize(
    ("length", "told"), [(0.0, "0"), (2.0, "2"), (1.002, "1.002"), (np.nan, "nan"), (np.inf, "inf")]
)
def test_a_row_that_is_not_of_unit_length_is_named(
    points: Points, length: float, told: str
) -> None:
    ds = points(6)
    ds["embedding"].values[4] = np.eye(8)[0] * (length if np.isfinite(length) else 1)
    if not np.isfinite(length):
        ds["embedding"].values[4, 0] = length
    with pytest.raises(InvalidEmbeddings, match=f"row 4 has length {told}; expected 1"):
        validate(ds)


def test_rounding_is_no_other_length(points: Points) -> None:
    ds = points(6)
    ds["embedding"].values[4] *= 1 + 0.5 * UNIT_TOLERANCE
    assert validate(ds) is ds


def test_meanings_and_units_are_written_beside_the_numbers(whole: xr.Dataset) -> None:
    ds = attributed(whole)
    for variable in SCHEMA:
        assert ds[variable.name].attrs["meaning"] == variable.meaning
        assert ds[variable.name].attrs.get("units", "") == variable.unit
    assert ds["box"].attrs["units"] == "px"
    assert ds["label"].attrs["meaning"] == "0 real, 1 fake, -1 unknown"
