"""The scores of clips over time: lines, bands, what has no face, and the faces of a moment."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from gendkit.errors import InvalidArgument, MissingDependency
from gendkit.model.score import FrameScore, Score
from gendkit.notebook.timeline import CURSOR, GROUND, Timeline, timeline

EVIL = "<script>alert(1)<b>\x1b"


def frame(number: int, score: float | None, reason: str = "", track: int = 0) -> FrameScore:
    face = None if score is None else np.full((12, 8, 3), number, np.uint8)
    return FrameScore(
        frame=number,
        time=number / 25,
        score=score,
        box=None,
        reason=reason,
        track=track,
        thumbnail=face,
    )


def clip(*frames: FrameScore, path: str = "clips/a.mp4") -> Score:
    return Score(
        path=path,
        frames_total=90,
        frames=frames,
        problem="",
        seconds=1.0,
        adapter="abc",
        dtype="float32",
        extractor="centerface",
        threshold=0.5,
        scale=1.3,
        order="spread",
        frames_asked=32,
    )


def moved(score: Score, by: float) -> Score:
    frames = (f if f.score is None else replace(f, score=f.score + by) for f in score.frames)
    return replace(score, frames=tuple(frames))


ONE = clip(frame(0, 0.2), frame(5, None, "no face found"), frame(10, 0.6), frame(20, 0.5))
TWIN = replace(moved(ONE, 0.3), path="clips/b.mp4")
EMPTY = clip(frame(0, None, "no face found"), frame(5, None, "no face found"))
TWO = clip(
    *(frame(0, 0.1), frame(0, 0.9, track=1), frame(5, 0.2)),
    *(frame(10, 0.3), frame(10, 0.7, track=1)),
)


@pytest.fixture(autouse=True)
def plotly() -> None:
    pytest.importorskip("plotly", reason="plotly is not installed")


def traces(shown: Timeline, name: str) -> list[Any]:
    return [t for t in shown.figure.data if t.name == name]


def lines(shown: Timeline) -> list[tuple[str, ...]]:
    return [face.lines for face in shown.faces.shown]


def titles(shown: Timeline) -> list[str]:
    return [note.text for note in shown.figure.layout.annotations]


def test_a_score_is_a_line_over_seconds_with_gaps_where_there_is_no_face():
    (line,) = traces(timeline(ONE), "score")
    assert list(line.x) == [0, 0.2, 0.4, 0.8]
    assert list(line.y) == [0.2, None, 0.6, 0.5]


def test_what_was_looked_at_without_a_face_stands_on_the_axis_with_its_reason():
    (marks,) = traces(timeline(ONE), "no face")
    assert list(marks.x) == [0.2]
    assert list(marks.y) == [GROUND]
    assert marks.text == ("no face found, frame 5",)


def test_each_person_has_a_line_and_no_mean_is_drawn_of_them():
    shown = timeline(TWO)
    first, second = (traces(shown, f"person {i}")[0] for i in (1, 2))
    assert list(first.y) == [0.1, 0.2, 0.3]
    assert list(second.y) == [0.9, None, 0.7]
    assert first.line.color != second.line.color
    assert first.marker.symbol != second.marker.symbol
    assert traces(shown, "score") == []


def test_a_twin_stands_beside_it_on_the_same_axes():
    shown = timeline(ONE, TWIN)
    left, right = traces(shown, "score")
    assert (left.xaxis, right.xaxis) == ("x", "x2")
    assert shown.figure.layout.xaxis2.matches == "x"
    assert shown.figure.layout.yaxis2.matches == "y"
    assert titles(shown) == ["a.mp4: 0.433", "b.mp4: 0.733"]
    assert [left.showlegend, right.showlegend] == [True, False]


def test_a_band_is_the_range_of_the_scores_that_were_given_and_says_so():
    seeds = [moved(ONE, by) for by in (-0.1, 0.0, 0.2)]
    shown = timeline(ONE, band=seeds, band_of="seeds")
    (band,) = traces(shown, "range over 3 seeds")
    assert list(band.x) == [0, 0, None, 0.4, 0.8, 0.8, 0.4, None]
    low, high = (0.5, 0.4), (0.7, 0.8)
    assert list(band.y) == pytest.approx([0.1, 0.4, None, *low, *high, None])
    assert band.fill == "toself"


def test_a_band_has_a_gap_where_one_of_its_scores_has_no_face():
    frames = list(ONE.frames)
    frames[2] = replace(frames[2], score=None, reason="no face found")
    blind = replace(ONE, frames=tuple(frames))
    (band,) = traces(timeline(ONE, band=[ONE, blind]), "range over 2 adapters")
    assert list(band.x) == [0, 0, None, 0.8, 0.8, None]


def test_what_an_ensemble_scored_brings_its_band():
    members = (moved(ONE, -0.1), moved(ONE, 0.1))
    shown = timeline(replace(ONE, members=members), band_of="seeds")
    assert len(traces(shown, "range over 2 seeds")) == 1
    assert len(timeline(ONE).figure.data) == len(shown.figure.data) - 1


def test_bands_of_a_clip_and_its_twin_are_told_apart_by_file():
    band = [moved(s, by) for s in (ONE, TWIN) for by in (0.0, 0.1)]
    left, right = traces(timeline(ONE, TWIN, band=band), "range over 2 adapters")
    assert left.y[0] == pytest.approx(0.2)
    assert right.y[0] == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("band", "words"),
    [
        ([TWIN, TWIN], r"scores of clips/b\.mp4, which is not shown"),
        ([ONE, replace(ONE, frames=ONE.frames[:-1])], r"other frames of clips/a\.mp4 \(3 frames"),
        ([ONE], "a range needs two or more"),
    ],
)
def test_a_band_of_something_else_is_refused(band: list[Score], words: str):
    with pytest.raises(InvalidArgument, match=words):
        timeline(ONE, band=band)


def test_nothing_to_show_is_refused():
    with pytest.raises(InvalidArgument, match="no score to show"):
        timeline()


def test_the_slider_shows_the_faces_of_its_moment():
    shown = timeline(ONE, TWIN)
    assert lines(shown)[0] == ("a.mp4", "score 0.600", "0.40 s, frame 10")  # the highest
    shown.slider.value = 3
    assert lines(shown) == [
        ("a.mp4", "score 0.500", "0.80 s, frame 20"),
        ("b.mp4", "score 0.800", "0.80 s, frame 20"),
    ]
    assert [list(t.x) for t in traces(shown, CURSOR)] == [[0.8, 0.8]] * 2
    shown.slider.value = 1
    assert [face.missing for face in shown.faces.shown] == ["no face found"] * 2
    assert [face.image for face in shown.faces.shown] == [None] * 2


def test_pointing_at_a_frame_moves_the_slider():
    shown = timeline(ONE)
    (line,) = traces(shown, "score")
    place = shown.figure.data.index(line)
    for event, number, frame_number in (("plotly_hover", 3, 20), ("plotly_click", 0, 0)):
        shown.figure._js2py_pointsCallback = {
            "event_type": event,
            "points": {"trace_indexes": [place], "point_indexes": [number], "xs": [0], "ys": [0]},
            "device_state": None,
            "selector": None,
        }
        assert lines(shown)[0][2].endswith(f"frame {frame_number}")


def test_a_moment_that_a_clip_has_not_is_told():
    other = clip(frame(7, 0.4), path="clips/b.mp4")
    shown = timeline(ONE, other)
    shown.slider.value = 2
    first, second = shown.faces.shown
    assert (first.lines, first.missing, first.image) == (("a.mp4",), "not looked at", None)
    assert second.lines == ("b.mp4", "score 0.400", "0.28 s, frame 7")


def test_faces_go_to_the_page_when_asked_and_never_into_the_state(monkeypatch):
    shown = timeline(ONE)
    sent: list[tuple[Any, Any]] = []
    monkeypatch.setattr(shown.faces, "send", lambda *message: sent.append(message))
    shown.faces._handle_custom_msg({"ask": "faces"}, [])
    shown.slider.value = 0
    assert [len(buffers) for _, buffers in sent] == [1, 1]
    import io

    pixels = np.asarray(Image.open(io.BytesIO(sent[1][1][0])))
    assert np.array_equal(pixels, ONE.frames[0].thumbnail)
    state = {k: v for k, v in shown.faces.get_state().items() if k != "_esm"}
    assert "bytes" not in {type(v).__name__ for v in state.values()}
    assert len(json.dumps(state, default=str)) < 1500


@pytest.mark.parametrize("score", [EMPTY, clip()])
def test_a_clip_without_a_face_is_not_examined(score: Score):
    shown = timeline(score)
    assert titles(shown) == ["a.mp4: not examined"]
    assert traces(shown, "score") == []
    assert lines(shown)[0][0] == "a.mp4"
    assert shown.faces.shown[0].image is None
    assert shown.slider.disabled == (len(score.frames) == 0)


def test_pictures_have_frames_instead_of_seconds():
    picture = clip(replace(frame(0, 0.7), time=None), path="photo.png")
    shown = timeline(picture)
    assert list(traces(shown, "score")[0].x) == [0]
    assert shown.slider.description == "frame"
    assert lines(shown) == [("photo.png", "score 0.700", "frame 0")]


def test_names_and_reasons_are_text():
    shown = timeline(replace(ONE, path=EVIL, frames=(*ONE.frames, frame(30, None, EVIL))))
    assert titles(shown)[0].startswith("&lt;script&gt;alert(1)&lt;b&gt;\\x1b: ")
    assert "&lt;script" in traces(shown, "no face")[0].text[-1]
    assert "\x1b" not in lines(shown)[0][0]
    assert repr(shown).isprintable()


def test_without_plotly_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "plotly", None)
    monkeypatch.setitem(sys.modules, "plotly.graph_objects", None)
    with pytest.raises(MissingDependency, match=r"gendkit\[notebook\]"):
        timeline(ONE)
