"""Degradations of one picture: what `gendkit.data.degrade` says is done to it, by OpenCV and PyAV.

`gendkit.data.degrade_batch` does the same to a batch on the device. JPEG, H.264, resize and noise
are the same to the bit; `TOLERANCE` says how far the others may be apart.
"""

from __future__ import annotations

from collections.abc import Callable
from types import MappingProxyType
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from gendkit.data.codecs import h264, jpeg
from gendkit.data.degrade import Drawn
from gendkit.data.noise import normal
from gendkit.data.pixels import check_crop
from gendkit.data.resample import Filter, resample

Pixels = NDArray[np.uint8]
Seed = tuple[int, ...]

GREY = (0.299, 0.587, 0.114)
"""Weights of red, green and blue."""
TOLERANCE: MappingProxyType[str, float] = MappingProxyType({"blur": 0.001, "colour": 0.001})
"""The most that a picture and the same in a batch differ by, in grey levels on average: their sums
are rounded in another order, which moves a pixel in thousands by one level."""


def degrade_image(image: Pixels, drawn: Drawn) -> Pixels:
    """Return a degraded copy of a picture, of the same size.

    Parameters
    ----------
    image
        RGB uint8 (H, W, 3), of any size.
    drawn
        Of a chain: `Chain.parse("resize:112:bicubic, jpeg:60").at(seed)`.

    Raises
    ------
    InvalidImage
        If it is no such picture.
    """
    image = np.array(check_crop(image), order="C")
    for number, step in enumerate(drawn.steps):
        image = _DO[step.name](image, (drawn.seed, number), *step.arguments)
    return image


def _jpeg(image: Pixels, seed: Seed, quality: int) -> Pixels:
    return jpeg(image, quality)


def _blur(image: Pixels, seed: Seed, kernel: int, sigma: float) -> Pixels:
    exact = image.astype(np.float32)  # of uint8, OpenCV rounds the kernel to 256ths
    blurred = cv2.GaussianBlur(exact, (kernel, kernel), sigma, borderType=cv2.BORDER_REFLECT_101)
    return _rounded(blurred)


def _resize(image: Pixels, seed: Seed, side: int, interpolation: Filter) -> Pixels:
    height, width = image.shape[:2]
    small = resized(height, width, side)
    there = resample(image, small[::-1], (0, 0, small[1], small[0]), interpolation)
    return resample(there, (width, height), (0, 0, width, height), "bicubic")


def resized(height: int, width: int, side: int) -> tuple[int, int]:
    """Return height and width of which the shorter one is `side`, as torchvision's Resize does."""
    short = min(height, width)
    return int(side * height / short), int(side * width / short)


def _noise(image: Pixels, seed: Seed, sigma: float) -> Pixels:
    deviates = np.float32(255 * sigma) * normal(seed, image.shape)
    return _rounded(image + deviates)


def _colour(
    image: Pixels, seed: Seed, brightness: float, contrast: float, saturation: float, hue: float
) -> Pixels:
    if (brightness, contrast, saturation, hue) == (1, 1, 1, 0):
        return image
    bright = np.clip(image.astype(np.float32) * np.float32(brightness), 0, 255)
    level = np.float32((bright @ np.array(GREY, np.float32)).mean(dtype=np.float64))
    vivid = np.clip(level + np.float32(contrast) * (bright - level), 0, 255)
    grey = (vivid @ np.array(GREY, np.float32))[..., None]
    vivid = np.clip(grey + np.float32(saturation) * (vivid - grey), 0, 255)
    if hue:
        hsv = cv2.cvtColor(vivid, cv2.COLOR_RGB2HSV)
        hsv[..., 0] = (hsv[..., 0] + np.float32(360 * hue)) % 360
        vivid = cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)
    return _rounded(vivid)


def _h264(image: Pixels, seed: Seed, crf: int) -> Pixels:
    return h264(image, crf)


def _rounded(values: NDArray[Any]) -> Pixels:
    rounded: Pixels = np.clip(np.rint(values), 0, 255).astype(np.uint8)
    return rounded


_DO: MappingProxyType[str, Callable[..., Any]] = MappingProxyType(
    {
        "jpeg": _jpeg, "blur": _blur, "resize": _resize, "noise": _noise, "colour": _colour,
        "h264": _h264,
    }
)  # fmt: skip
