"""Tracks: people stay apart, and whoever is in doubt is another."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from gendkit.data.examine import examine
from gendkit.data.extract import extract
from gendkit.data.tracks import Box, link, matched
from gendkit.plugin.protocols import Clip, Face, Frame


def box(x: float, y: float = 50, side: float = 40) -> Box:
    return (x - side / 2, y - side / 2, x + side / 2, y + side / 2)


def test_two_people_who_stay_in_place_are_two_tracks_in_whatever_order_they_are_found() -> None:
    frames = [[box(50), box(200)], [box(203), box(52)], [box(49), box(205)]]
    assert link(frames) == [[0, 1], [1, 0], [0, 1]]


def test_people_who_come_near_are_matched_as_a_whole_and_not_greedily() -> None:
    """The second face of frame 1 is nearest to track 0, too; but then nobody is left for it."""
    assert link([[box(50), box(80)], [box(60), box(88)]]) == [[0, 1], [0, 1]]
    assert link([[box(50), box(80)], [box(72), box(95)]]) == [[0, 1], [0, 1]]


def test_a_face_elsewhere_or_of_another_size_is_another_person() -> None:
    assert link([[box(50)], [box(150)]]) == [[0], [1]]
    assert link([[box(50)], [box(50, side=120)]]) == [[0], [1]]


def test_one_frame_may_be_missed_and_two_may_not() -> None:
    assert link([[box(50)], [], [box(50)]]) == [[0], [], [0]]
    assert link([[box(50)], [], [], [box(50)]]) == [[0], [], [], [1]]
    assert link([[box(50)], [], [], [box(50)]], missed=None) == [[0], [], [], [0]]
    assert link([[box(50)], [], [], [box(150)]], missed=None) == [[0], [], [], [1]]


def test_no_frames_and_no_faces_give_no_tracks() -> None:
    assert link([]) == []
    assert link([[], []]) == [[], []]


def test_faces_of_another_look_are_matched_where_they_are_in_reach() -> None:
    known = [(0, box(50), 0), (0, box(200), 1), (40, box(90), 0)]
    faces = [(1, box(55)), (2, box(195)), (39, box(85)), (3, box(400))]
    assert matched(faces, known) == [0, 1, 0, None]
    assert matched(faces, []) == [None] * 4


class TwoPeople:
    """Finds a large face on the left and a small one on the right, the small one first."""

    threshold = 0.5

    def __call__(self, image: np.ndarray) -> list[Face]:
        return [_face(150, 60, 30), _face(60, 60, 50)]


def _face(x: float, y: float, side: float) -> Face:
    template = np.array([[0.34, 0.46], [0.66, 0.46], [0.5, 0.64], [0.37, 0.82], [0.63, 0.82]])
    points = (np.array([x, y]) + side * (template - 0.5)).astype(np.float32)
    return Face(box=box(x, y, side), landmarks=points, confidence=0.9)


def _clip(count: int) -> Clip:
    def render() -> list[Frame]:
        image = np.full((120, 200, 3), 90, np.uint8)
        return [Frame(index=i, image=image, time=i / 10) for i in range(count)]

    return Clip(video="v", media=render, dataset="d", label=-1)


@pytest.mark.parametrize("frames", [4, 3])
def test_all_faces_of_a_clip_are_cropped_with_their_track(frames: int) -> None:
    found = examine(_clip(4), extractor=TwoPeople(), frames=frames, which="all")
    assert [crop.track for crop in found.crops] == [0, 1] * frames
    assert found.frames_looked_at == frames
    sides = {crop.track: crop.image.shape[0] for crop in found.crops if crop.image is not None}
    assert sides[0] > sides[1]
    largest = examine(_clip(4), extractor=TwoPeople(), frames=frames)
    assert [crop.track for crop in largest.crops] == [0] * frames
    for one, other in zip(largest.crops, found.crops[::2], strict=True):
        np.testing.assert_array_equal(one.image, other.image)


def test_the_manifest_tells_people_apart_and_says_which_faces_were_taken(tmp_path: Path) -> None:
    made = extract([_clip(3)], tmp_path / "all", extractor=TwoPeople(), frames=3, which="all")
    assert made.meta["which"] == "all"
    assert list(made.table["track"]) == [0, 1] * 3
    assert list(made.table["sample"])[:2] == ["d/v/0/0", "d/v/0/1"]
    assert list(made.table["path"])[:2] == [
        "d/unlabelled/v/000000.png",
        "d/unlabelled/v/000000-1.png",
    ]
    assert made.crop(0).shape[0] > made.crop(1).shape[0]
    one = extract([_clip(3)], tmp_path / "one", extractor=TwoPeople(), frames=3)
    assert one.meta["which"] == "meant"
    of_first = made.where(made.table["track"] == 0)
    for row in range(3):
        np.testing.assert_array_equal(one.crop(row), of_first.crop(row))


def test_faces_found_in_a_long_search_are_all_cropped_in_the_end() -> None:
    """Passes over many frames hold no pixels; the crops are cut out afterwards."""

    class Late(TwoPeople):
        def __call__(self, image: np.ndarray) -> list[Face]:
            return super().__call__(image) if image[0, 0, 0] == 255 else []

    def render() -> list[Frame]:
        blank, shown = (np.full((120, 200, 3), v, np.uint8) for v in (90, 255))
        return [Frame(index=i, image=shown if i >= 590 else blank) for i in range(600)]

    clip = Clip(video="v", media=render, dataset="d", label=-1)
    found = examine(clip, extractor=Late(), frames=4, which="all")
    faces = [crop for crop in found.crops if not crop.reason]
    assert len(faces) == 8
    assert all(crop.image is not None for crop in faces)


def test_the_members_of_a_real_clip_stay_one_track(
    asset: Callable[[str], Path],
) -> None:
    from gendkit.data.extractors import build_extractor

    asset("centerface")
    found = examine(
        asset("carphone"), extractor=build_extractor("centerface"), frames=12, which="all"
    )
    assert {crop.track for crop in found.faces} == {0}
