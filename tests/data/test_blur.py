"""The blur of a batch: that of OpenCV in floating point, each picture by its own kernel."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch

from gendkit.data.blur import gaussian_blur


@pytest.mark.parametrize(("height", "width"), [(33, 40), (5, 9), (2, 1), (1, 1)])
def test_each_picture_is_blurred_by_its_own_kernel(height: int, width: int) -> None:
    kernels, sigmas = [1, 3, 31, 3, 9], [2.0, 0.5, 6.0, 3.0, 1.5]
    images = np.random.default_rng(0).integers(0, 256, (5, height, width, 3), dtype=np.uint8)
    found = gaussian_blur(torch.from_numpy(images).permute(0, 3, 1, 2), kernels, sigmas)
    for image, kernel, sigma, one in zip(images, kernels, sigmas, found, strict=True):
        exact = cv2.GaussianBlur(
            image.astype(np.float64), (kernel, kernel), sigma, borderType=cv2.BORDER_REFLECT_101
        )
        assert np.abs(one.permute(1, 2, 0).numpy() - exact).max() <= 0.5001


def test_no_pictures_stay_none() -> None:
    assert gaussian_blur(torch.empty(0, 3, 4, 4, dtype=torch.uint8), [], []).shape == (0, 3, 4, 4)
