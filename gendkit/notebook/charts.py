"""Charts that follow the notebook's theme: plotly figure widgets in a frame of their own.

plotly draws text in colours of its own choice and takes its width from the window; in a box with
`Fit`, whose style reaches nothing outside it, both are the notebook's. Names that a user gave go
through `label`: plotly reads a few tags in text.
"""

from __future__ import annotations

import html
from pathlib import Path
from typing import Any

import anywidget
import ipywidgets as widgets

from gendkit.markup import visible
from gendkit.optional import require
from gendkit.pages.palette import SERIES, UNKNOWN

FRAME = "gendkit-chart"
COLOURS = (*SERIES[1:], SERIES[0])
"""The first of the series is that of fakes, which no line shall have while there is another."""
SYMBOLS = ("circle", "square", "diamond", "triangle-down", "cross", "x", "star", "triangle-left")
GRID = "rgba(128, 136, 148, .22)"
_REMOVED = ["select2d", "lasso2d", "autoScale2d", "zoomIn2d", "zoomOut2d", "toImage"]


class Fit(anywidget.AnyWidget):
    """Fits the figures of its box, which has the class `FRAME`, to the notebook; shows nothing."""

    _esm = Path(__file__).with_name("charts.js")

    def __init__(self) -> None:
        super().__init__(layout=widgets.Layout(width="100%", height="0", margin="0"))


def check() -> None:
    """Say what to install if there is no plotly.

    Raises
    ------
    MissingDependency
        If so.
    """
    require("plotly.graph_objects", extra="notebook")


def label(text: object) -> str:
    """Return a user's text so that plotly shows it as it is."""
    return html.escape(visible(text))


def figure(rows: int, columns: int, *, titles: list[str], height: int, **layout: Any) -> Any:
    """Return an empty plotly figure of panels with titles.

    Parameters
    ----------
    titles
        One a panel; of a user's text by `label`.
    height
        In CSS pixels.
    layout
        Further properties for `plotly.graph_objects.Layout`.

    Raises
    ------
    MissingDependency
        If plotly is not installed.
    """
    subplots = require("plotly.subplots", extra="notebook")
    shared = {name: layout.pop(name) for name in ("shared_xaxes", "shared_yaxes") if name in layout}
    made = subplots.make_subplots(
        rows=rows,
        cols=columns,
        subplot_titles=titles,
        horizontal_spacing=0.08 if "shared_yaxes" not in shared else 0.03,
        vertical_spacing=min(0.2, 0.5 / rows),
        **shared,
    )
    made.update_layout(
        height=height,
        autosize=True,
        margin={"l": 52, "r": 12, "t": 34, "b": 44},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"size": 12},
        hoverlabel={"font": {"size": 12}},
        legend={"orientation": "h", "y": -0.16, "yanchor": "top", "x": 0},
        modebar={"remove": _REMOVED, "bgcolor": "rgba(0,0,0,0)", "color": UNKNOWN},
        **layout,
    )
    axis = {"gridcolor": GRID, "zeroline": False, "linecolor": UNKNOWN, "showline": True}
    made.update_xaxes(ticks="outside", tickcolor=UNKNOWN, **{**axis, "gridcolor": "rgba(0,0,0,0)"})
    made.update_yaxes(**{**axis, "showline": False})
    made.update_annotations(font={"size": 13}, xanchor="left")
    for note in made.layout.annotations:  # titles stand at the left edge of their panels
        note.x = _left(made, note.x)
    return made


def widget(drawn: Any) -> Any:
    """Return a figure as a widget.

    What is in it now is in the widget's state, from which a page that is loaded anew draws; what is
    changed later is only told to the pages that are open.
    """
    made = require("plotly.graph_objects", extra="notebook").FigureWidget(drawn)
    # plotly has no public way to let a widget, unlike a page, take the width that there is.
    made._config = {**made._config, "responsive": True}
    return made


def _left(made: Any, middle: float) -> float:
    """Return the left edge of the panel whose middle is given, in shares of the width."""
    axes = [made.layout[name] for name in made.layout if name.startswith("xaxis")]
    edges = [axis.domain for axis in axes if axis.domain is not None]
    return float(min(low for low, high in edges if low <= middle <= high))
