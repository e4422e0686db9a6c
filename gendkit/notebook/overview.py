"""What was chosen against all: a histogram of the scores and a table of the methods."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any, Literal

import numpy as np
from ipywidgets import HTML
from numpy.typing import NDArray

from gendkit.markup import number
from gendkit.notebook.plane import Rows
from gendkit.optional import require
from gendkit.pages.page import table
from gendkit.pages.palette import DARK, LIGHT, TUNED, UNKNOWN

BINS = 40


class ScoreHistogram:
    """Bars of N scores, with those of the chosen crops before them.

    Parameters
    ----------
    scores
        (N,) 0 to 1; NaN is left out.
    chosen
        Called with the rows of the bars over which a range was dragged.
    height
        In CSS pixels.
    """

    def __init__(
        self, scores: NDArray[np.float64], *, chosen: Callable[[Rows], None], height: int = 240
    ) -> None:
        graph = require("plotly.graph_objects", extra="notebook")
        self._chosen = chosen
        self._frame: Literal["", "fresh", "stale"] = ""
        edges = np.linspace(0, 1, BINS + 1)
        known = np.isfinite(scores)
        place = np.clip(np.searchsorted(edges, scores, side="right") - 1, 0, BINS - 1)
        self._bin = np.where(known, place, -1)
        middles = (edges[1:] + edges[:-1]) / 2
        text = [f"{low:.3f} to {high:.3f}" for low, high in pairwise(edges)]
        bars = [
            graph.Bar(
                x=middles, y=np.zeros(BINS), orientation="v", width=0.9 / BINS,
                name=name, customdata=text, marker={"color": colour},
                hovertemplate="score %{customdata}: %{y:.1f} % of " + name + "<extra></extra>",
                selected={"marker": {"opacity": 1}}, unselected={"marker": {"opacity": 1}},
                opacity=opacity,
            )
            for name, colour, opacity in (("all", UNKNOWN, 0.55), ("selected", TUNED, 0.85))
        ]  # fmt: skip
        self.widget = graph.FigureWidget(
            data=bars,
            layout={
                "height": height, "margin": {"l": 44, "r": 8, "t": 28, "b": 40},
                "barmode": "overlay", "bargap": 0, "dragmode": "select", "selectdirection": "h",
                "xaxis": {"range": [0, 1], "title": {"text": "score"}, "fixedrange": True},
                "yaxis": {"title": {"text": "% of crops"}, "fixedrange": True},
                "legend": {"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0},
                "font": {"family": "system-ui, sans-serif", "size": 12},
                "plot_bgcolor": "rgba(0,0,0,0)", "hovermode": "closest",
            },
        )  # fmt: skip
        # plotly has no public way to say so of a widget.
        self.widget._config = {"responsive": True, "displayModeBar": False}
        self._fill(0, np.arange(len(scores)))
        self.widget.data[0].on_selection(self._dragged)
        self.on_paper(dark=False)

    def choose(self, rows: Rows) -> None:
        """Show the scores of some rows before those of all."""
        self._fill(1, rows)
        if self._frame == "stale":
            # plotly knows here nothing of the frame in the browser: only a change removes it.
            self.widget.layout.selections = [{"x0": 0, "x1": 0, "y0": 0, "y1": 0}]
            self.widget.layout.selections = ()
        self._frame = "stale" if self._frame == "fresh" else ""

    def on_paper(self, *, dark: bool) -> None:
        """Draw on light or on dark paper."""
        paper, ink = (DARK, LIGHT) if dark else (LIGHT, DARK)
        line = "rgba(128,134,144,0.35)"
        self.widget.update_layout(
            paper_bgcolor=paper, font_color=ink, xaxis_gridcolor=line, yaxis_gridcolor=line,
            xaxis_zerolinecolor=line, yaxis_zerolinecolor=line,
        )  # fmt: skip

    def _fill(self, place: int, rows: Rows) -> None:
        bins = self._bin[rows]
        counts = np.bincount(bins[bins >= 0], minlength=BINS)
        self.widget.data[place].y = 100 * counts / max(counts.sum(), 1)

    def _dragged(self, _: Any, points: Any, __: Any) -> None:
        if points.point_inds:
            self._frame = "fresh"
            self._chosen(np.flatnonzero(np.isin(self._bin, points.point_inds)))


class MethodTable:
    """A table with a line a method: how many crops, and their mean score.

    Parameters
    ----------
    methods
        (N,) in words.
    scores
        (N,), or None if there are none.
    """

    def __init__(self, methods: list[str], scores: NDArray[np.float64] | None) -> None:
        self._names, self._codes = np.unique(np.array(methods, dtype=object), return_inverse=True)
        self._scores = scores
        self.widget = HTML()
        self.choose(np.empty(0, dtype=np.int64))

    def choose(self, rows: Rows) -> None:
        """Tell of some rows beside all."""
        counts, means = self._told(np.arange(len(self._codes)))
        few, their = self._told(rows)
        order = np.lexsort((self._names, -counts, -few))
        body = [
            (
                str(self._names[i]),
                f"{counts[i]:,}",
                f"{few[i]:,}" if len(rows) else "",
                number(means[i]),
                number(their[i]) if len(rows) else "",
            )
            for i in order
        ]
        head = ("method", "crops", "selected", "mean score", "of selected")
        self.widget.value = str(table(head, [(None, body)], caption="Methods"))

    def on_paper(self, *, dark: bool) -> None:
        """Do nothing: it has the colours of the page."""

    def _told(self, rows: Rows) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Return counts and mean scores by method; the mean of none is NaN."""
        codes, kinds = self._codes[rows], len(self._names)
        counts = np.bincount(codes, minlength=kinds)
        if self._scores is None:
            return counts, np.full(kinds, np.nan)
        scores = self._scores[rows]
        known = np.isfinite(scores)
        total = np.bincount(codes[known], weights=scores[known], minlength=kinds)
        finite = np.bincount(codes[known], minlength=kinds)
        return counts, np.where(finite > 0, total / np.maximum(finite, 1), np.nan)
