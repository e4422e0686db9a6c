"""JPEG in tensors: libjpeg's pixels to the bit, by itself in a batch."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch

from gendkit.data.jpeg import jpeg


def pictures(count: int, height: int, width: int) -> np.ndarray:
    """Soft colours, fine noise, and noise that saturates (N, H, W, 3)."""
    rng = np.random.default_rng(0)
    soft = [
        cv2.resize(rng.integers(0, 256, (4, 4, 3), dtype=np.uint8), (width, height))
        for _ in range(count)
    ]
    strength = np.linspace(0, 150, count)[:, None, None, None]
    noise = strength * rng.standard_normal((count, height, width, 3))
    return np.clip(np.stack(soft) + noise, 0, 255).astype(np.uint8)


def by_opencv(image: np.ndarray, quality: int) -> np.ndarray:
    bgr = np.ascontiguousarray(image[..., ::-1])
    _, data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR))[..., ::-1]


def tensor(images: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(images).permute(0, 3, 1, 2).int()


@pytest.mark.parametrize(
    ("height", "width"),
    [(64, 64), (63, 63), (50, 37), (33, 17), (8, 24), (1, 1), (7, 1), (9, 3), (5, 4), (126, 126)],
)
def test_the_pixels_are_those_of_libjpeg(height: int, width: int) -> None:
    qualities = [1, 10, 40, 49, 50, 51, 75, 90, 95, 99, 100]
    images = pictures(len(qualities), height, width)
    results = jpeg(tensor(images), qualities).permute(0, 2, 3, 1).numpy()
    for image, quality, result in zip(images, qualities, results, strict=True):
        assert np.array_equal(result, by_opencv(image, quality)), quality


def test_a_picture_is_the_same_in_any_batch() -> None:
    images = tensor(pictures(6, 40, 40))
    whole = jpeg(images, range(40, 100, 10))
    for i in range(6):
        assert torch.equal(jpeg(images[i : i + 1], [40 + 10 * i])[0], whole[i])


def test_the_input_is_left_untouched() -> None:
    images = tensor(pictures(2, 24, 24))
    before = images.clone()
    jpeg(images, [50, 80])
    assert torch.equal(images, before)
