"""The rules of gendkit's conformance kit, each a test.

Nobody may fetch the weights, so that a test cannot ask for them. The rules are therefore tried on a
network that knows the kit's drawn portraits by heart, made here; it goes through the same code from
the frame to the faces. Where the user has named the weights, they are tried as well.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from gendkit.testing import Given, plugin_checks
from gendkit.testing.portraits import portraits
from gendkit_insightface.detector import SIDE, _letterboxed
from gendkit_insightface.weights import WEIGHTS

CELL = 32
WHOLE, HALF = SIDE // CELL, SIDE // CELL // 2
"""Sides in cells of a portrait that fills the square, and of one that shares it with another."""


def network(folder: Path) -> Given:
    """Write a network that finds the drawn portraits, whole or two side by side.

    It sees the means of cells. The score is .9 less twenty times the mean square difference to the
    nearest portrait, the box is the portrait's and the landmarks are those with which it was drawn.
    The first anchor of a cell of 32 pixels answers for portraits of the square's size, the second
    for those of half of it; both have their upper left corner there.
    """
    nodes, constants = [], {}

    def node(kind: str, inputs: list[str], output: str, **options: object) -> str:
        nodes.append(helper.make_node(kind, inputs, [output], **options))
        return output

    def constant(name: str, value: object, kind: type = np.float32) -> str:
        constants[name] = np.asarray(value, kind)
        return name

    means = node("AveragePool", ["image"], "means", kernel_shape=[CELL] * 2, strides=[CELL] * 2)
    squares = node("Mul", [means, means], "squares")
    scores, points = [], []
    for side in (WHOLE, HALF):
        known, places = zip(*[_known(number, side=side) for number in range(8)], strict=True)
        near, n = np.stack(known), 3 * side * side
        # Mean (x - t)² is that of x², less twice that of x t, plus that of t². Of equally near
        # portraits the first is the surer one, so that confidences differ.
        less = 20 / n
        bias = 0.9 - 0.02 * np.arange(8) - less * (near**2).sum(axis=(1, 2, 3))
        like = [means, constant(f"t{side}", 2 * less * near), constant(f"b{side}", bias)]
        power = [squares, constant(f"ones{side}", np.full_like(near, -less))]
        alike = node("Conv", like, f"alike{side}")
        maps = node("Add", [alike, node("Conv", power, f"power{side}")], f"maps{side}")
        pads = constant(f"pads{side}", [0, 0, 0, 0, 0, 0, side - 1, side - 1], np.int64)
        maps = node("Pad", [maps, pads, constant(f"low{side}", -9)], f"padded{side}")
        best = node("ReduceMax", [maps], f"best{side}", axes=[1], keepdims=0)
        which = node("ArgMax", [maps], f"which{side}", axis=1, keepdims=0)
        column = constant(f"column{side}", [-1, 1], np.int64)
        scores.append(node("Reshape", [best, column], f"score{side}"))
        table = constant(f"table{side}", np.stack(places))
        found = node("Gather", [table, which], f"found{side}", axis=0)
        points.append(
            node("Reshape", [found, constant(f"ten{side}", [-1, 10], np.int64)], f"p{side}")
        )
    score = node("Concat", scores, "scores", axis=1)
    score = node("Clip", [score, constant("zero", 0), constant("one", 1)], "clipped")
    node("Reshape", [score, constant("as1", [-1, 1], np.int64)], "score32")
    node(
        "Reshape",
        [node("Concat", points, "points", axis=1), constant("as10", [-1, 10], np.int64)],
        "points32",
    )
    cells = WHOLE * WHOLE
    boxes = np.tile([[0, 0, WHOLE, WHOLE], [0, 0, HALF, HALF]], (cells, 1))
    node("Identity", [constant("boxes", boxes)], "box32")
    for stride in (8, 16):
        for name, width in (("score", 1), ("box", 4), ("points", 10)):
            empty = np.zeros((2 * (SIDE // stride) ** 2, width))
            node("Identity", [constant(f"{name}{stride}_", empty)], f"{name}{stride}")
    names = [f"{name}{stride}" for name in ("score", "box", "points") for stride in (8, 16, 32)]
    graph = helper.make_graph(
        nodes,
        "portraits",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, SIDE, SIDE])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in names],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    path = folder / "portraits.onnx"
    opset = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=8), path)
    return Given(options={"weights": path})


def _known(number: int, *, side: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the means of a portrait's cells (3, side, side) and its landmarks (10,) in cells."""
    drawn = portraits()[number]
    frame = drawn.image
    if side == HALF:
        frame = np.concatenate([frame, np.zeros_like(frame)], axis=1)
    square, _ = _letterboxed(frame)
    pixels = (square.astype(np.float64) - 127.5) / 128
    means = pixels.reshape(WHOLE, CELL, WHOLE, CELL, 3).mean(axis=(1, 3)).transpose(2, 0, 1)
    return means[:, :side, :side], (drawn.landmarks * side / len(drawn.image)).ravel()


def _named() -> bool:
    return bool(os.environ.get(WEIGHTS.variable)) or WEIGHTS.place.is_file()


test_conformance = plugin_checks("gendkit-insightface", given={"scrfd-10g": network})
test_conformance_with_weights = pytest.mark.skipif(
    not _named(), reason="the weights of SCRFD are for the user to bring; see README.md"
)(plugin_checks("scrfd-10g"))
