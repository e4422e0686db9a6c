"""`ds.gend`: what a Dataset says of itself, and its NetCDF file."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from gendkit.errors import InvalidEmbeddings, MissingDependency, OutputExists, UnwritableOutput
from gendkit.manifold import accessor  # noqa: F401
from gendkit.manifold.schema import SCHEMA

from .conftest import Points


def test_variables_are_described_as_the_schema_has_them(points: Points) -> None:
    ds = points(3, video=list("abc")).assign(
        mood=("day", np.arange(7, dtype=np.int32), {"units": "d", "meaning": "how it was"})
    )
    table = ds.gend.describe()
    assert table.index.tolist() == ["embedding", "sample", "video", "mood"]
    known = {v.name: v for v in SCHEMA}
    for name in ("embedding", "sample", "video"):
        row, variable = table.loc[name], known[name]
        assert (row["dims"], row["dtype"]) == (", ".join(variable.dims), variable.dtype)
        assert (row["unit"], row["meaning"]) == (variable.unit, variable.meaning)
    assert table.loc["mood"].tolist() == ["day", "int32", "d", "how it was", (7,)]
    assert table.loc["embedding", "shape"] == (3, 8)


def test_it_validates(points: Points) -> None:
    ds = points(3)
    assert ds.gend.validate() is ds
    with pytest.raises(InvalidEmbeddings, match="'score' has dims"):
        ds.assign(score=("day", np.zeros(2, np.float32))).gend.validate()


def test_custody_reads_what_is_nested(points: Points) -> None:
    ds = points(3).assign_attrs(recipe=json.dumps({"name": "r"}), adapter_hash="abc")
    assert dict(ds.gend.custody) == {"recipe": {"name": "r"}, "adapter_hash": "abc"}
    with pytest.raises(TypeError):
        ds.gend.custody["adapter_hash"] = "other"


def test_a_netcdf_file_has_the_numbers_in_float32_and_says_what_was_changed(
    points: Points, tmp_path: Path
) -> None:
    ds = points(4, video=["a", "", "\u00e9\u4e2d", "d"]).assign(
        time=("sample", np.array([0.1, np.nan, 2.5, 1e9])),
        label=("sample", np.array([0, 1, -1, 0])),
        known=("sample", np.array([True, False, True, True])),
    )
    ds = ds.assign_attrs(recipe=json.dumps({"a": [1, 2]}))
    path = ds.gend.to_netcdf(tmp_path / "new" / "e.nc")
    with xr.open_dataset(path, engine="h5netcdf") as found:
        back = found.load()
    assert back.attrs["gendkit_conversions"] == (
        "time was float64, is float32; known was bool, is int8"
    )
    assert back.attrs["recipe"] == ds.attrs["recipe"]
    np.testing.assert_array_equal(back["embedding"], ds["embedding"])
    np.testing.assert_array_equal(back["time"], ds["time"].astype(np.float32))
    np.testing.assert_array_equal(back["label"], ds["label"])
    np.testing.assert_array_equal(back["known"], [1, 0, 1, 1])
    for name in ("sample", "video"):
        assert back[name].values.tolist() == ds[name].values.tolist()
    assert ds["time"].dtype == np.float64  # and the Dataset is left as it was
    assert [p.name for p in path.parent.iterdir()] == ["e.nc"]


def test_a_netcdf_file_is_replaced_only_on_request(points: Points, tmp_path: Path) -> None:
    path = tmp_path / "e.nc"
    points(3).gend.to_netcdf(path)
    with pytest.raises(OutputExists, match="already there"):
        points(4).gend.to_netcdf(path)
    points(4).gend.to_netcdf(path, overwrite=True)
    with xr.open_dataset(path, engine="h5netcdf") as found:
        assert found.sizes["sample"] == 4
    with pytest.raises(UnwritableOutput, match="is a file"):
        points(3).gend.to_netcdf(path / "e.nc")


def test_without_the_extra_it_is_named(
    points: Points, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "h5netcdf", None)
    with pytest.raises(MissingDependency, match=r"gendkit\[netcdf\]"):
        points(3).gend.to_netcdf(tmp_path / "e.nc")
