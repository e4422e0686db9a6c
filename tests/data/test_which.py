"""Which face is meant: each rule does what it is called, and the manifest says which it was."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import numpy as np
import pytest

from gendkit.data.examine import NO_FACE, examine
from gendkit.data.extract import extract
from gendkit.data.faces import TEMPLATE
from gendkit.data.people import NOT_THEM
from gendkit.data.which import EMPTY_MASK, NO_MASK, OFF_MASK, WHICH, Which
from gendkit.errors import InvalidArgument, NotExamined
from gendkit.plugin import Clip, Face, Frame

SMALL, LARGE = (20.0, 20.0, 50.0, 50.0), (60.0, 20.0, 120.0, 80.0)


def face(box: tuple[float, float, float, float]) -> Face:
    corner, side = np.array(box[:2]), box[2] - box[0]
    points = (corner + np.asarray(TEMPLATE) * side).astype(np.float32)
    return Face(box=box, landmarks=points, confidence=0.9)


class Sees:
    """Finds the faces of the frame's number, which stands in its first pixel."""

    threshold = 0.5

    def __init__(self, *frames: list[tuple[float, float, float, float]]) -> None:
        self.frames = frames

    def __call__(self, image: np.ndarray, /) -> list[Face]:
        return [face(box) for box in self.frames[image[0, 0, 0] % len(self.frames)]]


BOTH = Sees([SMALL, LARGE])


def mask(left: int, right: int) -> np.ndarray:
    out = np.zeros((100, 140), bool)
    out[20:50, left:right] = True
    return out


def clip(*masks: np.ndarray | None, label: int = 1, landmarks: np.ndarray | None = None) -> Clip:
    def render() -> list[Frame]:
        frames = []
        for index, one in enumerate(masks):
            image = np.full((100, 140, 3), index, np.uint8)
            frames.append(
                Frame(index=index, time=index / 10, image=image, mask=one, landmarks=landmarks)
            )
        return frames

    return Clip(video="v", media=render, dataset="d", label=label)


ON_SMALL, NOWHERE, NONE = mask(22, 40), mask(0, 10), mask(0, 0)


@pytest.mark.parametrize(
    ("which", "found"),
    [
        ("meant", [SMALL, OFF_MASK, EMPTY_MASK, LARGE]),
        ("mask", [SMALL, OFF_MASK, EMPTY_MASK, NO_MASK]),
        ("largest", [LARGE, LARGE, EMPTY_MASK, LARGE]),
        ("track", [LARGE, LARGE, EMPTY_MASK, LARGE]),
        ("all", [LARGE, SMALL, LARGE, SMALL, EMPTY_MASK, LARGE, SMALL]),
    ],
)
def test_each_rule_takes_the_faces_that_it_is_called_after(which: Which, found: list) -> None:
    crops = examine(clip(ON_SMALL, NOWHERE, NONE, None), extractor=BOTH, which=which).crops
    assert [crop.box or crop.reason for crop in crops] == found


def test_every_rule_is_tried_and_the_default_is_that_which_is_meant() -> None:
    assert set(WHICH) == set(get_args(Which)) == {"meant", "mask", "largest", "track", "all"}
    crops = examine(clip(ON_SMALL, None), extractor=BOTH).crops
    assert [crop.box for crop in crops] == [SMALL, LARGE]


def test_a_real_clip_has_no_mask_by_nature_and_needs_none() -> None:
    real = examine(clip(None, ON_SMALL, label=0), extractor=BOTH, which="mask").crops
    assert [crop.box for crop in real] == [LARGE, SMALL], "a mask that it brings is heeded"
    for label in (1, -1):
        other = examine(clip(None, label=label), extractor=BOTH, which="mask").crops
        assert [crop.reason for crop in other] == [NO_MASK]


def test_landmarks_of_the_dataset_say_who_is_meant_without_a_mask() -> None:
    known = clip(None, landmarks=face(SMALL).landmarks)
    (crop,) = examine(known, extractor=BOTH, which="mask").crops
    assert crop.reason == ""


def test_a_clip_without_any_mask_keeps_its_rows_with_the_reason(tmp_path: Path) -> None:
    real = clip(None, label=0)
    fake = Clip(video="f", media=clip(None, None).media, dataset="d", label=1)
    made = extract([real, fake], tmp_path / "out", extractor=BOTH, which="mask")
    assert list(made.table["reason"]) == ["", NO_MASK, NO_MASK]
    assert "d/f" in made.meta["problems"]
    with pytest.raises(NotExamined, match=f"2 x {NO_MASK}"):
        extract([fake], tmp_path / "none", extractor=BOTH, which="mask")


