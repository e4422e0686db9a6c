"""YuNet on networks that are made here, whose faces are known by hand and to OpenCV's own class."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from gendkit.builtin.face_extractor_specs import face_extractors
from gendkit.builtin.yunet import HEADS, SIDE, STRIDES, WEIGHTS, YuNet, _decoded
from gendkit.errors import InvalidArgument, InvalidImage, MissingAsset, UnreadableMedia
from gendkit.plugin.protocols import Face

SIZE = np.log([4, 6])
POINTS = np.array([(-1, -1), (1, -1), (0, 0), (-0.5, 1.5), (0.5, 1.5)])
BIAS = {"cls": [0.0], "obj": [0.81], "bbox": [0.5, 0.25, *SIZE], "kps": POINTS.ravel()}
Builder = Callable[..., Path]


@pytest.fixture
def spots(tmp_path: Path) -> Builder:
    """Build a network that takes cells for faces: red ones of 8 pixels, green 16, blue 32.

    The class score is the mean of the cell's colour, that of the object is .81. A box of 4 x 6
    cells has its centre half a cell right and a quarter below the cell's corner.
    """

    def build(
        *, side: int = SIDE, without: Sequence[str] = (), bias: dict[str, Sequence[float]] = BIAS
    ) -> Path:
        nodes, outputs, constants = [], [], {}
        for head, width in HEADS.items():
            width = len(bias[head])
            constants[f"shape_{head}"] = np.array([1, -1, width], np.int64)
            for channel, stride in enumerate(STRIDES):
                one = f"{head}_{stride}"
                weight = np.zeros((width, 3, stride, stride), np.float32)
                if head == "cls":
                    weight[0, 2 - channel] = 1 / stride**2 / 255  # it sees blue, green, red
                constants[f"w_{one}"] = weight
                constants[f"b_{one}"] = np.array(bias[head], np.float32)
                conv = ["input", f"w_{one}", f"b_{one}"]
                nodes += [
                    helper.make_node(
                        "Conv", conv, [f"m_{one}"], strides=[stride] * 2, kernel_shape=[stride] * 2
                    ),
                    helper.make_node("Transpose", [f"m_{one}"], [f"t_{one}"], perm=[0, 2, 3, 1]),
                    helper.make_node("Reshape", [f"t_{one}", f"shape_{head}"], [one]),
                ]
                if head not in without:
                    shape = [1, (side // stride) ** 2, width]
                    outputs.append(helper.make_tensor_value_info(one, TensorProto.FLOAT, shape))
        image = helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, 3, side, side])
        known = [numpy_helper.from_array(value, name) for name, value in constants.items()]
        graph = helper.make_graph(nodes, "spots", [image], outputs, known)
        opset = [helper.make_opsetid("", 11)]
        path = tmp_path / "spots.onnx"
        onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=6), path)
        return path

    return build


@pytest.fixture
def spotter(spots: Builder) -> YuNet:
    return YuNet(spots(), threshold=0.5)


def black(width: int, height: int) -> np.ndarray:
    return np.zeros((height, width, 3), np.uint8)


def painted(
    width: int, height: int, *, x: int, y: int, side: int = 8, level: int = 255
) -> np.ndarray:
    image = black(width, height)
    image[y : y + side, x : x + side, 0] = level
    return image


def same(one: list[Face], other: list[Face]) -> bool:
    return len(one) == len(other) and all(
        a.box == b.box and a.confidence == b.confidence and np.array_equal(a.landmarks, b.landmarks)
        for a, b in zip(one, other, strict=True)
    )


@pytest.mark.parametrize(
    ("size", "at", "factor"),
    [
        ((640, 640), (80, 160), 1),
        ((1280, 640), (160, 320), 0.5),
        ((640, 1280), (160, 320), 0.5),
        ((320, 160), (40, 80), 2),
    ],
)
def test_a_cell_is_found_where_it_is(
    spots: Builder, size: tuple[int, int], at: tuple[int, int], factor: float
) -> None:
    cell = 8 / factor
    image = painted(*size, x=at[0], y=at[1], side=round(cell))
    [face] = YuNet(spots(), threshold=0.7)(image)
    centre = np.array(at) + np.array([0.5, 0.25]) * cell
    half = np.array([2, 3]) * cell
    np.testing.assert_allclose(face.box, [*(centre - half), *(centre + half)], rtol=1e-6)
    np.testing.assert_allclose(face.landmarks, np.array(at) + POINTS * cell, rtol=1e-6)
    assert face.landmarks.dtype == np.float32
    assert all(type(value) is float for value in (*face.box, face.confidence))


def test_the_confidence_is_the_mean_of_both_scores(spotter: YuNet) -> None:
    assert spotter(painted(640, 640, x=80, y=160))[0].confidence == pytest.approx(0.9, abs=1e-6)
    [half] = spotter(painted(640, 640, x=80, y=160, level=128))
    assert half.confidence == pytest.approx((0.81 * 128 / 255) ** 0.5, abs=1e-6)


def test_the_faces_are_those_of_opencv_s_own_class(spots: Builder) -> None:
    path = spots()
    rng = np.random.default_rng(0)
    image = black(640, 640)
    for channel, stride in enumerate(STRIDES):
        for _ in range(6):
            y, x = rng.integers(3, 640 // stride - 3, 2) * stride
            image[y : y + stride, x : x + stride, channel] = rng.integers(120, 256)
    theirs = cv2.FaceDetectorYN.create(str(path), "", (640, 640), 0.5, 0.3, 5000)
    _, rows = theirs.detect(np.ascontiguousarray(image[:, :, ::-1]))
    rows = rows[np.argsort(-rows[:, 14], kind="stable")]
    faces = YuNet(path, threshold=0.5)(image)
    assert len(faces) == len(rows) > 8
    for face, row in zip(faces, rows, strict=True):
        corners = np.clip([*row[:2], *(row[:2] + row[2:4])], 0, 639)
        np.testing.assert_allclose(face.box, corners, atol=1e-3)
        np.testing.assert_allclose(face.landmarks.ravel(), np.clip(row[4:14], 0, 639), atol=1e-3)
        assert face.confidence == pytest.approx(row[14], abs=1e-6)


def test_the_surest_face_is_first_and_one_that_overlaps_it_goes(spotter: YuNet) -> None:
    image = painted(640, 640, x=80, y=160, level=200)
    image[160:168, 88:96, 0] = 180  # a cell beside it
    image[400:408, 400:408, 0] = 255
    first, second = spotter(image)
    assert first.confidence == pytest.approx(0.9, abs=1e-6)
    assert second.landmarks[2].tolist() == [80, 160]


def test_boxes_and_landmarks_are_clipped_to_the_frame(spotter: YuNet) -> None:
    [face] = spotter(painted(640, 320, x=0, y=0))
    assert face.box[:2] == (0, 0)
    assert face.landmarks[0].tolist() == [0, 0]
    [face] = spotter(painted(640, 320, x=632, y=312))
    assert face.box[2:] == (639, 319)
    assert face.landmarks.max(axis=0).tolist() == [639, 319]


@pytest.mark.parametrize("size", [(1, 1), (1, 301), (301, 1), (2000, 1), (37, 53)])
def test_tiny_and_thin_pictures_are_borne(spots: Builder, size: tuple[int, int]) -> None:
    everywhere = YuNet(spots(bias={**BIAS, "cls": [0.9]}), threshold=0.5)
    for face in everywhere(black(*size)):
        assert 0 <= face.box[0] < face.box[2] <= size[0] - 1
        assert 0 <= face.box[1] < face.box[3] <= size[1] - 1


def test_a_box_that_would_be_endless_is_cut(spots: Builder) -> None:
    huge = {**BIAS, "bbox": [0, 0, 900, 900]}
    [face] = YuNet(spots(bias=huge), threshold=0.5)(painted(640, 640, x=320, y=320))
    assert face.box == (0, 0, 639, 639)


def test_the_picture_is_not_changed_and_the_answer_is_always_the_same(spotter: YuNet) -> None:
    image = painted(320, 240, x=40, y=80, side=12)
    before = image.copy()
    image.flags.writeable = False
    assert spotter(image)
    assert same(spotter(image), spotter(image))
    assert np.array_equal(image, before)


def test_threads_do_not_disturb_each_other(spotter: YuNet) -> None:
    images = [painted(640, 640, x=32 * n, y=8 * n + 32) for n in range(1, 9)]
    alone = [spotter(image) for image in images]
    assert len({faces[0].box for faces in alone}) == 8
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(spotter, images))
    assert all(map(same, alone, together))


def test_the_threshold_is_the_least_confidence(spots: Builder) -> None:
    image = painted(640, 640, x=80, y=160)
    assert [len(YuNet(spots(), threshold=t)(image)) for t in (0.85, 0.95)] == [1, 0]
    for wrong in (0, 1, 50, float("nan")):
        with pytest.raises(InvalidArgument, match="between 0 and 1"):
            YuNet("nowhere.onnx", threshold=wrong)


@pytest.mark.parametrize(
    "image", [np.zeros((9, 9), np.uint8), np.zeros((9, 9, 3)), np.zeros((0, 9, 3), np.uint8)]
)
def test_what_is_no_rgb_image_is_refused(spotter: YuNet, image: np.ndarray) -> None:
    with pytest.raises(InvalidImage, match="RGB uint8"):
        spotter(image)


def test_another_network_is_refused_when_it_is_built(spots: Builder, tmp_path: Path) -> None:
    with pytest.raises(UnreadableMedia, match=r"cls_8 has the shape .*expected \(1, 6400, 1\)"):
        YuNet(spots(bias={**BIAS, "cls": [0.0, 0.0]}))
    path = tmp_path / "none.onnx"
    path.write_text("no network")
    with pytest.raises(UnreadableMedia, match=r"none\.onnx is no YuNet that OpenCV can read"):
        YuNet(path)


def test_numbers_that_are_not_finite_are_refused() -> None:
    outputs = {
        f"{head}_{stride}": np.zeros((1, (SIDE // stride) ** 2, width))
        for head, width in HEADS.items()
        for stride in STRIDES
    }
    assert len(_decoded(outputs, 0.5, "some.onnx")[0]) == 0
    outputs["bbox_16"][0, 7, 2] = np.nan
    with pytest.raises(UnreadableMedia, match=r"some\.onnx is damaged: its output bbox_16 is not"):
        _decoded(outputs, 0.5, "some.onnx")


def test_a_network_without_landmarks_is_refused(spots: Builder) -> None:
    with pytest.raises(UnreadableMedia, match="is no YuNet that OpenCV can read and run"):
        YuNet(spots(without=["kps"]))


def test_it_is_declared_as_it_is_built(
    spots: Builder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, spec, _ = face_extractors()
    assert (spec.name, spec.licence, spec.thread_safe) == ("yunet", "MIT", True)
    assert spec.build(weights=spots()).threshold == spec.threshold == 0.9
    assert spec.build(weights=str(spots()), threshold=0.7).threshold == 0.7
    monkeypatch.setenv("GENDKIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv(WEIGHTS.variable, raising=False)
    with pytest.raises(MissingAsset, match=r"2023mar\.onnx.*\(0\.2 MB, MIT\).*opencv_zoo"):
        spec.build()
    monkeypatch.setenv(WEIGHTS.variable, str(spots()))
    assert spec.build().threshold == 0.9
