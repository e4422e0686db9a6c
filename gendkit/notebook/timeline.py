"""The scores of clips over time: `Score` values enter, a widget of charts and faces leaves.

One panel a clip, one line a person, all on one scale; what was looked at without a face stands on
the axis with its reason. The faces of the chosen moment stand beside the charts.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import ipywidgets as widgets

from gendkit.errors import InvalidArgument
from gendkit.markup import DASH, visible
from gendkit.model.score import FrameScore, Score
from gendkit.notebook import charts
from gendkit.notebook.faces import Faces, Shown
from gendkit.pages.palette import UNKNOWN

GROUND = -0.05
"""Where frames without a face stand, just below a score of 0."""
TOP = 1.04
CURSOR, FACELESS = "chosen moment", "no face"
_COLUMNS = 2
_FACES = "160px"


def timeline(
    *scores: Score, band: Sequence[Score] = (), band_of: str = "adapters", height: int = 320
) -> Timeline:
    """Show the scores of clips over time, with the faces that they rest on.

    Each clip has its panel, on one scale and with one axis of time; each person in it has a line.
    Pointing at a frame, clicking it, or moving the slider (by its arrow keys, too) shows the faces
    of that moment.

    Parameters
    ----------
    scores
        Of one clip, or of a clip and its twin, or of more.
    band
        Further scores of the same frames of one or several of these files, such as other seeds or
        jittered crops: the range from the least to the greatest of them is drawn behind the line,
        and the legend says of how many. By default the members, of what an `Ensemble` scored.
    band_of
        What they vary, as the legend shall say.
    height
        Of a row of panels, in CSS pixels.

    Returns
    -------
    Timeline
        It shows itself as a cell's result.

    Raises
    ------
    InvalidArgument
        If there is no score, or the band has scores of other files or other frames, or a single
        one.
    MissingDependency
        If plotly is not installed.
    """
    charts.check()
    if not scores:
        raise InvalidArgument("no score to show; give what Detector.score returns.")
    strange = sorted({s.path for s in band} - {s.path for s in scores})
    if strange:
        raise InvalidArgument(
            f"the band has scores of {', '.join(map(visible, strange))}, which is not shown; "
            "give scores of the same files."
        )
    clips = [_Clip(score=s, band=_band_of(s, band)) for s in scores]
    return Timeline(clips, band_of=band_of, height=height)


@dataclass(frozen=True, kw_only=True)
class _Clip:
    """A clip and the scores that its band ranges over."""

    score: Score
    band: tuple[Score, ...]

    @property
    def tracks(self) -> list[int]:
        """The people in it."""
        return sorted({f.track for f in self.score.frames if f.score is not None})


class Timeline(widgets.VBox):
    """Scores over time, and the faces of one moment.

    Attributes
    ----------
    figure
        The plotly figure widget.
    slider
        Chooses a moment, of those at which a frame was looked at.
    faces
        Shows the faces of that moment.
    """

    def __init__(self, clips: Sequence[_Clip], *, band_of: str, height: int) -> None:
        self._clips = tuple(clips)
        frames = [f for clip in clips for f in clip.score.frames]
        self._timed = all(f.time is not None for f in frames)
        self._moments = sorted({_moment(f, self._timed) for f in frames})
        first = self._highest()
        drawn = _figure(self._clips, band_of=band_of, height=height, timed=self._timed)
        if self._moments:
            _put_cursor(drawn, self._moments[first])
        self.figure = charts.widget(drawn)
        for trace in self.figure.data:
            if trace.hoverinfo != "skip":
                trace.on_hover(self._pointed)
                trace.on_click(self._pointed)
        self.faces = Faces()
        options = [(_said(m, self._timed), i) for i, m in enumerate(self._moments)]
        self.slider = widgets.SelectionSlider(
            options=options or [(DASH, 0)],
            value=first,
            description="time" if self._timed else "frame",
            disabled=len(self._moments) < 2,
            layout=widgets.Layout(width="auto", margin=f"0 {_FACES} 0 0"),
        )
        self.slider.observe(lambda change: self._show(change["new"]), "value")
        chart = widgets.VBox([self.figure], layout=widgets.Layout(flex="1 1 320px", min_width="0"))
        row = widgets.HBox(
            [chart, self.faces], layout=widgets.Layout(flex_flow="row wrap", align_items="center")
        )
        super().__init__([charts.Fit(), row, self.slider])
        self.add_class(charts.FRAME)
        self._show(first)

    def __repr__(self) -> str:
        return f"Timeline({', '.join(repr(clip.score) for clip in self._clips)})"

    def _highest(self) -> int:
        """Return the place of the moment with the highest score; 0 without one."""
        scored = [
            (f.score, self._moments.index(_moment(f, self._timed)))
            for clip in self._clips
            for f in clip.score.frames
            if f.score is not None
        ]
        return max(scored)[1] if scored else 0

    def _pointed(self, trace: Any, points: Any, _: object) -> None:
        if points.point_inds:
            at = float(trace.x[points.point_inds[0]])
            self.slider.value = self._moments.index(at)

    def _show(self, place: int) -> None:
        if not self._moments:
            self.faces.show([_nothing(clip, "not examined") for clip in self._clips])
            return
        moment = self._moments[place]
        _put_cursor(self.figure, moment)
        self.faces.show([shown for clip in self._clips for shown in self._seen(clip, moment)])

    def _seen(self, clip: _Clip, moment: float) -> list[Shown]:
        frames = [f for f in clip.score.frames if _moment(f, self._timed) == moment]
        return [_shown(clip, f, self._timed) for f in frames] or [_nothing(clip, "not looked at")]


def _band_of(score: Score, band: Sequence[Score]) -> tuple[Score, ...]:
    """Return those of the same file, or the members of an ensemble, if they fit."""
    chosen = tuple(s for s in band if s.path == score.path) if band else score.members
    if len(chosen) == 1:
        raise InvalidArgument(
            f"the band has one score of {visible(score.path)}; a range needs two or more."
        )
    frames = [(f.frame, f.track) for f in score.frames]
    for other in chosen:
        if [(f.frame, f.track) for f in other.frames] != frames:
            raise InvalidArgument(
                f"the band has a score of other frames of {visible(score.path)} "
                f"({len(other.frames)} frames, expected the same {len(frames)}); score them with "
                "the same frames, order and extractor."
            )
    return chosen


def _figure(clips: Sequence[_Clip], *, band_of: str, height: int, timed: bool) -> Any:
    columns = min(len(clips), _COLUMNS)
    rows = math.ceil(len(clips) / columns)
    several = any(len(clip.tracks) > 1 for clip in clips)
    made = charts.figure(
        rows,
        columns,
        titles=[charts.label(f"{clip.score.name}: {_status(clip.score)}") for clip in clips],
        height=height * rows,
        shared_xaxes="all",
        shared_yaxes="all",
        hovermode="closest",
    )
    ticks = [0, 0.25, 0.5, 0.75, 1]
    made.update_yaxes(range=[2 * GROUND, TOP], tickvals=ticks, fixedrange=True)
    made.update_yaxes(title={"text": "score, P(fake)", "standoff": 4}, col=1)
    made.update_xaxes(
        title={"text": "time in seconds" if timed else "frame", "standoff": 4}, row=rows
    )
    for place, clip in enumerate(clips):
        cell = {"row": 1 + place // columns, "col": 1 + place % columns}
        made.add_scatter(
            name=CURSOR, x=[None, None], y=[2 * GROUND, TOP], mode="lines", hoverinfo="skip",
            line={"color": UNKNOWN, "width": 1, "dash": "dot"}, showlegend=False, **cell,
        )  # fmt: skip
        for rank, track in enumerate(clip.tracks):
            colour = charts.COLOURS[rank % len(charts.COLOURS)]
            name = _person(track) if several else "score"
            if clip.band:
                _draw_band(made, clip, track, colour, timed, band_of, name if several else "", cell)
            _draw_line(made, clip, track, name, colour, rank, timed, cell)
        _draw_faceless(made, clip, timed, cell)
    seen: set[str] = set()
    for trace in made.data:  # one entry of the legend for what all panels have
        if trace.showlegend is not False:
            trace.showlegend = trace.name not in seen
            seen.add(trace.name)
    return made


def _put_cursor(made: Any, moment: float) -> None:
    with made.batch_update():
        for trace in made.data:
            if trace.name == CURSOR:
                trace.x = [moment, moment]


def _draw_line(
    made: Any, clip: _Clip, track: int, name: str, colour: str, rank: int, timed: bool,
    cell: dict[str, int],
) -> None:  # fmt: skip
    frames = _of_track(clip.score, track)
    made.add_scatter(
        name=name,
        legendgroup=name,
        x=[_moment(f, timed) for f in frames],
        y=[f.score if f.track == track else None for f in frames],
        text=[f"frame {f.frame}" for f in frames],
        mode="lines+markers",
        line={"color": colour, "width": 1.5},
        marker={"size": 7, "symbol": charts.SYMBOLS[rank % len(charts.SYMBOLS)]},
        hovertemplate="%{y:.3f}, %{text}<extra></extra>",
        **cell,
    )


def _draw_band(
    made: Any, clip: _Clip, track: int, colour: str, timed: bool, band_of: str, name: str,
    cell: dict[str, int],
) -> None:  # fmt: skip
    """Draw the range of the band's scores, in pieces where one of them has no face."""
    frames = _of_track(clip.score, track)
    by_frame = [{(f.frame, f.track): f.score for f in s.frames} for s in clip.band]
    said = f"range over {len(clip.band)} {band_of}" + (f", {name}" if name else "")
    xs: list[float | None] = []
    ys: list[float | None] = []
    for piece in _pieces(frames, by_frame, track):
        at = [_moment(f, timed) for f, _, _ in piece]
        xs += [*at, *reversed(at), None]
        ys += [*(low for _, low, _ in piece), *(high for _, _, high in reversed(piece)), None]
    made.add_scatter(
        name=charts.label(said), legendgroup=said, x=xs, y=ys, mode="lines", fill="toself",
        fillcolor=_faint(colour), line={"color": _faint(colour), "width": 1}, hoverinfo="skip",
        **cell,
    )  # fmt: skip


