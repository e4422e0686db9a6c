"""Boxes between the stages, against slow and obvious rewrites."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from gendkit_mtcnn import boxes as b


def some(count: int, *, seed: int) -> tuple[Tensor, Tensor]:
    """Return boxes (N, 4), many of which overlap or nest, and scores (N,), all different."""
    rng = np.random.default_rng(seed)
    corner, side = rng.uniform(1, 60, (count, 2)), rng.uniform(4, 60, (count, 2))
    scores = rng.permutation(count) / count
    boxes = np.concatenate([corner, corner + side], axis=1)
    return torch.tensor(boxes, dtype=torch.float32), torch.tensor(scores, dtype=torch.float32)


def slowly(boxes: Tensor, scores: Tensor, *, overlap: float, nested: bool) -> list[int]:
    kept: list[int] = []
    for i in sorted(range(len(boxes)), key=lambda i: -float(scores[i])):
        if all(shared(boxes[i].tolist(), boxes[j].tolist(), nested) <= overlap for j in kept):
            kept.append(i)
    return kept


def shared(one: list[float], other: list[float], nested: bool) -> float:
    end = 1 if nested else 0  # the last stage counts pixels, the others measure lengths
    width = max(0.0, min(one[2], other[2]) - max(one[0], other[0]) + end)
    height = max(0.0, min(one[3], other[3]) - max(one[1], other[1]) + end)
    areas = [(p[2] - p[0] + end) * (p[3] - p[1] + end) for p in (one, other)]
    common = width * height
    return common / (min(areas) if nested else sum(areas) - common)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("overlap", [0.3, 0.5, 0.7])
@pytest.mark.parametrize("nested", [False, True])
def test_what_is_kept_is_what_comparing_each_with_each_better_one_keeps(
    seed: int, overlap: float, nested: bool
) -> None:
    boxes, scores = some(80, seed=seed)
    keep = b.best_of_nested if nested else b.best
    found = keep(boxes, scores, overlap=overlap).tolist()
    assert found == slowly(boxes, scores, overlap=overlap, nested=nested)
    assert 1 < len(found) < 80


@pytest.mark.parametrize("keep", [b.best, b.best_of_nested])
def test_of_no_boxes_none_is_kept(keep: object) -> None:
    none = keep(torch.empty(0, 4), torch.empty(0), overlap=0.5)  # type: ignore[operator]
    assert none.tolist() == []


def test_a_box_inside_another_is_dropped_only_where_nesting_counts() -> None:
    boxes = torch.tensor([[0.0, 0, 99, 99], [40, 40, 59, 59]])
    scores = torch.tensor([0.9, 0.8])
    assert b.best(boxes, scores, overlap=0.7).tolist() == [0, 1]
    assert b.best_of_nested(boxes, scores, overlap=0.7).tolist() == [0]


def test_of_equal_scores_the_first_is_kept() -> None:
    boxes = torch.tensor([[0.0, 0, 9, 9]] * 3)
    assert b.best_of_nested(boxes, torch.ones(3), overlap=0.5).tolist() == [0]


def test_the_pyramid_goes_from_the_smallest_face_to_the_short_side() -> None:
    found = b.scales(100, 400, smallest=20, factor=0.5)
    assert found == pytest.approx([0.6, 0.3, 0.15])
    assert b.scales(19, 400, smallest=20, factor=0.5) == []
    assert b.scales(20, 20, smallest=20, factor=0.5) == [0.6]


def test_a_candidate_is_the_window_that_the_network_saw() -> None:
    chances = torch.zeros(4, 5)
    chances[2, 3] = 0.8
    chances[0, 0] = 0.6
    shifts = torch.arange(80.0).reshape(4, 4, 5)
    boxes, scores, moves = b.candidates(chances, shifts, scale=1.0, threshold=0.6)
    assert boxes.tolist() == [[1, 1, 12, 12], [7, 5, 18, 16]]
    assert scores.tolist() == pytest.approx([0.6, 0.8])
    assert moves.tolist() == [[0, 20, 40, 60], [13, 33, 53, 73]]
    half, _, _ = b.candidates(chances, shifts, scale=0.5, threshold=0.7, row=10)
    assert half.tolist() == [[14, 50, 36, 72]]


def test_edges_move_by_fractions_of_the_sides() -> None:
    boxes = torch.tensor([[11.0, 21, 20, 40]])
    moves = torch.tensor([[0.1, -0.1, 0.0, 0.5]])
    torch.testing.assert_close(b.shifted(boxes, moves), torch.tensor([[12.0, 19, 20, 50]]))
    without = b.shifted(boxes, moves, whole=False)
    torch.testing.assert_close(without, torch.tensor([[11.9, 19.1, 20, 49.5]]))


def test_a_square_has_the_same_centre_and_the_longer_side() -> None:
    squares = b.squared(torch.tensor([[10.0, 20, 20, 50], [1, 2, 5, 4]]))
    assert squares.tolist() == [[0, 20, 30, 50], [1, 1, 5, 5]]


def test_only_the_part_inside_the_picture_is_cut_out() -> None:
    boxes = torch.tensor([[-3.5, 2.9, 4.2, 99], [5, 5, 6, 6], [9, 1, 12, 3], [-9, -9, 0, 0]])
    cut, there = b.inside(boxes, height=10, width=8)
    assert there.tolist() == [True, True, False, False]
    assert cut[there].tolist() == [[1, 2, 4, 10], [5, 5, 6, 6]]


def test_a_crop_holds_the_mean_of_each_area() -> None:
    image = torch.arange(3 * 6 * 6, dtype=torch.float32).reshape(3, 6, 6)
    (crop,) = b.crops(image, torch.tensor([[3, 1, 6, 4]]), side=2)
    cut = image[:, 0:4, 2:6]
    expected = cut.reshape(3, 2, 2, 2, 2).mean(dim=(2, 4))
    torch.testing.assert_close(crop, expected)
    (same,) = b.crops(image, torch.tensor([[2, 2, 2, 2]]), side=3)
    torch.testing.assert_close(same, image[:, 1:2, 1:2].expand(3, 3, 3))
