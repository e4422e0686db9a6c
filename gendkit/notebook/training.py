"""A training run to watch: what hooks tell or a folder holds enters, a widget of charts leaves.

`fit` keeps the kernel busy, so nothing can be asked for meanwhile: the hooks that are called after
each epoch send the new points to the page, which draws them while the cell still runs.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ipywidgets as widgets

from gendkit.markup import tag, visible
from gendkit.notebook import charts
from gendkit.pages.palette import PROBE, TUNED
from gendkit.plugin.events import EpochEnded, FitEnded, RunInfo
from gendkit.plugin.hooks import hookimpl
from gendkit.plugin.manager import register
from gendkit.train.course import RUNNING, Course, Row

if TYPE_CHECKING:
    from gendkit.train.run import Run

PLUGIN = "gendkit.notebook.training"
MAIN = "cross-entropy"
METRIC = "validation_auroc"
AUROC, MOVEMENT = "validation AUROC", "movement of layer norms"
_WIDTH = 3


class Training(widgets.VBox):
    """The charts of one run.

    Attributes
    ----------
    course
        What they show; None before a run has begun.
    figure
        The plotly figure widget; None before a run has begun.
    """

    def __init__(self, *, height: int, folder: Path | None = None) -> None:
        self.course: Course | None = None
        self.figure: Any = None
        self._height, self._folder = height, folder
        self._status = widgets.HTML()
        self._fit = charts.Fit()
        self._again = widgets.Button(
            description="Read again", tooltip="Read the run's folder and its log again"
        )
        self._again.on_click(lambda _: self.refresh())
        super().__init__()
        self.add_class(charts.FRAME)
        self._say("No run yet: the next fit in this kernel is shown here.")
        if folder is not None:
            self.refresh()
        else:
            self._arrange()

    def __repr__(self) -> str:
        return f"Training({visible(_words(self.course))})"

    def show(self, course: Course) -> None:
        """Show how far a run has come."""
        before, self.course = self.course, course
        same = before is not None and _panels(before) == _panels(course)
        if same and course.outcome == RUNNING:
            _draw(self.figure, course)
        else:
            drawn = _figure(course, self._height)
            _draw(drawn, course)
            self.figure = charts.widget(drawn)
            self._arrange()
        self._say(_words(course))

    def refresh(self) -> None:
        """Read the folder again; nothing where there is none.

        Raises
        ------
        MissingMedia, UnreadableMedia
            If there is no run, or its record is damaged.
        """
        if self._folder is not None:
            self.show(Course.read(self._folder))

    def _arrange(self) -> None:
        again = [self._again] if self._folder is not None else []
        head = widgets.HBox([self._status, *again], layout=widgets.Layout(align_items="center"))
        shown = [self.figure] if self.figure is not None else []
        self.children = (self._fit, head, *shown)

    def _say(self, words: str) -> None:
        self._status.value = tag("span", words, role="status").text


class _Watcher:
    """Shows the runs of this process in one widget."""

    def __init__(self, shown: Training) -> None:
        self._shown = shown

    @hookimpl
    def gendkit_fit_started(self, run: RunInfo) -> None:
        self._shown.show(Course.of_recipe(run.recipe))

    @hookimpl
    def gendkit_epoch_ended(self, epoch: EpochEnded) -> None:
        course = self._shown.course
        assert course is not None  # the start of the run was told
        moved = {"epoch": float(epoch.number), **epoch.movement}
        self._shown.show(
            replace(
                course,
                history=epoch.history,
                movement=(*course.movement, moved),
                chosen=epoch.chosen,
            )
        )

    @hookimpl
    def gendkit_fit_ended(self, end: FitEnded) -> None:
        course = self._shown.course
        assert course is not None
        self._shown.show(replace(course, outcome=end.outcome, reason=end.reason))


def training(run: Run | str | Path | None = None, *, height: int = 250) -> Training:
    """Show a training run: losses, validation AUROC and how far each layer norm moved.

    Parameters
    ----------
    run
        None watches the fits of this kernel from now on, each epoch as it ends; a later watch takes
        its place. A `Run` is shown as it ended. Of a folder, the `out` of a fit here or in another
        process, the record or the log of a run that goes on is read; `refresh()` or its button
        reads them again.
    height
        Of a row of charts, in CSS pixels.

    Returns
    -------
    Training
        It shows itself as a cell's result; show it before the cell that trains.

    Raises
    ------
    MissingMedia, UnreadableMedia
        If a folder has no run, or a damaged one.
    MissingDependency
        If plotly is not installed.
    """
    charts.check()
    if isinstance(run, str | Path):
        return Training(height=height, folder=Path(run))
    shown = Training(height=height)
    if run is not None:
        shown.show(Course.of_run(run))
    else:
        register(_Watcher(shown), name=PLUGIN)
    return shown


def _panels(course: Course) -> list[str]:
    others = [f"loss: {name}" for name in course.losses if name != MAIN]
    told = course.outcome == RUNNING or course.movement  # what ended before it was kept has none
    return ["loss", *others, AUROC, *([MOVEMENT] if told else [])]


def _title(panel: str, course: Course) -> str:
    return f"loss, and {MAIN} (grey)" if panel == "loss" and _parted(course) else panel


def _parted(course: Course) -> bool:
    """Return whether the loss is a sum of cross-entropy and others."""
    return MAIN in course.losses and len(course.losses) > 1


def _figure(course: Course, height: int) -> Any:
    panels = _panels(course)
    rows = math.ceil(len(panels) / _WIDTH)
    made = charts.figure(
        rows,
        min(len(panels), _WIDTH),
        titles=[charts.label(_title(p, course)) for p in panels],
        height=height * rows,
        showlegend=False,
    )
    last = course.epochs - 1
    for place, panel in enumerate(panels):
        cell = {"row": 1 + place // _WIDTH, "col": 1 + place % _WIDTH}
        if panel != MOVEMENT:
            made.update_xaxes(
                title={"text": "epoch", "standoff": 4},
                range=[-0.03 * last - 0.2, 1.03 * last + 0.2],
                tickformat="d",
                nticks=min(course.epochs, 8) + 1,
                **cell,
            )
            colour = TUNED if panel in ("loss", AUROC) else charts.COLOURS[place]
            _line(made, panel, colour, hover="epoch %{x}: %{y:.3f}", **cell)
        else:
            made.update_xaxes(
                title={"text": "layer norm, by depth", "standoff": 4}, tickformat="d", **cell
            )
            made.update_yaxes(rangemode="tozero", tickformat=".0%", **cell)
            _line(made, "before", PROBE, hover="", width=1, opacity=0.45, **cell)
            _line(made, panel, TUNED, hover="%{text}: %{y:.1%}", **cell)
        if panel == "loss" and _parted(course):
            _line(made, MAIN, PROBE, hover=f"{MAIN}, epoch %{{x}}: %{{y:.3f}}", **cell)
        if panel == AUROC:
            ring = {"size": 13, "symbol": "circle-open", "color": TUNED, "line": {"width": 2}}
            made.add_scatter(
                name="chosen", mode="markers", marker=ring, hoverinfo="skip", x=[], y=[], **cell
            )
    return made


def _line(
    made: Any,
    name: str,
    colour: str,
    *,
    hover: str,
    width: int = 2,
    opacity: float = 1.0,
    **cell: int,
) -> None:
    made.add_scatter(
        name=name,
        x=[],
        y=[],
        mode="lines+markers" if hover else "lines",
        line={"color": colour, "width": width},
        marker={"size": 5},
        opacity=opacity,
        hoverinfo=None if hover else "skip",
        hovertemplate=f"{hover}<extra></extra>" if hover else None,
        **cell,
    )


def _draw(made: Any, course: Course) -> None:
    lines = {trace.name: trace for trace in made.data}
    epochs = [int(row["epoch"]) for row in course.history]
    columns = {"loss": "loss", AUROC: METRIC, MAIN: MAIN}
    columns |= {f"loss: {name}": name for name in course.losses}
    with made.batch_update():
        for name, column in columns.items():
            if name in lines:
                values = [row.get(column, math.nan) for row in course.history]
                lines[name].update(x=epochs, y=values)
        best = [row for row in course.history if row["epoch"] == course.chosen]
        lines["chosen"].update(
            x=[int(row["epoch"]) for row in best], y=[row.get(METRIC, math.nan) for row in best]
        )
        if MOVEMENT in lines and course.movement:
            *earlier, latest = (_layers(row) for row in course.movement)
            names = [charts.label(name) for name, _ in latest]
            lines[MOVEMENT].update(
                x=list(range(len(latest))), y=[value for _, value in latest], text=names
            )
            xs, ys = _joined(earlier)
            lines["before"].update(x=xs, y=ys)


def _layers(row: Row) -> list[tuple[str, float]]:
    return [(name, value) for name, value in row.items() if name != "epoch"]


def _joined(
    rows: Iterable[Sequence[tuple[str, float]]],
) -> tuple[list[float | None], list[float | None]]:
    """Return the lines of several epochs as one, with gaps."""
    xs: list[float | None] = []
    ys: list[float | None] = []
    for row in rows:
        xs += [*range(len(row)), None]
        ys += [*(value for _, value in row), None]
    return xs, ys


def _words(course: Course | None) -> str:
    """Say in one line where a run stands."""
    if course is None:
        return "no run yet"
    done = len(course.history)
    words = [course.name, f"{done} of {course.epochs} epochs"]
    if done and course.chosen is not None:
        best = next((r for r in course.history if r["epoch"] == course.chosen), {})
        value = f" with validation AUROC {best[METRIC]:.3f}" if METRIC in best else ""
        words.append(f"best is epoch {course.chosen}{value}, by {course.metric}")
    if done:
        words.append(f"{sum(row['seconds'] for row in course.history) / done:.1f} s an epoch")
    words.append(course.outcome + (f": {course.reason}" if course.reason else ""))
    return " · ".join(map(visible, words))
