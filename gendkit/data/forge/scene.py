"""What a generator of forgeries sees, and what several of them do with it.

In goes the region of a face as float32 RGB, 0 to 255, with the pair's plan; a generator returns a
picture of the same region and the part of the mask in which it is put in.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from gendkit.data.forge import geometry
from gendkit.data.forge.geometry import Floats
from gendkit.data.forge.plan import Plan, Subject
from gendkit.data.forge.upsampler import Upsampler
from gendkit.data.forge.weights import Weights

Tool = Upsampler | Weights
"""What a family was fitted on the people of a split; picklable."""


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
    tool
        What was fitted, for families that are.
    grain
        Draws the grain, which in a film is new in each frame; all else is drawn by `rng`.
    """

    image: Floats
    points: Floats
    mask: Floats
    unit: float
    plan: Plan
    rng: np.random.Generator
    donor: Subject | None
    tool: Tool | None
    grain: np.random.Generator

    @property
    def coarseness(self) -> float:
        """How many pixels of the region are one pixel of the generator."""
        return self.face_size / self.plan.resolution

    @property
    def face_size(self) -> float:
        """Width of the aligned face (template at scale 1.3) in pixels."""
        return self.unit / 0.32 * 1.3

    @property
    def weights(self) -> Weights:
        """The fitted network; `forge` has seen to it that there is one."""
        assert isinstance(self.tool, Weights)
        return self.tool


Generator = Callable[[Scene], tuple[Floats, Floats]]


def axes(points: Floats) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return unit vectors across and down the face."""
    across = (points[1] - points[0]).astype(np.float64)
    down = (points[3:5].mean(0) - points[:2].mean(0)).astype(np.float64)
    return across / np.linalg.norm(across), down / np.linalg.norm(down)


def coarse(image: Floats, factor: float) -> Floats:
    """Return an image that has been through a generator `factor` times coarser."""
    if factor <= 1:
        return image
    height, width = image.shape[:2]
    size = (max(round(width / factor), 1), max(round(height / factor), 1))
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC))


def recoloured(image: Floats, rng: np.random.Generator, *, amount: float) -> Floats:
    """Return the image with jittered channels, contrast and saturation."""
    shift = rng.uniform(3, 8) * amount * rng.choice([-1, 1], 3)
    contrast = 1 + rng.uniform(-0.06, 0.06) * amount
    saturation = 1 + rng.uniform(-0.12, 0.12) * amount
    grey = image.mean(-1, keepdims=True)
    mean = image.mean((0, 1))
    coloured = grey + saturation * (image - grey)
    return np.asarray(mean + contrast * (coloured - mean) + shift, np.float32)


def laid_over(donor: Subject, points: Floats, shape: tuple[int, ...], *, unit: float) -> Floats:
    """Return a donor's face laid triangle by triangle over points of another, (H, W, 3)."""
    where = geometry.piecewise_map(geometry.face_points(donor.landmarks), points, shape)
    ratio = geometry.eye_distance(donor.landmarks) / unit
    image = donor.image if ratio < 1.5 else cv2.blur(donor.image, (round(ratio), round(ratio)))
    return geometry.sample(image.astype(np.float32), where)
