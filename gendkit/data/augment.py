"""Training augmentation of one face crop, at its own resolution, before the resize.

Every draw comes from the generator that is passed in, so that a sample's augmentation depends on
nothing but its own seed. What is drawn (`draw`) is apart from what is done with it (`gend`, and
`gendkit.data.batched` for a whole batch at once).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from types import MappingProxyType

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from PIL import Image

from gendkit.data.codecs import jpeg

Pixels = NDArray[np.uint8]
Augment = Callable[[Pixels, Generator], Pixels]

DEGREES = 10.0
TRANSLATE = 0.1
SCALE = (0.9, 1.1)
BLUR_PROBABILITY, BLUR_KERNEL, BLUR_SIGMA = 0.1, 7, (0.1, 2.0)
JITTER = 0.1
JPEG_QUALITY = (40, 100)


@dataclass(frozen=True, kw_only=True)
class Draw:
    """What the method's augmentation does to one crop.

    Attributes
    ----------
    flip
        Whether it is mirrored.
    angle
        Degrees.
    shift
        Along x and y, in parts of the sides.
    scale
        Factor on the size of what is seen.
    sigma
        Of the blur, in pixels; 0 is none.
    brightness, contrast
        Factors.
    contrast_first
        Whether contrast comes before brightness.
    quality
        Of the JPEG.
    """

    flip: bool
    angle: float
    shift: tuple[float, float]
    scale: float
    sigma: float
    brightness: float
    contrast: float
    contrast_first: bool
    quality: int

    def inverse(self, width: int, height: int) -> tuple[float, float, float, float, float, float]:
        """Return the affine map from a pixel of the result to one of the crop, (a, b, c, d, e, f).

        x = a u + b v + c and y = d u + e v + f; the centre is fixed, the shift is whole pixels.
        """
        turn = math.radians(self.angle)
        cos, sin = math.cos(turn) / self.scale, math.sin(turn) / self.scale
        x, y = width * 0.5, height * 0.5
        right, down = x + round(self.shift[0] * width), y + round(self.shift[1] * height)
        return (
            cos, sin, cos * -right + sin * -down + x,
            -sin, cos, -sin * -right + cos * -down + y,
        )  # fmt: skip


def draw(rng: Generator) -> Draw:
    """Draw as the method does.

    Flip with probability .5; affine of up to 10 degrees, 10 % of the sides and a scale of .9 to
    1.1; Gaussian blur with probability .1 (sigma .1 to 2); brightness and contrast by up to 10 % in
    random order; JPEG of quality 40 to 100.
    """
    flip = bool(rng.random() < 0.5)
    angle = rng.uniform(-DEGREES, DEGREES)
    shift = rng.uniform(-TRANSLATE, TRANSLATE), rng.uniform(-TRANSLATE, TRANSLATE)
    scale = rng.uniform(*SCALE)
    sigma = rng.uniform(*BLUR_SIGMA) if rng.random() < BLUR_PROBABILITY else 0.0
    brightness, contrast = rng.uniform(1 - JITTER, 1 + JITTER, size=2)
    return Draw(
        flip=flip,
        angle=angle,
        shift=shift,
        scale=scale,
        sigma=sigma,
        brightness=float(brightness),
        contrast=float(contrast),
        contrast_first=bool(rng.permutation(2)[0]),
        quality=int(rng.integers(*JPEG_QUALITY, endpoint=True)),
    )


def gend(image: Pixels, rng: Generator) -> Pixels:
    """Augment as the method does: `draw`, then `apply`."""
    return apply(image, draw(rng))


def apply(image: Pixels, drawn: Draw) -> Pixels:
    """Flip, turn (nearest neighbour, black outside), blur (kernel 7), light and compress a crop.

    To the bit what torchvision does to a Pillow image, with OpenCV's blur and JPEG.
    """
    image = cv2.flip(image, 1) if drawn.flip else np.ascontiguousarray(image)
    height, width = image.shape[:2]
    picture = Image.fromarray(image).transform(
        (width, height), Image.Transform.AFFINE, drawn.inverse(width, height),
        Image.Resampling.NEAREST, fillcolor=(0, 0, 0),
    )  # fmt: skip
    if drawn.sigma:
        blurred = cv2.GaussianBlur(
            np.asarray(picture), (BLUR_KERNEL, BLUR_KERNEL), drawn.sigma,
            borderType=cv2.BORDER_REFLECT_101,
        )  # fmt: skip
        picture = Image.fromarray(blurred)
    brighter = _towards(0, drawn.brightness)
    if drawn.contrast_first:
        level = brighter[_towards(_grey(picture), drawn.contrast)]
    else:
        bright = picture.point(brighter.tolist() * 3)
        level = _towards(_grey(bright), drawn.contrast)[brighter]
    return jpeg(cv2.LUT(np.asarray(picture), level), drawn.quality)


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


AUGMENTATIONS: MappingProxyType[str, Augment] = MappingProxyType(
    {"gend": gend, "light": light, "none": none}
)


def _grey(picture: Image.Image) -> int:
    """Return the mean grey level, rounded."""
    counts = np.asarray(picture.convert("L").histogram())
    return int(counts @ np.arange(256) / counts.sum() + 0.5)


def _towards(level: int, factor: float) -> Pixels:
    """Return for each grey level (256,) where it goes: `factor` times as far from a level."""
    ramp = Image.frombytes("L", (256, 1), bytes(range(256)))
    moved: Pixels = np.asarray(Image.blend(Image.new("L", (256, 1), level), ramp, factor))[0]
    return moved
