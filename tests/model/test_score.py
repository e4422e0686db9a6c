"""The score of a file: its mean, its record and its table."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from gendkit.data.examine import Crop
from gendkit.model.score import NO_NUMBER, FrameScore, Score, frame_scores, rescored


def frame(number: int, score: float | None, reason: str = "") -> FrameScore:
    return FrameScore(frame=number, time=number / 25, score=score, box=None, reason=reason)


SCORE = Score(
    path="clips/a.mp4",
    frames_total=90,
    frames=(frame(3, 0.2), frame(7, None, "no face found"), frame(8, 0.6)),
    problem="",
    seconds=1.23456,
    adapter="abc",
    dtype="bfloat16",
    extractor="centerface",
    threshold=0.5,
    scale=1.3,
    order="spread",
    frames_asked=32,
)
EMPTY = replace(SCORE, frames=(frame(0, None, "no face found"),))


def test_a_file_scores_the_mean_of_its_frames_with_a_face() -> None:
    assert SCORE.score == pytest.approx(0.4)
    assert SCORE.faces == 2
    assert SCORE.status == "scored"
    assert SCORE.reasons == {"no face found": 1}


@pytest.mark.parametrize("score", [EMPTY, replace(SCORE, frames=())])
def test_a_file_without_a_face_has_no_score(score: Score) -> None:
    assert score.score is None
    assert score.faces == 0
    assert score.status == "not examined"
    assert score.to_dict()["score"] is None


def test_the_record_is_flat_json() -> None:
    assert json.loads(json.dumps(SCORE.to_dict())) == {
        "path": "clips/a.mp4",
        "status": "scored",
        "score": pytest.approx(0.4),
        "faces": 2,
        "people": 1,
        "person": 0,
        "frames_looked_at": 3,
        "frames_total": 90,
        "frames_without_face": 1,
        "reasons": {"no face found": 1},
        "problem": "",
        "seconds": 1.235,
        "adapter": "abc",
        "dtype": "bfloat16",
        "extractor": "centerface",
        "threshold": 0.5,
        "scale": 1.3,
        "order": "spread",
        "frames_asked": 32,
        "which": "largest",
    }


def test_the_table_has_one_row_a_frame() -> None:
    table = SCORE.to_frame()
    assert table.columns.tolist() == ["path", "frame", "time", "score", "reason"]
    assert table["frame"].tolist() == [3, 7, 8]
    assert table["score"].isna().tolist() == [False, True, False]
    assert replace(SCORE, frames=()).to_frame().columns.tolist() == table.columns.tolist()


def test_the_text_says_the_score_and_what_it_rests_on() -> None:
    assert repr(SCORE) == "Score(clips/a.mp4: score 0.400, 2 of 3 frames with a face)"
    assert repr(EMPTY) == "Score(clips/a.mp4: not examined, 0 of 1 frames with a face)"


def test_the_html_shows_reasons_and_problems() -> None:
    html = replace(SCORE, problem="cut off")._repr_html_()
    for words in ("0.400", "no face found", "cut off", "2 in 3 frames looked at, of 90"):
        assert words in html


def test_names_and_reasons_from_files_are_escaped() -> None:
    evil = "<script>alert(1)</script>"
    score = replace(SCORE, path=evil, problem=evil, frames=(frame(0, None, evil),))
    html = score._repr_html_()
    assert "<script" not in html
    assert html.count("&lt;script&gt;") == 3


def test_a_thumbnail_is_no_part_of_what_a_score_says() -> None:
    face = np.zeros((9, 9, 3), np.uint8)
    shown = replace(SCORE.frames[0], thumbnail=face)
    assert shown == SCORE.frames[0]
    assert hash(shown) == hash(SCORE.frames[0])
    assert "thumbnail" not in repr(shown)


def test_frames_get_their_scores_and_small_faces_in_order() -> None:
    face = np.random.default_rng(0).integers(0, 256, (300, 200, 3), dtype=np.uint8)
    crops = [
        Crop(frame=0, time=0.0, image=face),
        Crop(frame=1, time=0.1, reason="no face found"),
        Crop(frame=2, time=0.2, image=face[:40, :30]),
    ]
    frames = frame_scores(crops, [0.25, 0.75])
    assert [f.score for f in frames] == [0.25, None, 0.75]
    shapes = [None if f.thumbnail is None else f.thumbnail.shape for f in frames]
    assert shapes == [(96, 64, 3), None, (40, 30, 3)]
    assert [f.score for f in rescored(frames, [0.1, 0.2])] == [0.1, None, 0.2]


def test_a_face_without_a_number_is_no_part_of_the_score() -> None:
    face = np.zeros((50, 50, 3), np.uint8)
    crops = [Crop(frame=i, time=None, image=face) for i in range(3)]
    frames = frame_scores(crops, [0.25, float("nan"), 0.75])
    some = replace(SCORE, frames=frames)
    assert (some.score, some.faces) == (0.5, 2)
    assert some.reasons == {NO_NUMBER: 1}
    none = replace(SCORE, frames=rescored(frames, [float("nan")] * 3))
    assert (none.score, none.status) == (None, "not examined")
    assert replace(SCORE, frames=rescored(none.frames, [0.1, 0.2, 0.3])).score == pytest.approx(0.2)


def test_people_are_scored_apart_and_the_highest_is_the_files(detector, tmp_path) -> None:
    """Two people in a picture: an average over them would hide one behind the other."""
    import numpy as np
    from PIL import Image

    from gendkit.plugin.protocols import Face

    template = np.array([[0.34, 0.46], [0.66, 0.46], [0.5, 0.64], [0.37, 0.82], [0.63, 0.82]])

    class Two:
        threshold = 0.5

        def __call__(self, image):
            return [
                Face(
                    box=(x - half, 60 - half, x + half, 60 + half),
                    landmarks=([x, 60] + 2 * half * (template - 0.5)).astype(np.float32),
                    confidence=0.9,
                )
                for x, half in ((60, 30), (150, 25))
            ]

    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 256, (120, 200, 3), np.uint8)).save(tmp_path / "two.png")
    one = detector.score(tmp_path / "two.png", extractor=Two())
    both = detector.score(tmp_path / "two.png", extractor=Two(), which="all")
    assert list(one.people) == [0]
    assert list(both.people) == [0, 1]
    assert both.people[0] == pytest.approx(one.score, abs=1e-6)
    assert both.score == max(both.people.values()) == both.people[both.person]
    assert (both.frames_looked_at, both.faces) == (1, 2)  # two faces of one frame
    record = both.to_dict()
    assert (record["people"], record["person"]) == (2, both.person)
    assert (record["frames_looked_at"], record["frames_without_face"]) == (1, 0)
    assert "person 2" in both._repr_html_()
    assert "person 2" not in one._repr_html_()
    assert [f.track for f in both.frames] == [0, 1]
    assert "thumbnail" not in both.frames[0].to_dict()
