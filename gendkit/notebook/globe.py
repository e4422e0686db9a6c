"""The map on a globe, drawn by plotly: places and colours enter, the row of a click leaves.

A globe can be turned and clicked; there is no lasso on it. Novel points are circles, all others
are discs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gendkit.notebook.plane import FADED, Rows, sized
from gendkit.notebook.shades import Shades
from gendkit.optional import require
from gendkit.report.palette import DARK, LIGHT

DISC, RING = "circle", "circle-open"


class Globe:
    """A plotly figure of N points on the unit sphere; the same to use as a `Plane`.

    Parameters
    ----------
    points
        (N, 3) places.
    novel
        (N,) which points are hollow.
    shades
        Their first colours.
    words
        (N,) what hovering tells of each.
    chosen
        Called with the row that was clicked.
    height
        In CSS pixels.

    Raises
    ------
    MissingDependency
        If plotly is not installed.
    """

    def __init__(
        self,
        points: NDArray[np.float32],
        *,
        novel: NDArray[np.bool_],
        shades: Shades,
        words: NDArray[np.object_],
        chosen: Callable[[Rows], None],
        height: int,
    ) -> None:
        graph = require("plotly.graph_objects", extra="notebook")
        self._points, self._words = points, words
        self._shown = np.ones(len(points), dtype=np.bool_)
        self._rows: Rows = np.empty(0, dtype=np.int64)
        self._kinds = [~novel, novel]
        self._chosen = chosen
        self._drawn: list[Rows] = [self._rows] * 5
        size, self._opacity = sized(len(points))
        # Chosen points are drawn once more: plotly cannot fade single points of a trace.
        traces = [
            graph.Scatter3d(
                mode="markers", hovertemplate="%{text}<extra></extra>",
                marker={"size": 0.8 * size, "symbol": symbol, "line": {"width": 0}},
            )
            for symbol in (DISC, RING, DISC, RING)
        ]  # fmt: skip
        traces.append(
            graph.Scatter3d(
                mode="markers", hoverinfo="skip",
                marker={"size": 2.4 * size, "symbol": "circle-open", "line": {"width": 3}},
            )
        )  # fmt: skip
        bare = {"visible": False, "range": [-1.15, 1.15]}
        self.widget = graph.FigureWidget(
            data=[_sphere(graph), *traces],
            layout={
                "height": height, "margin": {"l": 0, "r": 0, "t": 0, "b": 0}, "showlegend": False,
                "scene": {
                    "xaxis": bare, "yaxis": bare, "zaxis": bare, "aspectmode": "cube",
                    "camera": {"eye": {"x": 0.9, "y": 0.9, "z": 0.6}},
                },
                "paper_bgcolor": LIGHT, "uirevision": "kept", "hoverlabel": {"align": "left"},
            },
        )  # fmt: skip
        # plotly has no public way to say so of a widget.
        self.widget._config = {"responsive": True, "displayModeBar": False}
        for place in range(4):
            self.widget.data[1 + place].on_click(lambda _, at, __, p=place: self._clicked(p, at))
        self.colour(shades)

    def colour(self, shades: Shades) -> None:
        """Give the points other colours."""
        self._shades = shades
        count = len(shades.colours)
        # Every code has a step of its own; codes as numbers travel as one binary array.
        scale = [
            [end / count, colour]
            for code, colour in enumerate(shades.colours)
            for end in (code, code + 1)
        ]
        with self.widget.batch_update():
            for trace in self.widget.data[1:5]:
                trace.marker.update(colorscale=scale, cmin=0, cmax=count)
            self._draw()

    def on_paper(self, *, dark: bool) -> None:
        """Draw on light or on dark paper."""
        paper, ink = (DARK, LIGHT) if dark else (LIGHT, DARK)
        with self.widget.batch_update():
            self.widget.layout.paper_bgcolor = paper
            self.widget.data[5].marker.color = ink

    def show(self, rows: Rows | None) -> None:
        """Show only some points; None is all."""
        self._shown[:] = rows is None
        if rows is not None:
            self._shown[rows] = True
        self._draw()

    def choose(self, rows: Rows) -> None:
        """Choose points."""
        self._rows = rows
        self._draw_chosen()

    def point_at(self, row: int) -> None:
        """Show a circle around a point."""
        with self.widget.batch_update():
            self._put(4, np.array([row]))

    def _draw(self) -> None:
        """Draw all points that are shown, and the chosen ones."""
        with self.widget.batch_update():
            for place, kind in enumerate(self._kinds):
                self._put(place, np.flatnonzero(kind & self._shown))
                self.widget.data[1 + place].text = self._words[self._drawn[place]]
            self._draw_chosen()

    def _draw_chosen(self) -> None:
        """Draw the chosen points once more, and let the others fade."""
        mine = np.zeros(len(self._points), dtype=np.bool_)
        mine[self._rows] = True
        with self.widget.batch_update():
            for place, kind in enumerate(self._kinds):
                self._put(2 + place, np.flatnonzero(kind & self._shown & mine))
                fade = FADED if len(self._rows) else 1.0
                self.widget.data[1 + place].opacity = self._opacity * fade

    def _put(self, place: int, rows: Rows) -> None:
        self._drawn[place] = rows
        trace = self.widget.data[1 + place]
        trace.x, trace.y, trace.z = self._points[rows].T
        if place < len(self._drawn) - 1:
            trace.marker.color = (self._shades.codes[rows] + 0.5).astype(np.float32)

    def _clicked(self, place: int, points: Any) -> None:
        if points.point_inds:
            self._chosen(self._drawn[place][np.array(points.point_inds[:1])])


def _sphere(graph: Any) -> Any:
    """Return a pale ball that hides the points on its far side."""
    lat, lon = np.mgrid[0 : np.pi : 25j, 0 : 2 * np.pi : 49j]
    r = 0.985
    return graph.Surface(
        x=r * np.sin(lat) * np.cos(lon), y=r * np.sin(lat) * np.sin(lon), z=r * np.cos(lat),
        colorscale=[[0, "#8b93a0"], [1, "#8b93a0"]], opacity=0.16, showscale=False,
        hoverinfo="skip", lighting={"ambient": 1, "diffuse": 0, "specular": 0},
    )  # fmt: skip