@pytest.mark.parametrize("which", WHICH)
def test_the_manifest_says_which_rule_was_in_force(tmp_path: Path, which: Which) -> None:
    made = extract([clip(ON_SMALL)], tmp_path / "out", extractor=BOTH, which=which)
    assert made.meta["which"] == which
    assert made.meta["crop"] == "own"


def test_a_rule_that_there_is_not_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match="'biggest'; there is meant, largest, mask, track, "):
        examine(clip(None), extractor=BOTH, which="biggest")  # type: ignore[arg-type]
    with pytest.raises(InvalidArgument, match="'biggest'"):
        extract([clip(None)], tmp_path / "out", which="biggest")  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []


# The main person


def track(*frames: list, wanted: int = 32, order: str = "stride") -> list:
    """What `track` keeps of frames in which these boxes are seen."""
    found = examine(
        clip(*[None] * len(frames)), extractor=Sees(*frames), which="track", frames=wanted,
        order=order,  # type: ignore[arg-type]
    )  # fmt: skip
    assert {crop.track for crop in found.crops} == {0}
    assert all((crop.image is None) == bool(crop.reason) for crop in found.crops)
    return [crop.box or crop.reason for crop in found.crops]


HUGE = (0.0, 0.0, 95.0, 95.0)


def test_a_second_person_does_not_slip_in_where_the_main_one_is_hidden() -> None:
    frames = [[LARGE, SMALL], [SMALL], [LARGE], [], [LARGE, SMALL]]
    assert track(*frames) == [LARGE, NOT_THEM, LARGE, NO_FACE, LARGE]
    largest = examine(clip(*[None] * 5), extractor=Sees(*frames), which="largest").crops
    assert [crop.box for crop in largest] == [LARGE, SMALL, LARGE, None, LARGE]


def test_who_is_large_for_a_moment_is_less_than_who_is_there_for_long() -> None:
    """95^2 px once are less than 60^2 px three times; the largest face would have been taken."""
    assert track([LARGE, HUGE], [LARGE], [LARGE]) == [LARGE] * 3
    assert track([LARGE, HUGE], [LARGE]) == [HUGE, NOT_THEM]


def test_who_comes_back_to_the_same_place_is_the_same_however_long_it_took() -> None:
    """In two pieces the large one is seen for less than the small one, who stays."""
    frames = [[LARGE, SMALL], *[[SMALL]] * 8, [LARGE, SMALL], [LARGE, SMALL]]
    assert track(*frames) == [LARGE, *[NOT_THEM] * 8, LARGE, LARGE]


def test_of_two_who_are_equally_large_the_first_is_kept() -> None:
    left, right = (0.0, 20.0, 40.0, 60.0), (90.0, 20.0, 130.0, 60.0)
    assert track([left], [right], [left], [right]) == [left, NOT_THEM, left, NOT_THEM]
    assert track([right], [left], [right], [left]) == [right, NOT_THEM, right, NOT_THEM]


def test_frames_are_looked_at_until_enough_show_the_main_person() -> None:
    """Every second frame shows somebody else; six of the main person need eleven frames."""
    frames = [[LARGE] if i % 2 == 0 else [SMALL] for i in range(40)]
    kept = track(*frames, wanted=6, order="spread")
    assert kept.count(LARGE) == 6
    few = track(*frames[:9], wanted=6, order="spread")
    assert (few.count(LARGE), few.count(NOT_THEM)) == (5, 4)
    extractor = Sees(*frames)
    found = examine(clip(*[None] * 40), extractor=extractor, which="track", frames=6)
    assert len(found.faces) == 6
    assert len(found.crops) <= found.frames_looked_at < 40


def test_the_main_person_of_a_long_clip_is_found_in_passes_that_hold_no_frame() -> None:
    frames = [[LARGE] if i % 10 == 0 else [SMALL] for i in range(250)]
    frames[5::10] = [[]] * len(frames[5::10])
    assert SMALL in track(*frames, wanted=8), "who is there for nine times as long"
    frames = [[LARGE] if 100 <= i < 160 else [] for i in range(250)]
    kept = track(*frames, wanted=50, order="spread")
    assert kept.count(LARGE) == 50


def test_without_a_face_nobody_is_the_main_person() -> None:
    assert track([], [], []) == [NO_FACE] * 3