def _draw_faceless(made: Any, clip: _Clip, timed: bool, cell: dict[str, int]) -> None:
    frames = [f for f in clip.score.frames if f.score is None]
    if frames:
        made.add_scatter(
            name=FACELESS,
            legendgroup=FACELESS,
            x=[_moment(f, timed) for f in frames],
            y=[GROUND] * len(frames),
            text=[f"{charts.label(f.reason)}, frame {f.frame}" for f in frames],
            mode="markers",
            marker={"size": 8, "symbol": "x-thin", "line": {"color": UNKNOWN, "width": 1.5}},
            hovertemplate="%{text}<extra></extra>",
            **cell,
        )


def _pieces(
    frames: Iterable[FrameScore],
    by_frame: Sequence[dict[tuple[int, int], float | None]],
    track: int,
) -> list[list[tuple[FrameScore, float, float]]]:
    """Return stretches of frames that all scores have, with the least and the greatest."""
    pieces: list[list[tuple[FrameScore, float, float]]] = [[]]
    for frame in frames:
        values = [v for scores in by_frame if (v := scores.get((frame.frame, track))) is not None]
        if len(values) == len(by_frame):
            pieces[-1].append((frame, min(values), max(values)))
        elif pieces[-1]:
            pieces.append([])
    return [piece for piece in pieces if piece]


