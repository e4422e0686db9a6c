"""The detector against facenet-pytorch's own answers, and on pictures that are hard for it."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from gendkit.data.media import read_image
from gendkit.errors import InvalidArgument, InvalidImage
from gendkit.plugin import Face
from gendkit_mtcnn import detector
from gendkit_mtcnn.detector import MTCNN

REFERENCE = json.loads((Path(__file__).parent / "reference.json").read_text())


def same(one: list[Face], other: list[Face], *, within: float = 0.0) -> bool:
    return len(one) == len(other) and all(
        np.abs(np.subtract(a.box, b.box)).max() <= within
        and np.abs(a.landmarks - b.landmarks).max() <= within
        and abs(a.confidence - b.confidence) <= within
        for a, b in zip(one, other, strict=True)
    )


def agrees(faces: list[Face], expected: list[dict[str, Any]], image: np.ndarray) -> None:
    """Compare with the reference, which counts boxes from 1.

    Its landmarks are fractions of the place before it is cut to whole pixels (0 to 1 pixel more),
    counted from the edge of the first pixel (half a pixel more).
    """
    limit = np.array([image.shape[1] - 1, image.shape[0] - 1])
    assert len(faces) == len(expected)
    for face, other in zip(faces, expected, strict=True):
        box = np.clip(np.reshape(other["box"], (2, 2)) - 1, 0, limit).ravel()
        np.testing.assert_allclose(face.box, box, atol=2e-3)
        assert face.confidence == pytest.approx(other["confidence"], abs=1e-5)
        more = np.array(other["landmarks"]) - face.landmarks
        assert more.min() > 0.5 - 2e-3
        assert more.max() < 1.5 + 2e-3


def test_portraits_have_the_faces_of_the_reference(mtcnn: MTCNN, portraits: Path) -> None:
    for name, expected in REFERENCE["portraits"].items():
        image = read_image(portraits / name)
        agrees(mtcnn(image), expected, image)


def test_a_video_has_the_faces_of_the_reference(mtcnn: MTCNN, clip: list[np.ndarray]) -> None:
    assert len(clip) == len(REFERENCE["carphone"]) == 12
    for image, expected in zip(clip, REFERENCE["carphone"].values(), strict=True):
        agrees(mtcnn(image), expected, image)


def test_the_face_of_a_man_in_a_car_is_found(mtcnn: MTCNN, clip: list[np.ndarray]) -> None:
    """Against places read off the picture by eye, in pixels of the 176 x 144 frame."""
    [face] = mtcnn(clip[0])
    seen = [(77, 60.5), (98, 56), (91, 69.5), (84, 82), (101, 79)]
    assert np.abs(face.landmarks - np.array(seen)).max() < 3.5
    assert face.landmarks.shape == (5, 2)
    assert face.landmarks.dtype == np.float32
    assert all(type(value) is float for value in (*face.box, face.confidence))


def test_landmarks_come_in_the_order_of_the_picture(mtcnn: MTCNN, clip: list[np.ndarray]) -> None:
    for image in (clip[0], np.ascontiguousarray(clip[0][:, ::-1])):
        x, y = mtcnn(image)[0].landmarks.T
        assert x[0] < x[2] < x[1]
        assert x[3] < x[4]
        assert max(y[:2]) < y[2] < min(y[3:])


def test_the_mirrored_face_has_the_mirrored_landmarks(mtcnn: MTCNN, portraits: Path) -> None:
    """A shift of the places would show here as twice that shift; the published one is 0.8 px."""
    shifts = []
    for path in sorted(portraits.glob("*.jpg"))[:20]:
        image = read_image(path)
        faces, twins = mtcnn(image), mtcnn(np.ascontiguousarray(image[:, ::-1]))
        if len(faces) == len(twins) == 1:
            mirrored = image.shape[1] - 1 - twins[0].landmarks[[1, 0, 2, 4, 3], 0]
            shifts.append(float((faces[0].landmarks[:, 0] - mirrored).mean()) / 2)
    assert len(shifts) > 15
    assert abs(np.mean(shifts)) < 0.35


def test_several_faces_are_found_most_confident_first(mtcnn: MTCNN, portraits: Path) -> None:
    paths = sorted(portraits.glob("*.jpg"))[:4]
    people = [read_image(path)[:400, :330] for path in paths]
    group = np.vstack([np.hstack(people[:2]), np.hstack(people[2:])])
    faces = mtcnn(group)
    assert {(f.box[0] > 330, f.box[1] > 400) for f in faces} == {
        (x, y) for x in (False, True) for y in (False, True)
    }
    confidences = [face.confidence for face in faces]
    assert confidences == sorted(confidences, reverse=True)


@pytest.mark.parametrize("shape", [(1, 1, 3), (1, 50, 3), (50, 1, 3), (19, 900, 3), (20, 20, 3)])
def test_tiny_and_thin_pictures_have_no_face(mtcnn: MTCNN, shape: tuple[int, int, int]) -> None:
    assert mtcnn(np.full(shape, 90, dtype=np.uint8)) == []


@pytest.mark.parametrize("level", [0, 128, 255])
def test_a_blank_picture_has_no_face(mtcnn: MTCNN, level: int) -> None:
    assert mtcnn(np.full((120, 160, 3), level, dtype=np.uint8)) == []


def test_boxes_and_landmarks_stay_inside_the_picture(
    weights: list[Path], clip: list[np.ndarray]
) -> None:
    easy = MTCNN(weights, threshold=0.05)
    found = 0
    for left in (70, 74, 78, 82):
        cut = clip[0][50:, left:]
        for face in easy(cut):
            places = np.concatenate([face.landmarks, np.reshape(face.box, (2, 2))])
            assert (places >= 0).all()
            assert (places <= [cut.shape[1] - 1, cut.shape[0] - 1]).all()
            found += 1
    assert found


def test_the_picture_is_not_changed_and_the_answer_is_always_the_same(
    mtcnn: MTCNN, clip: list[np.ndarray]
) -> None:
    image = clip[0].copy()
    image.flags.writeable = False
    assert same(mtcnn(image), mtcnn(image))
    assert np.array_equal(image, clip[0])
    assert same(mtcnn(np.asfortranarray(image)), mtcnn(image))


def test_threads_do_not_disturb_each_other(mtcnn: MTCNN, clip: list[np.ndarray]) -> None:
    alone = [mtcnn(image) for image in clip]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(mtcnn, clip))
    assert all(same(a, b, within=1e-3) for a, b in zip(alone, together, strict=True))


def test_a_caller_s_autocast_and_gradients_change_nothing(
    mtcnn: MTCNN, clip: list[np.ndarray]
) -> None:
    plain = mtcnn(clip[0])
    with torch.autocast("cpu", dtype=torch.bfloat16), torch.enable_grad():
        assert same(mtcnn(clip[0]), plain)
        assert torch.is_grad_enabled()


def test_strips_of_a_level_give_what_the_whole_gives(
    mtcnn: MTCNN, clip: list[np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    for image in (clip[0], clip[0][:101, :83]):
        monkeypatch.setattr(detector, "STRIP", 10**9)
        whole = mtcnn(image)
        monkeypatch.setattr(detector, "STRIP", 900)
        assert same(mtcnn(image), whole, within=1e-3)


@pytest.mark.parametrize("height", [12, 13, 14, 15, 40, 41])
def test_every_row_of_a_level_is_in_one_strip(
    mtcnn: MTCNN, height: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    level = torch.rand(1, 3, height, 30, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        whole, shifts = mtcnn._propose(level)
        monkeypatch.setattr(detector, "STRIP", 180)
        rows, parts, moves = zip(*mtcnn._strips(level), strict=True)
    assert rows == tuple(range(0, whole.shape[1], 3))
    torch.testing.assert_close(torch.cat(parts, dim=1), whole)
    torch.testing.assert_close(torch.cat(moves, dim=2), shifts)


def test_a_large_frame_is_never_seen_at_once(
    mtcnn: MTCNN, clip: list[np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    monkeypatch.setattr(detector, "STRIP", 20_000)
    handle = mtcnn._propose.register_forward_pre_hook(
        lambda module, args: seen.append(args[0].shape[2] * args[0].shape[3])
    )
    large = np.tile(clip[0], (4, 4, 1))
    faces = mtcnn(large)
    handle.remove()
    assert len(faces) == 16
    assert max(seen) < 20_000 + 12 * large.shape[1]


def test_the_smallest_face_bounds_what_is_looked_at(
    weights: list[Path], clip: list[np.ndarray]
) -> None:
    [face] = MTCNN(weights, smallest=40)(clip[0])
    assert face.box[3] - face.box[1] > 40
    assert MTCNN(weights, smallest=140)(clip[0]) == []
    with pytest.raises(InvalidArgument, match="sees 12"):
        MTCNN(weights, smallest=11)


def test_the_threshold_is_the_least_confidence(weights: list[Path], clip: list[np.ndarray]) -> None:
    confidence = min(MTCNN(weights)(image)[0].confidence for image in clip)
    above = MTCNN(weights, threshold=(1 + confidence) / 2)
    assert above.threshold == pytest.approx((1 + confidence) / 2)
    assert sum(len(above(image)) for image in clip) < len(clip)
    for wrong in (0, 1, 50, float("nan")):
        with pytest.raises(InvalidArgument, match="between 0 and 1"):
            MTCNN(weights, threshold=wrong)


@pytest.mark.parametrize(
    "image", [np.zeros((9, 9), np.uint8), np.zeros((9, 9, 3)), np.zeros((0, 9, 3), np.uint8)]
)
def test_what_is_no_rgb_image_is_refused(mtcnn: MTCNN, image: np.ndarray) -> None:
    with pytest.raises(InvalidImage, match="RGB uint8"):
        mtcnn(image)
