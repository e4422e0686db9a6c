"""The generators: five ways to make a forged face.

In go a target, sometimes a donor, and the pair's plan; out comes the target's picture with another
face where the mask is. Each generator returns a picture of the region of the face and the part of
the mask in which it acts; blending and restored sharpness are the same for all.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from gendkit.data.forge import geometry
from gendkit.data.forge.blending import blend, matched_colour, restored
from gendkit.data.forge.geometry import Floats
from gendkit.data.forge.masks import draw_mask
from gendkit.data.forge.plan import Plan, Subject
from gendkit.data.forge.upsampler import Upsampler
from gendkit.errors import GendkitError, UnknownPart

LIP_RESOLUTION = 96


@dataclass(frozen=True, kw_only=True, eq=False)
class Scene:
    """What a generator sees: the region of the face as float32, 0 to 255.

    Attributes
    ----------
    image
        (H, W, 3) of the target.
    points
        `face_points` of the target in the region's pixels.
    mask
        (H, W) of the plan.
    unit
        Eye distance in pixels.
    donor
        Whose face is lent, for families that need one.
    """

    image: Floats
    points: Floats
    mask: Floats
    unit: float
    plan: Plan
    rng: np.random.Generator
    donor: Subject | None
    upsampler: Upsampler | None

    @property
    def coarseness(self) -> float:
        """How many pixels of the region are one pixel of the generator."""
        return self.face_size / self.plan.resolution

    @property
    def face_size(self) -> float:
        """Width of the aligned face (template at scale 1.3) in pixels."""
        return self.unit / 0.32 * 1.3


Generator = Callable[[Scene], tuple[Floats, Floats]]


@dataclass(frozen=True, kw_only=True)
class Family:
    """A kind of forgery.

    Attributes
    ----------
    generate
        From a scene to the forged region (H, W, 3) and the mask (H, W) in which it is put in.
    needs_donor, needs_upsampler
        What has to be given to `forge`.
    """

    name: str
    summary: str
    generate: Generator
    needs_donor: bool = False
    needs_upsampler: bool = False


def forge(
    target: Subject,
    *,
    family: str,
    plan: Plan,
    donor: Subject | None = None,
    upsampler: Upsampler | None = None,
) -> Subject:
    """Return the target with a forged face, in the same size and with the same landmarks.

    Parameters
    ----------
    target
        The picture, after `prepare`.
    family
        A name in `FAMILIES`.
    donor
        Another person, for `landmark-swap`.
    upsampler
        From `fit_upsampler`, for `upsampling`.

    Raises
    ------
    UnknownPart
        For a family that does not exist.
    GendkitError
        If the family needs a donor or an upsampler and there is none.
    """
    kind = family_named(family)
    if kind.needs_donor and donor is None:
        raise GendkitError(f"{family} needs a donor: forge(..., donor=Subject(...)).")
    if kind.needs_upsampler and upsampler is None:
        raise GendkitError(f"{family} needs forge(..., upsampler=fit_upsampler(images, seed=...)).")
    rows, columns = geometry.face_region(target.landmarks, target.image.shape)
    image = target.image[rows, columns].astype(np.float32)
    offset = np.array([columns.start, rows.start], np.float32)
    points = geometry.face_points(target.landmarks) - offset
    unit = geometry.eye_distance(target.landmarks)
    scene = Scene(
        image=image,
        points=points,
        mask=draw_mask(points, plan, image.shape, unit=unit),
        unit=unit,
        plan=plan,
        rng=plan.generator(2, zlib.crc32(family.encode())),
        donor=donor,
        upsampler=upsampler,
    )
    source, mask = kind.generate(scene)
    joined = blend(image, source.astype(np.float32), mask, blending=plan.blending)
    joined = restored(joined, image, mask, rng=scene.rng)
    forged = target.image.copy()
    forged[rows, columns] = np.clip(np.rint(joined), 0, 255).astype(np.uint8)
    return replace(target, image=forged)


def family_named(name: str) -> Family:
    """Return a family by name, or raise UnknownPart."""
    for family in FAMILIES:
        if family.name == name:
            return family
    raise UnknownPart(
        f"no family of forgeries is named {name!r}; there is {', '.join(f.name for f in FAMILIES)}."
    )


def _self_blend(scene: Scene) -> tuple[Floats, Floats]:
    """Blend a face with itself, moved, recoloured and sharpened or blurred a little.

    Source: Shiohara and Yamasaki, "Detecting deepfakes with self-blended images", 2022.
    """
    rng, unit = scene.rng, scene.unit
    source = _recoloured(scene.image, rng, amount=1.0)
    angle = rng.uniform(0, 2 * np.pi)
    move = rng.uniform(0.04, 0.09) * unit * np.array([np.cos(angle), np.sin(angle)])
    scale = 1 + rng.choice([-1, 1]) * rng.uniform(0.02, 0.05)
    centre = scene.points[:5].mean(0)
    where = centre + (geometry.pixel_grid(scene.mask.shape) - centre) / scale - move
    source = geometry.sample(source, where.astype(np.float32))
    if rng.random() < 0.5:
        source = _coarse(source, scene.coarseness)
    else:
        source = source + rng.uniform(0.2, 0.6) * (source - cv2.GaussianBlur(source, (0, 0), 1.5))
    return source, scene.mask


def _landmark_swap(scene: Scene) -> tuple[Floats, Floats]:
    """Lay a donor's face over the target's, triangle by triangle, in the target's colours."""
    assert scene.donor is not None
    donor = scene.donor
    where = geometry.piecewise_map(
        geometry.face_points(donor.landmarks), scene.points, scene.image.shape
    )
    ratio = geometry.eye_distance(donor.landmarks) / scene.unit
    image = donor.image if ratio < 1.5 else cv2.blur(donor.image, (round(ratio), round(ratio)))
    source = geometry.sample(image.astype(np.float32), where)
    source = _coarse(source, scene.coarseness)
    return matched_colour(source, scene.image, scene.mask), scene.mask


