"""Pictures of drift, pair displacement and layers show the numbers of their tables."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import gendkit as gk
from gendkit.data.manifest import Manifest
from gendkit.errors import InvalidArgument, InvalidEmbeddings
from gendkit.model.detector import Detector
from gendkit.pages.palette import FAKE, REAL, UNKNOWN
from gendkit.progress import silent
from gendkit.testing.small import small_crops


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    root = tmp_path_factory.mktemp("crops")
    return small_crops(root, identities=("ann", "bob", "cem"), frames=2, split="final")


@pytest.fixture
def drifted(manifest: Manifest, detector: Detector) -> xr.Dataset:
    return gk.drift(manifest, detector, levels=[90, 30], progress=silent)


def test_drift_has_a_line_a_class_in_its_look(drifted: xr.Dataset) -> None:
    figure = gk.plot_drift(drifted, resamples=20)
    table = gk.drift_table(drifted, resamples=20)
    for ax, name in zip(figure.axes, ("angle", "score", "consistency"), strict=True):
        for value, line in zip(
            "01", (li for li in ax.lines if li.get_marker() in "o^"), strict=True
        ):
            expected = table.loc[("label", value), name].to_numpy()
            np.testing.assert_array_equal(np.asarray(line.get_ydata(), float), expected)
            assert line.get_color() == (FAKE if value == "1" else REAL)
        assert len(ax.collections) == 2
        assert [t.get_text() for t in ax.get_xticklabels()] == ["as is", "90", "30"]
        assert ax.get_xlabel() == "JPEG quality"
    assert [t.get_text() for t in figure.axes[0].get_legend().get_texts()] == ["real", "fake"]
    assert figure.axes[0].get_ylabel()


def test_drift_can_be_drawn_by_any_column(drifted: xr.Dataset) -> None:
    figure = gk.plot_drift(drifted, by="target_identity", resamples=5)
    names = [t.get_text() for t in figure.axes[0].get_legend().get_texts()]
    assert names == ["ann", "bob", "cem"]
    with pytest.raises(InvalidEmbeddings, match="no variable 'mood'"):
        gk.plot_drift(drifted, by="mood", resamples=5)


def test_steps_to_fakes_stand_above_the_nulls(manifest: Manifest, detector: Detector) -> None:
    table = gk.pair_displacement(manifest, detector, resamples=20, progress=silent)
    ax = gk.plot_displacement(table).axes[0]
    assert [t.get_text() for t in ax.get_yticklabels()] == [
        "grid", "shuffled pairs (grid)", "jittered crop", "neighbouring frame", "re-encoded real",
    ]  # fmt: skip
    dots = [line for line in ax.lines if len(line.get_xdata()) == 1]
    assert dots[0].get_xdata()[0] == table.loc[("grid", "fake"), "length"]
    assert [d.get_color() for d in dots] == [FAKE, *[UNKNOWN] * 4]


def test_layers_are_drawn_by_depth(manifest: Manifest, detector: Detector) -> None:
    table = gk.layer_effects(manifest, detector, resamples=5, progress=silent)
    figure = gk.plot_layers(table)
    change = figure.axes[2].lines[0]
    np.testing.assert_array_equal(change.get_xdata(), table["depth"])
    np.testing.assert_array_equal(change.get_ydata(), table["auroc_change"])
    assert figure.axes[0].yaxis.get_major_formatter()(0.25) == "25%"


def test_pictures_are_drawn(drifted: xr.Dataset, tmp_path: Path) -> None:
    gk.plot_drift(drifted, resamples=5).savefig(tmp_path / "drift.png")
    assert (tmp_path / "drift.png").stat().st_size > 5_000


def test_another_table_is_refused() -> None:
    with pytest.raises(InvalidArgument, match=r"no length.*give that of gk.pair_displacement"):
        gk.plot_displacement(pd.DataFrame({"depth": [0.0]}))
    with pytest.raises(InvalidArgument, match=r"no weight, bias.*give that of gk.layer_effects"):
        gk.plot_layers(pd.DataFrame({"depth": [0.0]}))
    with pytest.raises(InvalidEmbeddings, match=r"gk\.drift"):
        gk.plot_drift(xr.Dataset())
