"""Static pictures for notebooks: embeddings enter, matplotlib figures leave.

The figures are made without pyplot: they show themselves as a cell's result, no figure stays behind
in the process, and threads may draw at the same time.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from gendkit.errors import InvalidManifest
from gendkit.pages import maps

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes

    from gendkit.data.manifest import Manifest
    from gendkit.model.score import Score

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

    A map is for finding faces to look at; its distances are no evidence. Faces with a `novelty_p`
    of at most .05 are drawn hollow, as a map puts them among others that they are unlike.

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
    if maps.novel(ds).any():
        ax.set_xlabel(maps.hollow(ds), loc="left", fontsize="small")
    return figure


def show_faces(manifest: Manifest, *, by: str = "method", columns: int = 8) -> Figure:
    """Draw face crops in rows, one row a value of a manifest column.

    Parameters
    ----------
    manifest
        Rows without a crop are left out.
    by
        A column; its empty value is shown as `real` where the labels say so.
    columns
        Crops a row, the first of each value.

    Raises
    ------
    InvalidManifest
        If there is no crop, or no such column.
    """
    faces = manifest.faces()
    if by not in faces.table.columns:
        raise InvalidManifest(f"no column {by!r}; there is {', '.join(faces.table.columns)}.")
    if not len(faces):
        raise InvalidManifest("the manifest has no face crop to show.")
    rows = {
        _name(value, set(group["label"])): group.index[:columns]
        for value, group in faces.table.groupby(by, sort=True)
    }
    figure = Picture(figsize=(columns * 1.1, len(rows) * 1.3), dpi=100, layout="constrained")
    grid = figure.subplots(len(rows), columns, squeeze=False)
    for line, (name, members) in zip(grid, rows.items(), strict=True):
        for ax in line:
            ax.set_axis_off()
        for ax, row in zip(line, members, strict=False):
            ax.imshow(faces.crop(int(row)))
        line[0].set_title(name, loc="left", fontsize=9)
    return figure


def show_scores(*scores: Score) -> Figure:
    """Draw the scores of one or several clips over time; a frame without a face leaves a gap."""
    ax = Picture(figsize=(7.2, 2.6), dpi=100, layout="constrained").add_subplot()
    for score, marker in zip(scores, "os^Dv" * len(scores), strict=False):
        table = score.to_frame().astype({"score": float, "time": float})
        ax.plot(table["time"], table["score"], marker=marker, markersize=4, label=score.name)
    ax.set(ylim=(-0.02, 1.02), xlabel="time in seconds", ylabel="score")
    ax.spines[["top", "right"]].set_visible(False)
    ax.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False)
    figure: Figure = ax.figure.figure
    return figure


def _name(value: object, labels: set[int]) -> str:
    return str(value) or ("real" if labels == {0} else "-")