def _upsampling(scene: Scene) -> tuple[Floats, Floats]:
    """Reduce the face and enlarge it by zero insertion and a fitted transposed convolution."""
    assert scene.upsampler is not None
    factor = min(max(round(scene.coarseness), 2), 4)
    rng = scene.rng
    phase = rng.integers(factor, size=2)
    height, width = (n // factor for n in np.array(scene.mask.shape) - phase)
    window = tuple(
        slice(int(p), int(p) + factor * n) for p, n in zip(phase, (height, width), strict=True)
    )
    small = cv2.resize(scene.image[window], (width, height), interpolation=cv2.INTER_AREA)
    low = cv2.GaussianBlur(small, (0, 0), 1.0)
    small = low + rng.uniform(1.2, 1.7) * (small - low)
    small += rng.normal(0, 2.0, small.shape).astype(np.float32)
    source = scene.image.copy()
    source[window] = scene.upsampler(_recoloured(small, rng, amount=0.8), factor=factor)
    return source, scene.mask


def _reenactment(scene: Scene) -> tuple[Floats, Floats]:
    """Move mouth, brows and jaw along a smooth thin-plate flow, then soften what was stretched."""
    rng, unit, points = scene.rng, scene.unit, scene.points
    across, down = _axes(points)
    shift = np.zeros_like(points)
    raised = rng.choice([-1, 1]) * rng.uniform(0.06, 0.13)
    tilt = rng.uniform(-0.04, 0.04)
    shift[list(geometry.LEFT_BROW)] += (raised + tilt) * down
    shift[list(geometry.RIGHT_BROW)] += (raised - tilt) * down
    wide = rng.choice([-1, 1]) * rng.uniform(0.04, 0.10)
    lift = rng.choice([-1, 1]) * rng.uniform(0.03, 0.08)
    opened = rng.choice([-1, 1]) * rng.uniform(0.04, 0.10)
    shift[3] += -wide * across + lift * down
    shift[4] += wide * across + lift * down
    shift[geometry.UPPER_LIP] -= 0.3 * opened * down
    shift[geometry.LOWER_LIP] += 0.9 * opened * down
    shift[list(geometry.CHIN)] += 0.5 * opened * down + 0.04 * rng.normal() * across
    flow = geometry.thin_plate_flow(points + shift * unit, -shift * unit, scene.image.shape)
    flow *= scene.mask[..., None]
    where = geometry.pixel_grid(scene.mask.shape) + flow
    source = geometry.sample(scene.image, where.astype(np.float32))
    amount = np.clip(np.linalg.norm(flow, axis=-1) / (0.06 * unit), 0, 1)
    soft = _coarse(source, max(scene.coarseness, 2.0))
    source = source + amount[..., None] * (soft - source)
    # The flow is already confined to the mask, so the picture is put in almost wherever it acts.
    return _recoloured(source, rng, amount=0.8), np.clip(1.6 * scene.mask, 0, 1)


def _lip_replacement(scene: Scene) -> tuple[Floats, Floats]:
    """Render the lower face anew at 96 pixels with another mouth, enlarge it, feather it."""
    rng, unit, points = scene.rng, scene.unit, scene.points
    across, down = _axes(points)
    shift = np.zeros_like(points)
    opened = rng.choice([-1, 1]) * rng.uniform(0.06, 0.13)
    wide = rng.choice([-1, 1]) * rng.uniform(0.05, 0.11)
    shift[3] -= wide * across
    shift[4] += wide * across
    shift[geometry.UPPER_LIP] -= 0.4 * opened * down
    shift[geometry.LOWER_LIP] += opened * down
    shift[list(geometry.CHIN)] += 0.4 * opened * down
    flow = geometry.thin_plate_flow(points + shift * unit, -shift * unit, scene.image.shape)
    centre = 0.3 * points[2] + 0.7 * points[3:5].mean(0)
    height = ((geometry.pixel_grid(scene.mask.shape) - centre) @ down) / unit
    lower = np.clip(height / 0.35 + 0.75, 0, 1).astype(np.float32)
    mask = scene.mask * lower
    where = geometry.pixel_grid(scene.mask.shape) + flow * mask[..., None]
    source = geometry.sample(scene.image, where.astype(np.float32))
    source = _coarse(source, scene.face_size / LIP_RESOLUTION)
    source = cv2.bilateralFilter(source, 5, 14, 3)
    return _recoloured(source, rng, amount=0.9), mask


FAMILIES: tuple[Family, ...] = (
    Family(
        name="self-blend",
        summary="the face itself, moved, recoloured and resharpened",
        generate=_self_blend,
    ),
    Family(
        name="landmark-swap",
        summary="the nearest donor's face, warped, in the target's colours",
        generate=_landmark_swap,
        needs_donor=True,
    ),
    Family(
        name="upsampling",
        summary="reduced and enlarged by a fitted transposed convolution, as a GAN does",
        generate=_upsampling,
        needs_upsampler=True,
    ),
    Family(
        name="reenactment",
        summary="mouth, brows and jaw moved along a smooth flow",
        generate=_reenactment,
    ),
    Family(
        name="lip-replacement",
        summary="the lower face rendered at 96 px with another mouth",
        generate=_lip_replacement,
    ),
)


def _axes(points: Floats) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return unit vectors across and down the face."""
    across = (points[1] - points[0]).astype(np.float64)
    down = (points[3:5].mean(0) - points[:2].mean(0)).astype(np.float64)
    return across / np.linalg.norm(across), down / np.linalg.norm(down)


def _coarse(image: Floats, factor: float) -> Floats:
    """Return an image that has been through a generator `factor` times coarser."""
    if factor <= 1:
        return image
    height, width = image.shape[:2]
    size = (max(round(width / factor), 1), max(round(height / factor), 1))
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC))


def _recoloured(image: Floats, rng: np.random.Generator, *, amount: float) -> Floats:
    """Return the image with jittered channels, contrast and saturation."""
    shift = rng.uniform(3, 8) * amount * rng.choice([-1, 1], 3)
    contrast = 1 + rng.uniform(-0.06, 0.06) * amount
    saturation = 1 + rng.uniform(-0.12, 0.12) * amount
    grey = image.mean(-1, keepdims=True)
    mean = image.mean((0, 1))
    coloured = grey + saturation * (image - grey)
    return np.asarray(mean + contrast * (coloured - mean) + shift, np.float32)
