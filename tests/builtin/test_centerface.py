from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from gendkit.builtin.centerface import CenterFace
from gendkit.builtin.face_extractor_specs import face_extractors
from gendkit.data.media import read_frames, read_image
from gendkit.errors import InvalidArgument, InvalidImage, UnreadableMedia
from gendkit.plugin.protocols import Face


@pytest.fixture(scope="module")
def centerface(asset: Callable[[str], Path]) -> CenterFace:
    return CenterFace(asset("centerface"))


@pytest.fixture(scope="module")
def frame(asset: Callable[[str], Path]) -> np.ndarray:
    """The first frame of the clip carphone: a man in a car (144, 176, 3)."""
    return read_frames(asset("carphone"), [0])[0].image


def _same(one: list[Face], other: list[Face]) -> bool:
    return len(one) == len(other) and all(
        a.box == b.box and a.confidence == b.confidence and np.array_equal(a.landmarks, b.landmarks)
        for a, b in zip(one, other, strict=True)
    )


def test_the_face_of_a_man_in_a_car_is_found(centerface: CenterFace, frame: np.ndarray) -> None:
    """Against places read off the picture by eye, in pixels of the 176 x 144 frame."""
    [face] = centerface(frame)
    assert face.confidence > 0.85
    seen = [(77, 60.5), (98, 56), (91, 69.5), (84, 82), (101, 79)]
    assert np.abs(face.landmarks - np.array(seen)).max() < 3
    left, top, right, bottom = face.box
    assert left < face.landmarks[:, 0].min() < face.landmarks[:, 0].max() < right
    assert top < face.landmarks[:, 1].min() < face.landmarks[:, 1].max() < bottom


def test_landmarks_come_in_the_order_of_the_template(
    centerface: CenterFace, frame: np.ndarray
) -> None:
    x, y = centerface(frame)[0].landmarks.T
    assert x[0] < x[2] < x[1]
    assert x[3] < x[4]
    assert max(y[:2]) < y[2] < min(y[3:])


def test_the_mirrored_face_has_the_mirrored_landmarks(centerface: CenterFace, shared: Path) -> None:
    """A shift of the decoded places would show here as twice that shift."""
    shifts = []
    for path in sorted((shared / "portraits").glob("*.jpg"))[:20]:
        image = read_image(path)
        [face] = centerface(image)
        [twin] = centerface(np.ascontiguousarray(image[:, ::-1]))
        mirrored = image.shape[1] - 1 - twin.landmarks[[1, 0, 2, 4, 3], 0]
        shifts.append(float((face.landmarks[:, 0] - mirrored).mean()) / 2)
    assert abs(np.mean(shifts)) < 0.35


@pytest.mark.parametrize("factor", [0.5, 2])
def test_the_size_of_the_picture_moves_nothing(
    centerface: CenterFace, frame: np.ndarray, factor: float
) -> None:
    import cv2

    [face] = centerface(frame)
    [other] = centerface(cv2.resize(frame, None, fx=factor, fy=factor))
    assert np.abs((other.landmarks + 0.5) / factor - 0.5 - face.landmarks).max() < 2.5


def test_portraits_have_one_face_each(centerface: CenterFace, shared: Path) -> None:
    paths = sorted((shared / "portraits").glob("*.jpg"))[::10]
    assert len(paths) == 20
    assert [len(centerface(read_image(path))) for path in paths] == [1] * 20


def test_several_faces_are_found_best_first(centerface: CenterFace, shared: Path) -> None:
    paths = sorted((shared / "portraits").glob("*.jpg"))[:4]
    people = [read_image(path)[:400, :330] for path in paths]
    group = np.vstack([np.hstack(people[:2]), np.hstack(people[2:])])
    faces = centerface(group)
    assert len(faces) == 4
    assert {(f.box[0] > 330, f.box[1] > 400) for f in faces} == {
        (x, y) for x in (False, True) for y in (False, True)
    }
    confidences = [face.confidence for face in faces]
    assert confidences == sorted(confidences, reverse=True)


def test_a_film_without_people_has_no_face(centerface: CenterFace, shared: Path) -> None:
    frames = read_frames(shared / "media" / "no_face.mp4", [0, 40, 90])
    assert [centerface(frame.image) for frame in frames] == [[], [], []]


@pytest.mark.parametrize("shape", [(1, 1, 3), (1, 50, 3), (50, 1, 3), (2, 900, 3)])
def test_tiny_and_thin_pictures_have_no_face(
    centerface: CenterFace, shape: tuple[int, int, int]
) -> None:
    assert centerface(np.full(shape, 90, dtype=np.uint8)) == []


def test_boxes_and_landmarks_stay_inside_the_picture(
    centerface: CenterFace, frame: np.ndarray
) -> None:
    cut = np.ascontiguousarray(frame[50:, 78:])
    faces = CenterFace(centerface._weights, threshold=0.2)(cut)
    assert faces
    for face in faces:
        places = np.concatenate([face.landmarks, np.reshape(face.box, (2, 2))])
        assert (places >= 0).all()
        assert (places <= [cut.shape[1] - 1, cut.shape[0] - 1]).all()


def test_the_picture_is_not_changed_and_the_answer_is_always_the_same(
    centerface: CenterFace, frame: np.ndarray
) -> None:
    image = frame.copy()
    image.flags.writeable = False
    assert _same(centerface(image), centerface(image))
    assert np.array_equal(image, frame)


def test_threads_do_not_disturb_each_other(centerface: CenterFace, frame: np.ndarray) -> None:
    pictures = [np.ascontiguousarray(np.roll(frame, 8 * i, axis=1)) for i in range(4)] * 2
    alone = [centerface(picture) for picture in pictures]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(centerface, pictures))
    assert all(map(_same, alone, together))


def test_the_threshold_is_the_least_confidence(centerface: CenterFace, frame: np.ndarray) -> None:
    confidence = centerface(frame)[0].confidence
    above = CenterFace(centerface._weights, threshold=confidence + 0.01)
    assert above.threshold == pytest.approx(confidence + 0.01)
    assert above(frame) == []
    with pytest.raises(InvalidArgument, match="between 0 and 1"):
        CenterFace(centerface._weights, threshold=50)


@pytest.mark.parametrize(
    "image", [np.zeros((9, 9), np.uint8), np.zeros((9, 9, 3)), np.zeros((0, 9, 3), np.uint8)]
)
def test_what_is_no_rgb_image_is_refused(centerface: CenterFace, image: np.ndarray) -> None:
    with pytest.raises(InvalidImage, match="RGB uint8"):
        centerface(image)


def test_weights_that_are_none_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "centerface.onnx"
    path.write_text("no network")
    with pytest.raises(UnreadableMedia, match="no network that OpenCV can read"):
        CenterFace(path)


def test_the_declared_threshold_is_the_built_ones(centerface: CenterFace) -> None:
    spec, *_ = face_extractors()
    assert (spec.name, spec.licence) == ("centerface", "MIT")
    assert spec.build().threshold == spec.threshold == centerface.threshold == 0.5
    assert spec.build(threshold=0.7).threshold == 0.7
