"""Networks with the nine outputs of SCRFD, small enough to know their faces by hand."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from gendkit_insightface.detector import SCRFD

SIDE, STRIDES = 640, (8, 16, 32)
WIDTHS = (1, 4, 10)
BOX = (1, 2, 3, 4)
POINTS = (-0.5, 0, 1.5, 0, 0.5, 1, -0.25, 2, 1.25, 2)

Outputs = list[np.ndarray]


def saved(
    path: Path,
    nodes: Sequence[onnx.NodeProto],
    names: Sequence[str],
    constants: dict[str, np.ndarray],
    *,
    image: Sequence[int | str] = (1, 3, "height", "width"),
    more: Sequence[str] = (),
) -> Path:
    """Write a network that takes an image, and perhaps more."""
    inputs = [helper.make_tensor_value_info("image", TensorProto.FLOAT, image)]
    inputs += [helper.make_tensor_value_info(n, TensorProto.FLOAT, [1]) for n in more]
    outputs = [helper.make_tensor_value_info(n, TensorProto.FLOAT, None) for n in names]
    known = [numpy_helper.from_array(v, k) for k, v in constants.items()]
    graph = helper.make_graph(list(nodes), "tiny", inputs, outputs, known)
    opset = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=8), path)
    return path


def nothing() -> Outputs:
    """Return the nine outputs without a face: (n, 1), (n, 4) and (n, 10) of each stride."""
    counts = [2 * (SIDE // stride) ** 2 for stride in STRIDES]
    return [np.zeros((n, width), np.float32) for width in WIDTHS for n in counts]


@pytest.fixture
def outputs() -> Outputs:
    return nothing()


@pytest.fixture
def constant(tmp_path: Path) -> Callable[..., Path]:
    """Build a network that always gives the same outputs."""

    def build(outputs: Sequence[np.ndarray], **kinds: Sequence[int | str]) -> Path:
        names = [f"output{n}" for n in range(len(outputs))]
        constants = {f"value{n}": np.asarray(o, np.float32) for n, o in enumerate(outputs)}
        nodes = [
            helper.make_node("Identity", [value], [name])
            for value, name in zip(constants, names, strict=True)
        ]
        return saved(tmp_path / "constant.onnx", nodes, names, constants, **kinds)

    return build


@pytest.fixture
def spots(tmp_path: Path) -> Callable[..., Path]:
    """Build a network that takes red, green and blue cells for faces.

    Red cells of 8 pixels, green of 16 and blue of 32: the score of a cell's second anchor is
    (mean - 127.5) / 128, that of its first is 0. A box is `BOX` and the landmarks are `POINTS`.
    """

    def build(*, batched: bool = False) -> Path:
        nodes, names, constants = [], [], {}
        for width, bias in zip(WIDTHS, ((0,), BOX, POINTS), strict=True):
            shape = [1, -1, width] if batched else [-1, width]
            constants[f"shape{width}"] = np.array(shape, np.int64)
            for channel, stride in enumerate(STRIDES):
                one = f"{width}_{stride}"
                weight = np.zeros((2 * width, 3, stride, stride), np.float32)
                if width == 1:
                    weight[1, channel] = 1 / stride**2
                constants[f"w{one}"] = weight
                constants[f"b{one}"] = np.array(bias * 2, np.float32)
                conv = ["image", f"w{one}", f"b{one}"]
                nodes.append(helper.make_node("Conv", conv, [f"m{one}"], strides=[stride] * 2))
                last = f"m{one}"
                if width == 1:
                    nodes.append(helper.make_node("Clip", [last, "zero", "one"], [f"c{one}"]))
                    last = f"c{one}"
                nodes.append(helper.make_node("Transpose", [last], [f"t{one}"], perm=[0, 2, 3, 1]))
                nodes.append(helper.make_node("Reshape", [f"t{one}", f"shape{width}"], [f"o{one}"]))
                names.append(f"o{one}")
        constants |= {"zero": np.array(0, np.float32), "one": np.array(1, np.float32)}
        return saved(tmp_path / "spots.onnx", nodes, names, constants)

    return build


@pytest.fixture
def spotter(spots: Callable[..., Path]) -> SCRFD:
    return SCRFD(spots())
