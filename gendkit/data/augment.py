"""Training augmentation of one face crop, at its own resolution, before the resize.

Every draw comes from the generator that is passed in, so that a sample's augmentation depends on
nothing but its own seed.
"""

from __future__ import annotations

from collections.abc import Callable
from types import MappingProxyType

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from PIL import Image
from torchvision.transforms.v2 import functional as T
from torchvision.transforms.v2.functional import InterpolationMode

Pixels = NDArray[np.uint8]
Augmentation = Callable[[Pixels, Generator], Pixels]

DEGREES = 10.0
TRANSLATE = 0.1
SCALE = (0.9, 1.1)
BLUR_PROBABILITY, BLUR_KERNEL, BLUR_SIGMA = 0.1, 7, (0.1, 2.0)
JITTER = 0.1
JPEG_QUALITY = (40, 100)


def gend(image: Pixels, rng: Generator) -> Pixels:
    """Augment as the method does.

    Flip with probability .5; affine of up to 10 degrees, 10 % of the sides and a scale of .9 to 1.1
    (nearest neighbour, black outside); Gaussian blur with probability .1 (kernel 7, sigma .1 to 2);
    brightness and contrast by up to 10 % in random order; JPEG of quality 40 to 100.
    """
    picture = Image.fromarray(np.ascontiguousarray(image))
    if rng.random() < 0.5:
        picture = T.horizontal_flip(picture)
    picture = T.affine(
        picture,
        angle=rng.uniform(-DEGREES, DEGREES),
        translate=[
            round(rng.uniform(-TRANSLATE, TRANSLATE) * picture.width),
            round(rng.uniform(-TRANSLATE, TRANSLATE) * picture.height),
        ],
        scale=rng.uniform(*SCALE),
        shear=[0.0, 0.0],
        interpolation=InterpolationMode.NEAREST,
        fill=[0.0],
    )
    if rng.random() < BLUR_PROBABILITY:
        blurred = cv2.GaussianBlur(
            np.asarray(picture), (BLUR_KERNEL, BLUR_KERNEL), rng.uniform(*BLUR_SIGMA),
            borderType=cv2.BORDER_REFLECT_101,
        )  # fmt: skip
        picture = Image.fromarray(blurred)
    brightness, contrast = rng.uniform(1 - JITTER, 1 + JITTER, size=2)
    for step in rng.permutation(2):
        picture = (
            T.adjust_contrast(picture, contrast)
            if step
            else T.adjust_brightness(picture, brightness)
        )
    return _jpeg(np.asarray(picture), int(rng.integers(*JPEG_QUALITY, endpoint=True)))


def light(image: Pixels, rng: Generator) -> Pixels:
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
    )  # fmt: skip
    gain, offset = rng.uniform(0.9, 1.1), rng.uniform(-10, 10)
    lit: Pixels = np.clip(image * np.float32(gain) + np.float32(offset), 0, 255).astype(np.uint8)
    return lit


def none(image: Pixels, rng: Generator) -> Pixels:
    """Leave the crop as it is."""
    return image


AUGMENTATIONS: MappingProxyType[str, Augmentation] = MappingProxyType(
    {"gend": gend, "light": light, "none": none}
)


def _jpeg(image: Pixels, quality: int) -> Pixels:
    """Encode and decode an RGB image."""
    bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    _, data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])
    decoded: Pixels = cv2.cvtColor(cv2.imdecode(data, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
    return decoded
