"""Static pictures for notebooks: embeddings enter, matplotlib figures leave.

The figures are made without pyplot: they show themselves as a cell's result, no figure stays behind
in the process, and threads may draw at the same time.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from gendkit.report import maps

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes

_DENSE = 2


class Picture(Figure):
    """A matplotlib figure that a notebook shows without pyplot."""

    def _repr_png_(self) -> tuple[bytes, dict[str, int]]:
        buffer = io.BytesIO()
        self.savefig(buffer, format="png", dpi=_DENSE * self.dpi)
        width, height = (round(side * self.dpi) for side in self.get_size_inches())
        return buffer.getvalue(), {"width": width, "height": height}


def plot(ds: xr.Dataset, *, colour: str = "method", ax: Axes | None = None) -> Figure:
    """Draw the map of the sphere.

    A map is for finding faces to look at; its distances are no evidence.

    Parameters
    ----------
    ds
        Embeddings with `projection` (sample, axis), of two axes or three.
    colour
        A variable with one value a sample. A quantity gets a colour bar; anything else a legend, in
        which no two categories differ by colour alone.
    ax
        Axes to draw on; a new figure if None.

    Returns
    -------
    Figure
        That of the axes; save it with its `savefig`.

    Raises
    ------
    InvalidEmbeddings
        If there is no projection or no such variable.
    """
    maps.places(ds)
    maps.check_variable(ds, colour)
    if ax is None:
        ax = Picture(figsize=(7.2, 5.2), dpi=100, layout="constrained").add_subplot()
    meaning = maps.draw_map(ax, ds, colour=colour)
    ax.set_title(f"{ds.sizes['sample']:,} crops by {colour}", loc="left")
    for spine in ax.spines.values():
        spine.set_visible(False)
    figure: Figure = ax.figure.figure  # of a subfigure, the whole one
    if meaning.continuous:
        figure.colorbar(ax.collections[-1], ax=ax, label=colour, shrink=0.7)
    else:
        handles = [
            Line2D([], [], linestyle="none", marker=look.marker, color=look.colour, label=look.name)
            for look in meaning.looks
        ]
        ax.legend(handles=handles, loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False)
    return figure
