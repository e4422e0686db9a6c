"""The picture of robustness: a column a degradation, lines of real and fake below."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from gendkit.errors import InvalidArgument
from gendkit.evaluate.robustness import GRIDS
from gendkit.notebook.robustness import plot_robustness


def found(grids: dict[str, list[str]]) -> xr.Dataset:
    """Make up what `gk.robustness` gives."""
    settings = [(g, n, c) for g, chains in grids.items() for n, c in enumerate(["", *chains])]
    grid, level, chain = zip(*settings, strict=True)
    fall = np.array(level) / 6
    return xr.Dataset(
        {
            "auroc": ("setting", 0.95 - 0.3 * fall), "tpr": ("setting", 0.8 - 0.5 * fall),
            "fpr": ("setting", 0.05 + 0.4 * fall), "shift_real": ("setting", fall),
            "shift_fake": ("setting", -fall), "grid": ("setting", list(grid)),
            "level": ("setting", list(level)), "chain": ("setting", list(chain)),
        },
        attrs={"max_fpr": 0.05},
    )  # fmt: skip


def test_grids_that_differ_after_a_dash_share_a_column() -> None:
    figure = plot_robustness(found({name: list(grid) for name, grid in GRIDS.items()}))
    above, below = figure.axes[:4], figure.axes[4:]
    titles = [ax.get_title(loc="left") for ax in above]
    assert titles == ["JPEG, quality", "blur, kernel:sigma", "resize, side", "noise, sigma"]
    assert [len(ax.lines) - 1 for ax in above] == [1, 1, 6, 1]
    assert [len(ax.lines) - 1 for ax in below] == [2, 2, 12, 2]
    ticks = [[label.get_text() for label in ax.get_xticklabels()] for ax in below]
    assert ticks[0] == ["as is", "100", "80", "60", "40", "20", "10"]
    assert ticks[1][1:3] == ["5:0.5", "7:1"]
    assert ticks[2] == ["as is", "224", "112", "64"]
    np.testing.assert_allclose(above[0].lines[0].get_ydata()[[0, -1]], [0.95, 0.65])
    np.testing.assert_allclose(below[0].lines[0].get_ydata()[[0, -1]], [0.05, 0.45])
    legend = below[-1].get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == ["real", "fake"]


def test_chains_of_one_s_own_are_written_out() -> None:
    figure = plot_robustness(found({"own": ["resize:112:area,jpeg:60", "h264:30"]}))
    above, below = figure.axes
    assert above.get_title(loc="left") == "own"
    assert [t.get_text() for t in below.get_xticklabels()][1:] == [
        "resize:112:area\njpeg:60", "h264:30",
    ]  # fmt: skip
    figure.canvas.draw()


def test_something_else_is_refused() -> None:
    with pytest.raises(InvalidArgument, match=r"no grid, level, .*; give what gk\.robustness"):
        plot_robustness(xr.Dataset())