def _of_track(score: Score, track: int) -> list[FrameScore]:
    """Return one value a frame that was looked at: that of the track, else another, for a gap."""
    found: dict[int, FrameScore] = {}
    for frame in score.frames:
        if frame.frame not in found or frame.track == track:
            found[frame.frame] = frame
    return [found[number] for number in sorted(found)]


def _shown(clip: _Clip, frame: FrameScore, timed: bool) -> Shown:
    name = visible(clip.score.name)
    several = len(clip.tracks) > 1 and frame.score is not None
    when = [_said(frame.time, timed)] if timed and frame.time is not None else []
    return Shown(
        lines=(
            f"{name}, {_person(frame.track)}" if several else name,
            "not examined" if frame.score is None else f"score {frame.score:.3f}",
            ", ".join([*when, f"frame {frame.frame}"]),
        ),
        image=frame.thumbnail,
        missing=visible(frame.reason) if frame.score is None else "no picture was kept",
    )


def _nothing(clip: _Clip, why: str) -> Shown:
    return Shown(lines=(visible(clip.score.name),), missing=why)


def _status(score: Score) -> str:
    return score.status if score.score is None else f"{score.score:.3f}"


def _person(track: int) -> str:
    return f"person {track + 1}"


def _moment(frame: FrameScore, timed: bool) -> float:
    return float(frame.time) if timed and frame.time is not None else float(frame.frame)


def _said(moment: float, timed: bool) -> str:
    return f"{moment:.2f} s" if timed else f"{moment:.0f}"


def _faint(colour: str) -> str:
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red}, {green}, {blue}, .22)"
