"""`gend-batched`: for images of one size what `gend` does, each by its own draw."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from gendkit.data import augment, batched
from gendkit.data.augment import Draw, draw
from gendkit.data.batched import gend_batched
from gendkit.errors import InvalidImage

NOTHING = Draw(
    flip=False, angle=0.0, shift=(0.0, 0.0), scale=1.0, sigma=0.0, brightness=1.0, contrast=1.0,
    contrast_first=False, quality=100,
)  # fmt: skip


def images(count: int, size: int = 56) -> np.ndarray:
    """Structure of all sizes (N, S, S, 3)."""
    rng = np.random.default_rng(1)
    coarse = rng.integers(0, 256, (count, 6, 6, 3), dtype=np.uint8)
    large = np.stack([cv2.resize(c, (size, size), interpolation=cv2.INTER_CUBIC) for c in coarse])
    return np.clip(large + rng.normal(0, 10, large.shape), 0, 255).astype(np.uint8)


def tensor(pictures: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(pictures).permute(0, 3, 1, 2)


def one_by_one(pictures: np.ndarray, drawn: list[Draw]) -> torch.Tensor:
    return tensor(np.stack([augment.apply(p, d) for p, d in zip(pictures, drawn, strict=True)]))


@pytest.mark.parametrize(
    "changes",
    [
        [{"flip": flip} for flip in (True, False)],
        [{"angle": a, "scale": s} for a, s in ((10, 0.9), (-10, 1.1), (3.7, 1.0), (0, 0.97))],
        [{"shift": shift} for shift in ((0.1, -0.1), (-0.07, 0.03), (0.0, 0.09))],
        [{"flip": True, "angle": 7.3, "shift": (0.05, 0.08), "scale": 1.03}],
        [{"brightness": b} for b in (0.9, 0.97, 1.06, 1.1)],
        [{"contrast": c} for c in (0.9, 0.97, 1.06, 1.1)],
        [{"brightness": 1.1, "contrast": 1.1, "contrast_first": first} for first in (True, False)],
        [{"quality": q} for q in range(40, 101, 6)],
    ],
    ids=lambda changes: "-".join(changes[0]),
)
def test_each_step_is_that_of_gend_to_the_bit(changes: list[dict[str, Any]]) -> None:
    drawn = [replace(NOTHING, **change) for change in changes]
    pictures = images(len(drawn))
    expected = one_by_one(pictures, drawn)
    assert torch.equal(gend_batched(tensor(pictures), drawn), expected)
    if changes != [{"quality": 100}]:
        plain = one_by_one(pictures, [NOTHING] * len(drawn))
        assert not torch.equal(expected, plain)


def test_the_blur_is_that_of_gend_to_one_grey_level() -> None:
    sigmas = [0.1, 0.3, 0.5, 0.9, 1.4, 2.0]
    pictures = images(len(sigmas))
    blurred = batched._blurred(tensor(pictures), sigmas)
    for picture, sigma, result in zip(pictures, sigmas, blurred, strict=True):
        expected = cv2.GaussianBlur(picture, (7, 7), sigma, borderType=cv2.BORDER_REFLECT_101)
        difference = result.permute(1, 2, 0).numpy().astype(int) - expected
        assert abs(difference).max() <= 1
        assert abs(difference).mean() < 0.25


def test_drawn_at_random_all_that_is_not_blurred_is_gend_to_the_bit() -> None:
    drawn = [draw(np.random.default_rng(i)) for i in range(64)]
    pictures = images(64)
    same = (gend_batched(tensor(pictures), drawn) == one_by_one(pictures, drawn)).flatten(1).all(1)
    blurred = torch.tensor([one.sigma > 0 for one in drawn])
    assert 2 <= blurred.sum() <= 16
    assert same[~blurred].all()


def test_an_image_is_the_same_in_any_batch() -> None:
    drawn = [draw(np.random.default_rng(i)) for i in range(20)]
    assert any(one.sigma for one in drawn)
    pictures = tensor(images(20))
    whole = gend_batched(pictures, drawn)
    for rows in ([3], [5, 4, 19], list(range(0, 20, 2))):
        part = gend_batched(pictures[rows], [drawn[i] for i in rows])
        assert torch.equal(part, whole[rows])


def test_the_input_is_left_untouched_and_shape_and_dtype_kept() -> None:
    pictures = tensor(images(5, size=31))
    before = pictures.clone()
    result = gend_batched(pictures, [draw(np.random.default_rng(i)) for i in range(5)])
    assert torch.equal(pictures, before)
    assert result.dtype == torch.uint8
    assert result.shape == pictures.shape


def test_an_empty_batch_stays_empty() -> None:
    assert gend_batched(torch.empty(0, 3, 8, 8, dtype=torch.uint8), []).shape == (0, 3, 8, 8)


@pytest.mark.parametrize(
    "wrong",
    [
        torch.zeros(2, 3, 8, 8),
        torch.zeros(3, 8, 8, dtype=torch.uint8),
        torch.zeros(2, 8, 8, 3, dtype=torch.uint8),
    ],
    ids=["float", "no batch", "channels last"],
)
def test_another_dtype_or_shape_is_refused(wrong: torch.Tensor) -> None:
    with pytest.raises(InvalidImage, match=r"uint8 \(B, 3, H, W\); got"):
        gend_batched(wrong, [NOTHING] * 2)


def test_as_many_draws_as_images_are_asked_for() -> None:
    with pytest.raises(InvalidImage, match="2 crops need as many draws; got 1"):
        gend_batched(tensor(images(2)), [NOTHING])


@pytest.mark.gpu
def test_another_device_gives_the_same() -> None:
    drawn = [draw(np.random.default_rng(i)) for i in range(40)]
    pictures = tensor(images(40))
    there = gend_batched(pictures.to("cuda"), drawn).cpu()
    sharp = [i for i, one in enumerate(drawn) if not one.sigma]
    assert torch.equal(there[sharp], gend_batched(pictures, drawn)[sharp])
