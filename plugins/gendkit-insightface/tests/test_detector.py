"""The detector on networks whose faces are known by hand, and on pictures that are hard for it."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from gendkit.errors import InvalidArgument, InvalidImage, UnreadableMedia
from gendkit.plugin import Face
from gendkit_insightface.detector import SCRFD

RED, GREEN, BLUE = np.eye(3, dtype=np.uint8) * 255
SURE = 127.5 / 128
BOX = np.array([-1, -2, 3, 4])
POINTS = np.array([(-0.5, 0), (1.5, 0), (0.5, 1), (-0.25, 2), (1.25, 2)])


def black(width: int, height: int) -> np.ndarray:
    return np.zeros((height, width, 3), np.uint8)


def painted(width: int, height: int, *, x: int, y: int, side: int = 8) -> np.ndarray:
    image = black(width, height)
    image[y : y + side, x : x + side] = RED
    return image


def same(one: list[Face], other: list[Face]) -> bool:
    return len(one) == len(other) and all(
        a.box == b.box and a.confidence == b.confidence and np.array_equal(a.landmarks, b.landmarks)
        for a, b in zip(one, other, strict=True)
    )


def test_a_cell_is_found_where_it_is(spotter: SCRFD) -> None:
    [face] = spotter(painted(640, 640, x=80, y=160))
    assert face.box == (72, 144, 104, 192)
    assert face.landmarks.tolist() == [[76, 160], [92, 160], [84, 168], [78, 176], [90, 176]]
    assert face.landmarks.dtype == np.float32
    assert face.confidence == pytest.approx(SURE, abs=1e-6)
    assert all(type(value) is float for value in (*face.box, face.confidence))


def test_a_leading_batch_changes_nothing(spots: Callable[..., Path]) -> None:
    image = painted(640, 640, x=80, y=160)
    assert same(SCRFD(spots(batched=True))(image), SCRFD(spots())(image))


def test_colours_come_as_red_green_blue_and_each_stride_has_its_cells(spotter: SCRFD) -> None:
    image = black(640, 640)
    for colour, side in ((RED, 8), (GREEN, 16), (BLUE, 32)):
        image[256 : 256 + side, 6 * side : 7 * side] = colour
    boxes = {face.box for face in spotter(image)}
    assert boxes == {tuple(np.array([6 * s, 256, 6 * s, 256]) + BOX * s) for s in (8, 16, 32)}


@pytest.mark.parametrize(
    ("size", "at", "side", "factor"),
    [
        ((1280, 640), (160, 320), 16, 0.5),  # wide, with a black strip below
        ((640, 1280), (160, 320), 16, 0.5),  # tall, with one to the right
        ((2560, 1440), (320, 320), 32, 0.25),
        ((320, 160), (40, 80), 4, 2),  # enlarged
        ((160, 320), (40, 80), 4, 2),
    ],
)
def test_places_are_pixels_of_the_frame(
    spots: Callable[..., Path],
    size: tuple[int, int],
    at: tuple[int, int],
    side: int,
    factor: float,
) -> None:
    [face] = SCRFD(spots(), threshold=0.3)(painted(*size, x=at[0], y=at[1], side=side))
    cell = 8 / factor
    np.testing.assert_allclose(face.box, np.array([*at, *at]) + BOX * cell)
    np.testing.assert_allclose(face.landmarks, np.array(at) + POINTS * cell)


def test_a_frame_of_few_pixels_is_enlarged(spots: Callable[..., Path]) -> None:
    # Eight times larger, a pixel keeps 3/4 of its light along each axis: .5625 of 255 is 143.4.
    [face] = SCRFD(spots(), threshold=0.1)(painted(80, 40, x=10, y=5, side=1))
    assert face.box == (9, 3, 13, 9)
    assert face.confidence == pytest.approx((143.4 - 127.5) / 128, abs=0.01)


def test_each_axis_has_its_own_factor(
    constant: Callable[..., Path], outputs: list[np.ndarray]
) -> None:
    # 480 * 640 / 854 is 359.7, of which 359 rows are filled.
    row = 2 * (5 * 20 + 15)
    outputs[2][row], outputs[5][row] = 0.9, (1, 1, 1, 1)
    [face] = SCRFD(constant(outputs))(black(854, 480))
    x, y = 640 / 854, 359 / 480
    np.testing.assert_allclose(face.box, (448 / x, 128 / y, 512 / x, 192 / y))
    np.testing.assert_allclose(face.landmarks, [[480 / x, 160 / y]] * 5, rtol=1e-6)


def test_the_most_confident_of_several_is_first_and_overlapping_ones_go(
    constant: Callable[..., Path], outputs: list[np.ndarray]
) -> None:
    for row, score in ((0, 0.6), (1, 0.7), (202, 0.95), (400, 0.8), (402, 0.65)):
        outputs[2][row], outputs[5][row] = score, (0, 0, 2, 2)
    faces = SCRFD(constant(outputs))(black(640, 640))
    # 1 lies over 0 in whole, 402 over 400 by a half (a third of both): it stays.
    assert [f.confidence for f in faces] == pytest.approx([0.95, 0.8, 0.7, 0.65])
    assert [f.box[:2] for f in faces] == [(32, 160), (0, 320), (0, 0), (32, 320)]


@pytest.mark.parametrize(("right", "kept"), [(3, 1), (4, 2)])
def test_boxes_may_share_two_fifths(
    constant: Callable[..., Path], outputs: list[np.ndarray], right: int, kept: int
) -> None:
    # Of 8 cells of 8 pixels 5 are shared (41 of 89 pixels), or 4 (33 of 97).
    for cell, score in ((0, 0.9), (right, 0.8)):
        outputs[0][2 * cell], outputs[3][2 * cell] = score, (0, 0, 8, 8)
    assert len(SCRFD(constant(outputs))(black(640, 640))) == kept


def test_boxes_and_landmarks_are_clipped_to_the_frame(
    constant: Callable[..., Path], outputs: list[np.ndarray]
) -> None:
    outputs[2][0], outputs[5][0] = 0.9, (3, 3, 50, 50)
    outputs[8][0] = (-9, -9, 90, -9, 1, 1, -9, 90, 90, 90)
    [face] = SCRFD(constant(outputs))(black(100, 50))
    assert face.box == (0, 0, 99, 49)
    assert face.landmarks.tolist() == [[0, 0], [99, 0], [5, 5], [0, 49], [99, 49]]


def test_a_face_in_the_black_strip_is_none(
    constant: Callable[..., Path], outputs: list[np.ndarray]
) -> None:
    row = 2 * (15 * 20 + 5)
    outputs[2][row], outputs[5][row] = 0.9, (1, 1, 1, 1)
    found = SCRFD(constant(outputs))
    assert len(found(black(640, 640))) == 1
    assert found(black(640, 320)) == []


def test_a_box_without_an_area_is_no_face(
    constant: Callable[..., Path], outputs: list[np.ndarray]
) -> None:
    outputs[2][10:12] = 0.9
    outputs[5][10:12] = (-1, -1, -1, -1), (0, 0, 0, 0)
    assert SCRFD(constant(outputs))(black(640, 640)) == []


@pytest.mark.parametrize("size", [(1, 1), (1, 301), (301, 1), (2000, 1), (1, 2000), (37, 53)])
def test_tiny_and_thin_pictures_are_borne(
    spotter: SCRFD, constant: Callable[..., Path], outputs: list[np.ndarray], size: tuple[int, int]
) -> None:
    assert spotter(black(*size)) == []
    outputs[0][::97] = 0.9  # even of a network that sees faces everywhere
    outputs[3][:] = 0.5
    for face in SCRFD(constant(outputs))(black(*size)):
        assert 0 <= face.box[0] < face.box[2] <= size[0] - 1
        assert 0 <= face.box[1] < face.box[3] <= size[1] - 1


@pytest.mark.parametrize("level", [0, 128, 255])
def test_a_blank_picture_has_no_face(spots: Callable[..., Path], level: int) -> None:
    image = np.full((120, 160, 3), level, np.uint8)
    assert bool(SCRFD(spots())(image)) == (level == 255)  # white is red, green and blue


def test_the_threshold_is_the_least_confidence(spots: Callable[..., Path]) -> None:
    image = black(640, 640)
    image[8:16, 8:16, 0], image[80:88, 80:88, 0] = 230, 200
    assert SCRFD(spots()).threshold == 0.5
    assert [len(SCRFD(spots(), threshold=t)(image)) for t in (0.5, 0.7, 0.9)] == [2, 1, 0]
    for wrong in (0, 1, 50, float("nan")):
        with pytest.raises(InvalidArgument, match="between 0 and 1"):
            SCRFD("nowhere.onnx", threshold=wrong)


def test_the_picture_is_not_changed_and_the_answer_is_always_the_same(spotter: SCRFD) -> None:
    image = painted(320, 240, x=40, y=80, side=12)
    before = image.copy()
    image.flags.writeable = False
    assert spotter(image)
    assert same(spotter(image), spotter(image))
    assert np.array_equal(image, before)
    assert same(spotter(np.asfortranarray(image)), spotter(image))


def test_threads_do_not_disturb_each_other(spotter: SCRFD) -> None:
    images = [painted(640, 640, x=16 * n, y=8 * n) for n in range(1, 13)]
    alone = [spotter(image) for image in images]
    assert len({faces[0].box for faces in alone}) == 12
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(spotter, images))
    assert all(same(a, b) for a, b in zip(alone, together, strict=True))


@pytest.mark.parametrize(
    "image", [np.zeros((9, 9), np.uint8), np.zeros((9, 9, 3)), np.zeros((0, 9, 3), np.uint8)]
)
def test_what_is_no_rgb_image_is_refused(spotter: SCRFD, image: np.ndarray) -> None:
    with pytest.raises(InvalidImage, match="RGB uint8"):
        spotter(image)


def test_another_network_is_refused_when_it_is_built(
    constant: Callable[..., Path], outputs: list[np.ndarray]
) -> None:
    with pytest.raises(UnreadableMedia, match=r"constant\.onnx is no SCRFD-10GF: it gives 6 out"):
        SCRFD(constant(outputs[:6]))
    with pytest.raises(UnreadableMedia, match="from 2 to 2; expected confidences"):
        SCRFD(constant([o + 2 if n < 3 else o for n, o in enumerate(outputs)]))
    with pytest.raises(UnreadableMedia, match="takes 2 inputs"):
        SCRFD(constant(outputs, more=["size"]))


def test_a_network_for_another_size_of_image_is_refused(
    constant: Callable[..., Path], outputs: list[np.ndarray]
) -> None:
    with pytest.raises(UnreadableMedia, match=r"does not run .* 640 x 640 pixels"):
        SCRFD(constant(outputs, image=(1, 3, 320, 320)))
    assert SCRFD(constant(outputs, image=(1, 3, 640, 640)))(black(64, 64)) == []


def test_what_is_no_network_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "some.onnx"
    for content in (b"no network", b""):
        path.write_bytes(content)
        with pytest.raises(UnreadableMedia, match=r"some\.onnx is no network that onnxruntime"):
            SCRFD(path)
