"""The map in the plane, drawn by jupyter-scatter: places and colours enter, chosen rows leave.

jupyter-scatter draws discs only. A novel point is two of them, one in its colour and a smaller one
on it in the colour of the paper, so that it looks hollow; both stand for one sample.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from gendkit.notebook.shades import Shades
from gendkit.optional import require
from gendkit.pages.palette import DARK, LIGHT

Rows = NDArray[np.int64]
MARGIN = 1.06
CORE = 0.55
"""The size of the disc of paper on a novel point, as a share of the point's."""
TOOLBAR = 44
"""The room that jupyter-scatter's buttons take, in CSS pixels."""
FADED = 0.25
"""The share of its opacity that a point keeps when others are chosen."""


class Plane:
    """A jupyter-scatter map of N points.

    Parameters
    ----------
    points
        (N, 2) places.
    novel
        (N,) which points are hollow.
    shades
        Their first colours.
    told
        One row a point: what hovering tells of it.
    chosen
        Called with the rows that were chosen by a click or a lasso.
    height
        In CSS pixels.

    Raises
    ------
    MissingDependency
        If jupyter-scatter is not installed.
    """

    def __init__(
        self,
        points: NDArray[np.float64],
        *,
        novel: NDArray[np.bool_],
        shades: Shades,
        told: pd.DataFrame,
        chosen: Callable[[Rows], None],
        height: int,
    ) -> None:
        jscatter = require("jscatter", extra="notebook")
        self._chosen = chosen
        self._shades = shades
        self._paper = LIGHT
        # The plain points, then each novel one with its core: what is drawn last lies on top.
        rings = np.flatnonzero(novel)
        self._row = np.concatenate([np.flatnonzero(~novel), np.repeat(rings, 2)])
        self._core = np.zeros(len(self._row), dtype=np.bool_)
        self._core[len(points) - len(rings) + 1 :: 2] = True
        first = np.zeros(len(points), dtype=np.int64)
        first[self._row[~self._core]] = np.flatnonzero(~self._core)
        self._disc, self._novel = first, novel
        self.widget = self._drawn(jscatter, points, told, height)
        self.colour(shades)
        self.widget.observe(self._told, "selection")

    def _drawn(
        self, jscatter: Any, points: NDArray[np.float64], told: pd.DataFrame, height: int
    ) -> Any:
        (x_low, y_low), (x_high, y_high) = square(points)
        size, opacity = sized(len(points))
        table = told.iloc[self._row].reset_index(drop=True)
        table = table.assign(
            **{
                "map x": points[self._row, 0],
                "map y": points[self._row, 1],
                "look": _categorical(np.zeros(len(self._row), dtype=np.int8), "a", "b"),
                "core": _categorical(self._core.astype(np.int8), "disc", "core"),
            }
        )
        scatter = jscatter.Scatter(
            data=table, x="map x", y="map y", x_scale=(x_low, x_high), y_scale=(y_low, y_high),
            height=height, color_by="look", color_map=[LIGHT, LIGHT], legend=False, axes=False,
            size_by="core", size_map=[size, size * CORE],
            opacity_by="core", opacity_map=[opacity, 1.0], opacity_unselected=FADED,
            tooltip=True, tooltip_properties=list(told.columns), tooltip_histograms=False,
            mouse_mode="lasso", reticle=True,
            options=dict.fromkeys(("pointSizeSelected", "pointOutlineWidth"), 2 if size > 5 else 1),
        )  # fmt: skip
        return scatter.widget

    def colour(self, shades: Shades) -> None:
        """Give the points other colours."""
        self._shades = shades
        points = self.widget.points.copy()
        codes = np.where(self._core, len(shades.colours), shades.codes[self._row])
        points[:, 2] = codes
        with self.widget.hold_sync():
            self.widget.prevent_filter_reset = True
            self.widget.non_spatial_points_update = True
            self.widget.points = points
            self._colours()

    def on_paper(self, *, dark: bool) -> None:
        """Draw on light or on dark paper."""
        from matplotlib.colors import to_rgba

        self._paper, ink = (DARK, LIGHT) if dark else (LIGHT, DARK)
        # Not by Scatter.background, which in jupyter-scatter 1.0 brings axes and legend back.
        with self.widget.hold_sync():
            self.widget.background_color = list(to_rgba(self._paper))
            self.widget.tooltip_color = list(to_rgba(self._paper))
            self.widget.reticle_color = list(to_rgba(ink, 0.3))
            self._colours()

    def fit(self, width: int) -> None:
        """Step back as far as a room of this width in CSS pixels, narrower than high, needs."""
        height = self.widget.height
        self.widget.camera_distance = max(1.0, height / max(width - TOOLBAR, height / 4))

    def show(self, rows: Rows | None) -> None:
        """Show only some points; None is all."""
        self.widget.filter = None if rows is None else self._of(rows)

    def choose(self, rows: Rows) -> None:
        """Choose points, as a lasso does."""
        self.widget.unobserve(self._told, "selection")
        self.widget.selection = self._of(rows)
        self.widget.observe(self._told, "selection")

    def point_at(self, row: int) -> None:
        """Show a crosshair at a point, until the mouse moves over the map."""
        self.widget.hovering = int(self._disc[row])

    def _colours(self) -> None:
        from matplotlib.colors import to_rgba

        colours = [list(to_rgba(c)) for c in (*self._shades.colours, self._paper)]
        self.widget.color = colours
        self.widget.color_selected = colours

    def _of(self, rows: Rows) -> NDArray[np.uint32]:
        """Return the discs that stand for some rows."""
        discs = self._disc[rows]
        return np.concatenate([discs, discs[self._novel[rows]] + 1]).astype(np.uint32)

    def _told(self, change: Any) -> None:
        discs = np.asarray(change["new"] if change["new"] is not None else [], dtype=np.int64)
        self._chosen(np.unique(self._row[discs]))


def _categorical(codes: NDArray[np.int8], *names: str) -> pd.Categorical[str]:
    return pd.Categorical.from_codes(codes, categories=pd.Index(names))


def square(points: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the lower and the upper corner of a square around points (N, 2), with a margin."""
    low, high = points.min(axis=0), points.max(axis=0)
    middle = (low + high) / 2
    half = max(float((high - low).max()) / 2 * MARGIN, 1e-6)
    return middle - half, middle + half


def sized(count: int) -> tuple[float, float]:
    """Return diameter in pixels and opacity of so many points: smaller and fainter if many."""
    for most, size, opacity in ((500, 9, 0.85), (5_000, 6, 0.8), (30_000, 4, 0.6)):
        if count <= most:
            return size, opacity
    return 3, 0.4
