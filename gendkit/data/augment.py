"""Training augmentation of one face crop, at its own resolution, before the resize.

Every draw comes from the generator that is passed in, so that a sample's augmentation depends on
nothing but its own seed.
"""

from __future__ import annotations

from collections.abc import Callable
from types import MappingProxyType

import cv2
import numpy as np
import torch
from numpy.random import Generator
from numpy.typing import NDArray
from torchvision.transforms.v2 import functional as T
from torchvision.transforms.v2.functional import InterpolationMode

Image = NDArray[np.uint8]
Augmentation = Callable[[Image, Generator], Image]

DEGREES = 10.0
TRANSLATE = 0.1
SCALE = (0.9, 1.1)
BLUR_PROBABILITY, BLUR_KERNEL, BLUR_SIGMA = 0.1, 7, (0.1, 2.0)
JITTER = 0.1
JPEG_QUALITY = (40, 100)


def gend(image: Image, rng: Generator) -> Image:
    """Augment as the method does.

    Flip with probability .5; affine of up to 10 degrees, 10 % of the sides and a scale of .9 to 1.1
    (nearest neighbour, black outside); Gaussian blur with probability .1 (kernel 7, sigma .1 to 2);
    brightness and contrast by up to 10 % in random order; JPEG of quality 40 to 100.
    """
    pixels = torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1)
    if rng.random() < 0.5:
        pixels = T.horizontal_flip(pixels)
    height, width = pixels.shape[-2:]
    pixels = T.affine(
        pixels,
        angle=rng.uniform(-DEGREES, DEGREES),
        translate=[
            round(rng.uniform(-TRANSLATE, TRANSLATE) * width),
            round(rng.uniform(-TRANSLATE, TRANSLATE) * height),
        ],
        scale=rng.uniform(*SCALE),
        shear=[0.0, 0.0],
        interpolation=InterpolationMode.NEAREST,
        fill=[0.0],
    )
    # torchvision's blur reflects the border, which a crop narrower than the kernel does not have.
    if rng.random() < BLUR_PROBABILITY and min(height, width) >= BLUR_KERNEL:
        pixels = T.gaussian_blur(pixels, [BLUR_KERNEL] * 2, [rng.uniform(*BLUR_SIGMA)] * 2)
    brightness, contrast = rng.uniform(1 - JITTER, 1 + JITTER, size=2)
    for step in rng.permutation(2):
        pixels = (
            T.adjust_contrast(pixels, contrast) if step else T.adjust_brightness(pixels, brightness)
        )
    return _jpeg(pixels.permute(1, 2, 0).numpy(), int(rng.integers(*JPEG_QUALITY, endpoint=True)))


def light(image: Image, rng: Generator) -> Image:
    """Augment without touching fine detail: flip, translate by whole pixels, brightness, contrast.

    For few and small crops, in which the traces of a forgery are as fine as those of JPEG.
    """
    if rng.random() < 0.5:
        image = image[:, ::-1]
    height, width = image.shape[:2]
    dx, dy = rng.uniform(-0.04, 0.04, size=2) * (width, height)
    shift = np.array([[1, 0, round(dx)], [0, 1, round(dy)]], dtype=np.float32)
    image = cv2.warpAffine(
        np.ascontiguousarray(image), shift, (width, height), flags=cv2.INTER_NEAREST,
        borderMode=cv2.BORDER_REPLICATE,
    )
    gain, offset = rng.uniform(0.9, 1.1), rng.uniform(-10, 10)
    return np.clip(image * np.float32(gain) + np.float32(offset), 0, 255).astype(np.uint8)


def none(image: Image, rng: Generator) -> Image:
    """Leave the crop as it is."""
    return image


AUGMENTATIONS: MappingProxyType[str, Augmentation] = MappingProxyType(
    {"gend": gend, "light": light, "none": none}
)


def _jpeg(image: Image, quality: int) -> Image:
    """Encode and decode an RGB image."""
    bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    _, data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return cv2.cvtColor(cv2.imdecode(data, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB).astype(
        np.uint8, copy=False
    )
