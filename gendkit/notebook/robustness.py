"""A picture of robustness: what `gk.robustness` found enters, a figure leaves."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING

from matplotlib.ticker import PercentFormatter

from gendkit.data.degrade import KINDS, Chain
from gendkit.errors import InvalidArgument
from gendkit.evaluate.robustness import MEASURES, robustness_table
from gendkit.notebook.pictures import Picture
from gendkit.pages.palette import FAKE, REAL, TUNED, Look, looks

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FADED = "#5a5b5c"
"""Of lines that only help to read."""
WIDTH = 2.9


def plot_robustness(ds: xr.Dataset) -> Figure:
    """Draw AUROC, and how many clips are called fake, against the level of each degradation.

    Levels stand at even distances, from the crop as it is to the strongest change. Grids whose
    names differ after a dash only, such as those of a resize, share a column. Below, the threshold
    is the one fixed on crops as they are: the lines of reals are false alarms. Dotted
    are an AUROC of .5 and the false alarms that the threshold allowed.

    Parameters
    ----------
    ds
        From `gk.robustness`.

    Raises
    ------
    InvalidArgument
        If it is not.
    """
    if missing := [name for name in ("grid", "level", "chain", *MEASURES) if name not in ds]:
        raise InvalidArgument(f"there is no {', '.join(missing)}; give what gk.robustness returns.")
    table = robustness_table(ds).reset_index()
    names = list(dict.fromkeys(table["grid"]))
    columns = [list(group) for _, group in groupby(names, key=lambda name: name.split("-")[0])]
    figure = Picture(
        figsize=(max(WIDTH * len(columns), 4.5), 5.4), dpi=100, layout="constrained"
    )  # fmt: skip
    panels = figure.subplots(2, len(columns), sharex="col", sharey="row", squeeze=False)
    for (above, below), grids in zip(panels.T, columns, strict=True):
        for look, grid in zip(_looks(grids), grids, strict=True):
            rows = table[table["grid"] == grid]
            _line(above, rows, "auroc", look)
            many = len(grids) > 1
            for name, colour, marker in (("fpr", REAL, "o"), ("tpr", FAKE, "^")):
                word = {"fpr": "real", "tpr": "fake"}[name] if grid == grids[0] else ""
                _line(below, rows, name, Look(name=word, colour=colour, marker=marker), many=many)
        if len(grids) > 1:
            above.legend(frameon=False, fontsize="small", loc="best")
        longest = max((table[table["grid"] == grid] for grid in grids), key=len)
        ticks = [_tick(chain, short=_alike(longest)) for chain in longest["chain"]]
        below.set_xticks(range(len(ticks)), ticks)
        if max(map(len, ticks)) > 6:
            below.tick_params(axis="x", labelrotation=90)
        above.set_title(_title(grids, longest), loc="left", fontsize="medium")
        below.axhline(ds.attrs["max_fpr"], color=FADED, lw=0.8, ls=":", zorder=0)
        above.axhline(0.5, color=FADED, lw=0.8, ls=":", zorder=0)
        for ax in (above, below):
            ax.spines[["top", "right"]].set_visible(False)
    panels[0, 0].set(ylabel="AUROC", ylim=(None, 1.01))
    panels[1, 0].set(ylabel="clips called fake", ylim=(-0.02, 1.02))
    panels[1, 0].yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    panels[1, -1].legend(frameon=False, fontsize="small", loc="best")
    return figure


def _line(ax: Axes, rows: pd.DataFrame, name: str, look: Look, *, many: bool = False) -> None:
    ax.plot(
        range(len(rows)), rows[name], color=look.colour, marker=look.marker, ms=4.5,
        alpha=0.6 if many else 1, label=look.name or "_",
    )  # fmt: skip


def _looks(grids: list[str]) -> tuple[Look, ...]:
    if len(grids) == 1:
        return (Look(name=grids[0], colour=TUNED, marker="D"),)
    return looks(name.partition("-")[2] or name for name in grids)


def _alike(rows: pd.DataFrame) -> str:
    """Return the kind of the only step that all levels have, or nothing."""
    kinds = {tuple(s.name for s in Chain.parse(c).steps) for c in rows["chain"] if c}
    only = next(iter(kinds))
    return only[0] if len(kinds) == 1 and len(only) == 1 else ""


def _tick(chain: str, *, short: str) -> str:
    if not chain:
        return "as is"
    if not short:
        return chain.replace(",", "\n")
    arguments = Chain.parse(chain).steps[0].arguments
    return ":".join(f"{a:g}" for a in arguments if isinstance(a, float | int))


def _title(grids: list[str], rows: pd.DataFrame) -> str:
    name = _alike(rows)
    if not name:
        return grids[0]
    numbers = [p.name for p in KINDS[name].parameters if not p.among]
    return f"{'JPEG' if name == 'jpeg' else name}, {':'.join(numbers)}"
