"""Pictures of drift, of pair displacement and of layers: their tables enter, figures leave."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.ticker import PercentFormatter

from gendkit.errors import InvalidArgument
from gendkit.manifold.displacement import FAKE
from gendkit.manifold.drift import CHANGE, CHANGES, drift_table
from gendkit.notebook.pictures import Picture
from gendkit.pages.maps import categories, check_variable
from gendkit.pages.palette import FAKE as FAKE_COLOUR
from gendkit.pages.palette import TUNED, UNKNOWN, Look, looks

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BAND = 0.16
"""Opacity of an interval."""
FADED = "#5a5b5c"
"""Of lines that only help to read."""


def plot_drift(
    ds: xr.Dataset, *, by: str = "label", resamples: int = 1000, seed: int = 0
) -> Figure:
    """Draw angle, score and common direction against the level, with 95 % intervals over people.

    Levels stand at even distances, from the crop as it is to the strongest change. Dotted lines
    are the bounds of the null; see `gk.drift_table`.

    Parameters
    ----------
    ds
        From `gk.drift`.
    by
        A variable with one value a sample; each value has a line.
    resamples, seed
        Of the intervals.

    Raises
    ------
    InvalidEmbeddings
        If `ds` is not from `gk.drift`, or there is no such variable.
    """
    table = drift_table(ds, by=[by], resamples=resamples, seed=seed)
    check_variable(ds, by)
    words = dict(zip(ds[by].to_numpy().astype(object).astype(str), categories(ds, by), strict=True))
    given = {value: words[value] for value in table.loc[by].index.unique("value")}
    levels = ds["level"].to_numpy().tolist()
    figure = Picture(figsize=(10.5, 3.3), dpi=100, layout="constrained")
    panels = figure.subplots(1, 3, sharex=True)
    for look, value in zip(looks(given.values()), given, strict=True):
        rows = table.loc[(by, value)]
        for ax, name in zip(panels, ("angle", "score", "consistency"), strict=True):
            _line(ax, rows, name, look)
        for bound in ("null_low", "null_high"):
            panels[2].plot(range(len(rows)), rows[bound], color=look.colour, ls=":", lw=1)
    panels[0].set(ylabel="angle from the crop as it is (rad)")
    panels[1].set(ylabel="score", ylim=(-0.02, 1.02))
    panels[2].set(ylabel="consistency of direction")
    panels[2].axhline(0, color=FADED, lw=0.8, zorder=0)
    for ax in panels:
        ax.set_xticks(range(len(levels)), [_tick(level, levels[0]) for level in levels])
        ax.tick_params(axis="x", labelrotation=90 if len(levels) > 9 else 0)
        ax.set_xlabel(CHANGES[ds.attrs[CHANGE]].unit)
        ax.spines[["top", "right"]].set_visible(False)
    panels[0].legend(loc="upper left", frameon=False)
    return figure


def plot_displacement(table: pd.DataFrame) -> Figure:
    """Draw length and consistency of the steps to fakes, above those that are no forgery.

    Parameters
    ----------
    table
        From `gk.pair_displacement`.

    Raises
    ------
    InvalidArgument
        If it is another table.
    """
    _check(table, ("length", "length_low", "length_high", "consistency"), "gk.pair_displacement")
    order = sorted(table.index, key=lambda row: (row[1] != FAKE, row[0] == "", row))
    figure = Picture(
        figsize=(8.4, 0.9 + 0.3 * len(order)), dpi=100, layout="constrained"
    )  # fmt: skip
    panels = figure.subplots(1, 2, sharey=True)
    for ax, name in zip(panels, ("length", "consistency"), strict=True):
        for y, row in enumerate(order):
            fake = row[1] == FAKE
            value, low, high = (table.loc[row, f"{name}{end}"] for end in ("", "_low", "_high"))
            colour, marker = (FAKE_COLOUR, "^") if fake else (UNKNOWN, "o")
            ax.plot([low, high], [y, y], color=colour, lw=2, solid_capstyle="round")
            ax.plot(value, y, marker, color=colour, ms=6)
        ax.spines[["top", "right", "left"]].set_visible(False)
        ax.grid(axis="y", color=FADED, alpha=0.12)
        ax.tick_params(axis="y", length=0)
    panels[0].set_xlim(left=0)
    panels[1].axvline(0, color=FADED, lw=0.8, zorder=0)
    panels[0].set_xlabel("length of the step (rad)")
    panels[1].set_xlabel("consistency of direction")
    names = [family if kind == FAKE else f"{kind} {family and f'({family})'}".strip()
             for family, kind in order]  # fmt: skip
    panels[0].set_yticks(range(len(order)), names)
    panels[0].set_ylim(len(order) - 0.5, -0.5)
    return figure


def plot_layers(table: pd.DataFrame) -> Figure:
    """Draw by depth how far layer norms moved, and what undoing each alone does.

    Parameters
    ----------
    table
        From `gk.layer_effects`.

    Raises
    ------
    InvalidArgument
        If it is another table.
    """
    _check(table, ("depth", "weight", "bias", "shift", "auroc_change"), "gk.layer_effects")
    figure = Picture(figsize=(10.5, 3.1), dpi=100, layout="constrained")
    moved, shift, change = figure.subplots(1, 3, sharex=True)
    for name, marker in (("weight", "D"), ("bias", "o")):
        filled = TUNED if name == "weight" else "none"
        moved.plot(table["depth"], table[name], marker, color=TUNED, mfc=filled, ms=5, label=name)
    moved.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    moved.set(ylabel="change of its norm", ylim=(0, None))
    moved.legend(frameon=False, ncols=2, loc="lower left", bbox_to_anchor=(0, 1), borderaxespad=0.2)
    for ax, name in ((shift, "shift"), (change, "auroc_change")):
        ax.vlines(table["depth"], table[f"{name}_low"], table[f"{name}_high"], color=TUNED, lw=1.4)
        ax.plot(table["depth"], table[name], "D", color=TUNED, ms=5)
    shift.set(ylabel="embeddings move, undone (rad)", ylim=(0, None))
    change.set(ylabel="AUROC changes, undone")
    change.axhline(0, color=FADED, lw=0.8, zorder=0)
    for ax in (moved, shift, change):
        ax.set_xlabel("depth, from pixels (0) to features (1)")
        ax.spines[["top", "right"]].set_visible(False)
    return figure


def _line(ax: Axes, rows: pd.DataFrame, name: str, look: Look) -> None:
    x = np.arange(len(rows))
    ax.plot(x, rows[name], color=look.colour, marker=look.marker, ms=4.5, label=look.name)
    ax.fill_between(
        x, rows[f"{name}_low"], rows[f"{name}_high"], color=look.colour, alpha=BAND, linewidth=0
    )


def _tick(level: float, untouched: float) -> str:
    return "as is" if level == untouched or math.isinf(level) else f"{level:g}"


def _check(table: Any, needed: tuple[str, ...], maker: str) -> None:
    columns = getattr(table, "columns", ())
    if missing := [name for name in needed if name not in columns]:
        raise InvalidArgument(f"the table has no {', '.join(missing)}; give that of {maker}.")
