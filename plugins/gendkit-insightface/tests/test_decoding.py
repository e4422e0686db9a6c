"""Which places the outputs mean, and which of them are kept; numbers worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from gendkit.errors import UnreadableMedia
from gendkit_insightface.decoding import Anchors, decoded, suppressed

ANCHORS = Anchors.of(640)


def slow_suppressed(boxes: np.ndarray, scores: np.ndarray, *, overlap: float) -> list[int]:
    """Keep a box, best first, if it overlaps none that is kept; number by number."""
    keep: list[int] = []
    for i in sorted(range(len(boxes)), key=lambda i: -scores[i]):
        good = True
        for k in keep:
            (l1, t1, r1, b1), (l2, t2, r2, b2) = boxes[i], boxes[k]
            wide = min(r1, r2) - max(l1, l2) + 1
            high = min(b1, b2) - max(t1, t2) + 1
            shared = wide * high if wide > 0 and high > 0 else 0
            whole = (r1 - l1 + 1) * (b1 - t1 + 1) + (r2 - l2 + 1) * (b2 - t2 + 1) - shared
            good = good and shared / whole <= overlap
        if good:
            keep.append(i)
    return keep


def test_anchors_stand_two_in_a_cell_row_by_row() -> None:
    assert ANCHORS.counts == (12_800, 3_200, 800)
    assert ANCHORS.centres[:4].tolist() == [[0, 0], [0, 0], [8, 0], [8, 0]]
    assert ANCHORS.centres[160].tolist() == [0, 8]
    assert ANCHORS.centres[12_800 + 3].tolist() == [16, 0]
    assert ANCHORS.centres[-1].tolist() == [608, 608]
    assert ANCHORS.strides[[0, 12_799, 12_800, 15_999, 16_000, -1]].tolist() == [
        8, 8, 16, 16, 32, 32,
    ]  # fmt: skip


@pytest.mark.parametrize(("level", "stride"), [(0, 8), (1, 16), (2, 32)])
@pytest.mark.parametrize("batched", [False, True])
def test_distances_and_offsets_count_from_the_anchor_in_cells(
    outputs: list[np.ndarray], level: int, stride: int, batched: bool
) -> None:
    cells = 640 // stride
    row = 2 * (3 * cells + 5) + 1  # the second anchor of the cell in row 3, column 5
    outputs[level][row] = 0.75
    outputs[3 + level][row] = (1, 2, 3, 4)
    outputs[6 + level][row] = (-1, 0, 1, 0, 0, 0.5, -1, 2, 1, 2)
    given = [o[None] for o in outputs] if batched else outputs
    boxes, landmarks, scores = decoded(given, ANCHORS, threshold=0.5)
    assert boxes.tolist() == [[4 * stride, 1 * stride, 8 * stride, 7 * stride]]
    assert (landmarks[0] / stride).tolist() == [[4, 3], [6, 3], [5, 3.5], [4, 5], [6, 5]]
    assert scores.tolist() == [0.75]


def test_the_threshold_itself_is_a_face(outputs: list[np.ndarray]) -> None:
    outputs[0][:3, 0] = (0.5, np.nextafter(np.float32(0.5), np.float32(0)), 0.51)
    assert len(decoded(outputs, ANCHORS, threshold=0.5)[2]) == 2
    # 0.7 lies between two float32, of which the lower one is below it.
    outputs[0][:3, 0] = 0.7
    assert len(decoded(outputs, ANCHORS, threshold=0.7)[2]) == 0


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (lambda o: o[:6], r"6 outputs of the shapes \(12800,1\).*gives 9"),
        (lambda o: [*o, o[0]], "10 outputs"),
        (lambda o: [], "0 outputs of the shapes nothing"),
        (lambda o: [o[i] for i in (0, 3, 6, 1, 4, 7, 2, 5, 8)], r"\(12800,1\), \(12800,4\)"),
        (lambda o: [x[::2] for x in o], r"\(6400,1\)"),
        (lambda o: [np.repeat(x[None], 2, axis=0) for x in o], r"\(2,12800,1\)"),
        (lambda o: [x[:, 0] for x in o], r"\(12800,\)"),
        (lambda o: [x - 4 if i < 3 else x for i, x in enumerate(o)], "from -4 to -4; expected"),
        (lambda o: [x + 1.5 if i < 3 else x for i, x in enumerate(o)], "from 1.5 to 1.5"),
        (lambda o: [x * np.nan if i < 3 else x for i, x in enumerate(o)], "scores reach"),
        (lambda o: [x * np.nan if i == 4 else x for i, x in enumerate(o)], "not all finite"),
        (lambda o: [x + np.inf if i == 8 else x for i, x in enumerate(o)], "not all finite"),
    ],
)
def test_outputs_of_another_network_are_refused(
    outputs: list[np.ndarray], wrong: object, said: str
) -> None:
    assert callable(wrong)
    with pytest.raises(UnreadableMedia, match=said):
        decoded(wrong(outputs), ANCHORS, threshold=0.5)


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("overlap", [0.0, 0.4, 0.8])
def test_what_is_kept_is_what_a_slow_loop_keeps(seed: int, overlap: float) -> None:
    rng = np.random.default_rng(seed)
    corners = rng.uniform(-20, 200, (6, 2))
    six = np.concatenate([corners, corners + rng.uniform(20, 120, (6, 2))], axis=1)
    boxes = np.repeat(six, 10, axis=0) + rng.uniform(-4, 4, (60, 4))
    scores = rng.integers(50, 70, 60) / 70  # many are equal
    kept = suppressed(boxes, scores, overlap=overlap)
    assert kept == slow_suppressed(boxes, scores, overlap=overlap)
    assert 0 < len(kept) < 60


def test_a_box_goes_only_if_more_than_the_overlap_is_shared() -> None:
    # Sides count both their ends: areas of 70 pixels each, of which 40 are shared.
    boxes = np.array([[0, 0, 6, 9], [3, 0, 9, 9]], dtype=np.float64)
    assert suppressed(boxes, np.array([0.8, 0.9]), overlap=0.4) == [1, 0]  # 40 / 100
    assert suppressed(boxes, np.array([0.8, 0.9]), overlap=0.399) == [1]


def test_a_box_that_went_takes_no_other_with_it() -> None:
    boxes = np.array([[0, 0, 99, 99], [40, 0, 139, 99], [80, 0, 179, 99]], dtype=np.float64)
    assert suppressed(boxes, np.array([0.9, 0.8, 0.7]), overlap=0.4) == [0, 2]


def test_without_boxes_none_are_kept() -> None:
    assert suppressed(np.empty((0, 4)), np.empty(0), overlap=0.4) == []
