"""Negative controls: what happens to pictures without any forgery.

In goes an RGB picture, out comes one of the same size after JPEG, blur, sharpening, smoothing, a
change of colour, a resize, H.264 or a shifted crop. None of these is a manipulation; they are put
on real and fake alike, and a good detector is indifferent to them.

They belong to the data that is made with them, and never change. What is done exactly as it is
asked for, in training and in studies of robustness, is a chain of `gendkit.data.degrade`.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

from gendkit.data.codecs import h264, jpeg
from gendkit.errors import InvalidImage, UnknownPart

if TYPE_CHECKING:
    from gendkit.plugin.protocols import Image


@dataclass(frozen=True, kw_only=True)
class Degradation:
    """A kind of degradation.

    Attributes
    ----------
    weakest, strongest
        The range from which a strength is drawn, in `unit`.
    apply
        `apply(image, strength, rng)` returns an image of the same size.
    """

    name: str
    summary: str
    weakest: float
    strongest: float
    unit: str
    apply: Callable[[Image, float, np.random.Generator], Image]


def degrade(image: Image, name: str, *, seed: int, strength: float | None = None) -> Image:
    """Return a degraded copy of an image.

    Parameters
    ----------
    image
        RGB uint8 (H, W, 3), at least 16 pixels a side.
    name
        One of `DEGRADATIONS`.
    seed
        Draws the strength, if none is given, and what else is random; the same seed gives the same
        picture.
    strength
        In the degradation's own unit, within its range.

    Raises
    ------
    UnknownPart
        For a name that does not exist.
    InvalidImage
        If it is no RGB uint8 image or is smaller than 16 pixels.
    ValueError
        If the strength is out of range.
    """
    kind = next((d for d in DEGRADATIONS if d.name == name), None)
    if kind is None:
        names = ", ".join(d.name for d in DEGRADATIONS)
        raise UnknownPart(f"no degradation is named {name!r}; there is {names}.")
    if (
        image.ndim != 3
        or image.shape[2] != 3
        or image.dtype != np.uint8
        or min(image.shape[:2]) < 16
    ):
        raise InvalidImage(
            f"degrade takes RGB uint8 (H, W, 3) of 16 px or more, got {image.dtype} {image.shape}."
        )
    rng = np.random.default_rng([zlib.crc32(name.encode()), seed])
    drawn = kind.weakest + (kind.strongest - kind.weakest) * float(rng.random())
    if strength is None:
        strength = drawn
    low, high = sorted((kind.weakest, kind.strongest))
    if not low <= strength <= high:
        raise ValueError(f"{name} takes {low:g} to {high:g} ({kind.unit}), got {strength:g}.")
    return kind.apply(image, strength, rng)


def blur(image: Image, sigma: float) -> Image:
    """Return an image (H, W, 3) after Gaussian blur, `sigma` in its pixels."""
    return np.asarray(cv2.GaussianBlur(image, (0, 0), sigma))


def shrink(image: Image, factor: float, *, enlarge: int = cv2.INTER_CUBIC) -> Image:
    """Return an image (H, W, 3) made smaller by area averaging and enlarged to its size again.

    Parameters
    ----------
    image
        RGB uint8.
    factor
        Of its sides, which get 8 pixels at least.
    enlarge
        OpenCV's interpolation of the way back.
    """
    height, width = image.shape[:2]
    size = (max(round(width * factor), 8), max(round(height * factor), 8))
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(small, (width, height), interpolation=enlarge))


def _jpeg(image: Image, strength: float, rng: np.random.Generator) -> Image:
    return jpeg(image, round(strength))


def _blur(image: Image, strength: float, rng: np.random.Generator) -> Image:
    return blur(image, strength)


def _sharpen(image: Image, strength: float, rng: np.random.Generator) -> Image:
    soft = cv2.GaussianBlur(image, (0, 0), 1.2)
    return np.asarray(cv2.addWeighted(image, 1 + strength, soft, -strength, 0))


def _smooth(image: Image, strength: float, rng: np.random.Generator) -> Image:
    if rng.random() < 0.5:
        return np.asarray(cv2.medianBlur(image, 3 if strength < 40 else 5))
    return np.asarray(cv2.bilateralFilter(image, 7, strength, 3))


def _colour(image: Image, strength: float, rng: np.random.Generator) -> Image:
    direction = rng.standard_normal(3)
    gain = 1 + strength * direction / np.linalg.norm(direction)
    gamma = 1 + strength * rng.choice([-1, 1])
    levels = (np.arange(256) / 255) ** gamma
    table = np.clip(np.rint(255 * levels[:, None] * gain), 0, 255).astype(np.uint8)
    return np.asarray(cv2.LUT(image, table[None]))


def _resize(image: Image, strength: float, rng: np.random.Generator) -> Image:
    back = cv2.INTER_CUBIC if rng.random() < 0.5 else cv2.INTER_LINEAR
    return shrink(image, strength, enlarge=back)


def _h264(image: Image, strength: float, rng: np.random.Generator) -> Image:
    return h264(image, round(strength))


def _crop_jitter(image: Image, strength: float, rng: np.random.Generator) -> Image:
    """Move and scale the picture under its landmarks, as if the face were found less exactly."""
    height, width = image.shape[:2]
    angle = rng.uniform(0, 2 * np.pi)
    scale = 1 + strength * rng.uniform(-1, 1)
    centre = np.array([width, height]) / 2 - 0.5
    shift = strength * min(height, width) * np.array([np.cos(angle), np.sin(angle)])
    matrix = np.array([[scale, 0.0, 0.0], [0.0, scale, 0.0]])
    matrix[:, 2] = centre - scale * centre + shift
    return np.asarray(
        cv2.warpAffine(
            image, matrix, (width, height), flags=cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REFLECT_101,
        )
    )  # fmt: skip


DEGRADATIONS: tuple[Degradation, ...] = (
    Degradation(
        name="jpeg", summary="JPEG with 4:2:0 chroma", weakest=75, strongest=35,
        unit="quality", apply=_jpeg,
    ),
    Degradation(
        name="blur", summary="Gaussian blur", weakest=0.7, strongest=2.0, unit="sigma in px",
        apply=_blur,
    ),
    Degradation(
        name="sharpen", summary="unsharp mask", weakest=0.4, strongest=1.5, unit="amount",
        apply=_sharpen,
    ),
    Degradation(
        name="smooth", summary="median or bilateral filter", weakest=20, strongest=60,
        unit="grey levels", apply=_smooth,
    ),
    Degradation(
        name="colour", summary="white balance and gamma", weakest=0.06, strongest=0.2,
        unit="fraction", apply=_colour,
    ),
    Degradation(
        name="resize", summary="made smaller and enlarged again", weakest=0.75, strongest=0.4,
        unit="factor", apply=_resize,
    ),
    Degradation(
        name="h264", summary="one frame of H.264 video", weakest=23, strongest=35, unit="CRF",
        apply=_h264,
    ),
    Degradation(
        name="crop-jitter", summary="a crop that is shifted and scaled", weakest=0.01,
        strongest=0.04, unit="fraction of the smaller side", apply=_crop_jitter,
    ),
)  # fmt: skip
