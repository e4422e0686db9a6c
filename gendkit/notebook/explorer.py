"""The interactive map: embeddings enter, a jupyter-scatter widget leaves.

Points look as in the static pictures, save for the markers, which the widget does not have;
hovering tells what a point is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from gendkit.optional import require
from gendkit.pages import maps

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr
    from numpy.typing import NDArray

TOLD = ("method", "score", "video")
_MARGIN = 1.06


def explore(ds: xr.Dataset, *, colour: str = "family", height: int = 520) -> Any:
    """Show the map of the sphere as a widget to zoom, hover and select in.

    A map is for finding faces to look at; its distances are no evidence.

    Parameters
    ----------
    ds
        Embeddings with `projection` (sample, axis), of two axes or three.
    colour
        A variable with one value a sample. Points at which a quantity is NaN are not shown.
    height
        Of the widget, in CSS pixels.

    Returns
    -------
    jscatter.Scatter
        It shows itself as a cell's result; its `selection()` gives the ids of the chosen samples,
        to be used as `ds.sel(sample=...)`.

    Raises
    ------
    InvalidEmbeddings
        If there is no projection or no such variable.
    MissingDependency
        If jupyter-scatter is not installed.
    """
    points = maps.places(ds)
    meaning = maps.colouring(ds, colour)
    jscatter = require("jscatter", extra="notebook")
    table = _table(ds, points, meaning)
    (x_low, y_low), (x_high, y_high) = _square(points)
    scatter = jscatter.Scatter(
        data=table, data_use_index=True, x="map x", y="map y", x_scale=(x_low, x_high),
        y_scale=(y_low, y_high), height=height,
    )  # fmt: skip
    if meaning.continuous:
        shown = np.flatnonzero(np.isfinite(meaning.each))
        scatter.color(by=colour, map="viridis", norm=_range(meaning.each[shown]))
        if len(shown) < len(points):
            scatter.filter(table.index[shown])
    else:
        scatter.color(by=colour, map={look.name: look.colour for look in meaning.looks})
    # The opacity stays by density: a fixed one of jupyter-scatter 1.0 leaves the points invisible.
    scatter.size(8 if len(points) <= 500 else 5 if len(points) <= 5_000 else 3)
    scatter.axes(False)
    scatter.legend(True)
    told = [c for c in dict.fromkeys((colour, *TOLD)) if c in table.columns]
    scatter.tooltip(True, properties=told, histograms=False)
    return scatter


def _table(ds: xr.Dataset, points: NDArray[np.float64], meaning: maps.Colouring) -> pd.DataFrame:
    import pandas as pd

    names = ds["sample"].to_numpy() if "sample" in ds.coords else np.arange(len(points))
    table = pd.DataFrame({"map x": points[:, 0], "map y": points[:, 1]}, index=pd.Index(names))
    for variable in (v for v in TOLD if v in ds):
        if ds[variable].dtype.kind == "f":
            table[variable] = ds[variable].to_numpy()
        else:
            table[variable] = maps.categories(ds, variable)
    if meaning.continuous:
        finite = np.isfinite(meaning.each)
        # The widget would draw NaN as 0; these points are hidden, so their number does not show.
        filler = meaning.each[finite].min() if finite.any() else 0.0
        table[meaning.variable] = np.where(finite, meaning.each, filler)
    else:
        order = [look.name for look in meaning.looks]
        table[meaning.variable] = pd.Categorical(meaning.each, categories=order)
    return table


def _square(points: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the lower and the upper corner of a square around the points, with a margin."""
    low, high = points.min(axis=0), points.max(axis=0)
    middle = (low + high) / 2
    half = max(float((high - low).max()) / 2 * _MARGIN, 1e-6)
    return middle - half, middle + half


def _range(values: NDArray[np.float64]) -> tuple[float, float]:
    if not len(values):
        return 0.0, 1.0
    low, high = float(values.min()), float(values.max())
    return (low, high) if high > low else (low - 0.5, high + 0.5)
