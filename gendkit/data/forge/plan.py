"""What a real clip and all its fakes have in common: the plan of a pair.

A seed goes in, a `Plan` comes out: how the photo is jittered, which mask and blending a forgery
uses, at which resolution its generator works and how the result is encoded. It is drawn without
looking at the family, and the real clip is jittered and encoded in the same way, so neither a mask
nor a compression betrays a family.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import cv2
import numpy as np

from gendkit.data.forge.geometry import Floats, eye_distance
from gendkit.errors import InvalidImage

if TYPE_CHECKING:
    from gendkit.plugin.protocols import Image

Mask = Literal["ellipse", "hull", "half-face", "mouth", "noise"]
Blending = Literal["alpha", "poisson", "multiband"]

MASKS: tuple[Mask, ...] = ("ellipse", "hull", "half-face", "mouth", "noise")
BLENDINGS: tuple[Blending, ...] = ("alpha", "poisson", "multiband")
RESOLUTIONS = (72, 88, 104, 136)
MIN_EYE_DISTANCE = 16.0


@dataclass(frozen=True, kw_only=True, eq=False)
class Subject:
    """A picture of one face.

    Attributes
    ----------
    image
        RGB uint8 (H, W, 3).
    landmarks
        (5, 2) float32 pixels, in the order of `gendkit.plugin.Face`.
    """

    image: Image
    landmarks: Floats

    def __post_init__(self) -> None:
        image, landmarks = self.image, self.landmarks
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
            raise InvalidImage(
                f"a subject is RGB uint8 (H, W, 3), got {image.dtype} {image.shape}."
            )
        if landmarks.shape != (5, 2) or not np.isfinite(landmarks).all():
            raise InvalidImage(f"a subject has 5 finite landmarks (5, 2), got {landmarks.shape}.")
        if eye_distance(landmarks) < MIN_EYE_DISTANCE:
            raise InvalidImage(
                f"the eyes are {eye_distance(landmarks):.1f} px apart; a face is forged from "
                f"{MIN_EYE_DISTANCE:.0f} px on."
            )


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How one pair of real and fake clips is made.

    Attributes
    ----------
    seed
        Of all that a forgery draws besides.
    mask, blending
        Where and how the forged face is put in.
    feather
        Width of the mask's soft edge in eye distances.
    resolution
        Pixels across the aligned face (template at scale 1.3) at which a generator works.
    rotation, zoom, shift, gain
        Jitter of the photo: degrees, factor, fractions of the eye distance, factor on the pixels.
    scale
        Final resize of the whole picture.
    quality, chroma
        Final JPEG: quality 1 to 100, or 0 for none, and its chroma subsampling.
    crf
        For a film, in place of the JPEG: the constant rate factor of its H.264, less is better.
    """

    seed: int
    mask: Mask
    blending: Blending
    feather: float
    resolution: int
    rotation: float
    zoom: float
    shift: tuple[float, float]
    gain: float
    scale: float
    quality: int
    chroma: Literal["4:4:4", "4:2:0"]
    crf: int = 23

    @classmethod
    def draw(cls, seed: int) -> Plan:
        """Draw a plan; the same seed gives the same plan."""
        rng = np.random.default_rng([0x9E4D, seed])
        return cls(
            seed=seed,
            mask=MASKS[rng.integers(len(MASKS))],
            blending=BLENDINGS[rng.integers(len(BLENDINGS))],
            feather=float(rng.uniform(0.12, 0.35)),
            resolution=RESOLUTIONS[rng.integers(len(RESOLUTIONS))],
            rotation=float(rng.uniform(-4, 4)),
            zoom=float(rng.uniform(0.94, 1.06)),
            shift=(float(rng.uniform(-0.1, 0.1)), float(rng.uniform(-0.1, 0.1))),
            gain=float(rng.uniform(0.92, 1.08)),
            scale=float(rng.uniform(0.75, 1.0)),
            quality=0 if rng.random() < 0.25 else int(rng.integers(65, 97)),
            chroma="4:4:4" if rng.random() < 0.5 else "4:2:0",
            crf=int(rng.integers(15, 29)),
        )

    def generator(self, *keys: int) -> np.random.Generator:
        """Return a random generator of this plan; each sequence of keys has its own stream."""
        return np.random.default_rng([0xF0, self.seed, *keys])


def prepare(subject: Subject, plan: Plan) -> Subject:
    """Return the photo after the plan's jitter, the first thing done to real and fake alike.

    The photo is resampled about the face, which also removes the grid of its own JPEG blocks.
    """
    centre = subject.landmarks.mean(0)
    matrix = cv2.getRotationMatrix2D((float(centre[0]), float(centre[1])), plan.rotation, plan.zoom)
    matrix[:, 2] += np.array(plan.shift) * eye_distance(subject.landmarks)
    height, width = subject.image.shape[:2]
    image = cv2.warpAffine(
        subject.image, matrix, (width, height), flags=cv2.INTER_CUBIC,
        borderMode=cv2.BORDER_REFLECT_101,
    )  # fmt: skip
    image = cv2.convertScaleAbs(image, alpha=plan.gain)
    landmarks = subject.landmarks @ matrix[:, :2].T + matrix[:, 2]
    return Subject(image=image, landmarks=landmarks.astype(np.float32))


def finish(subject: Subject, plan: Plan) -> Subject:
    """Return the picture after the plan's final resize and JPEG, the last thing done to both."""
    image, landmarks = subject.image, subject.landmarks
    if plan.scale != 1.0:
        height, width = image.shape[:2]
        size = (max(round(width * plan.scale), 1), max(round(height * plan.scale), 1))
        ratio = np.array(size) / np.array([width, height])
        image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
        landmarks = ((landmarks + 0.5) * ratio - 0.5).astype(np.float32)
    if plan.quality:
        image = jpeg(image, quality=plan.quality, chroma=plan.chroma)
    return replace(subject, image=image, landmarks=landmarks)


def jpeg(image: Image, *, quality: int, chroma: str = "4:2:0") -> Image:
    """Return an RGB image after JPEG coding at a quality of 1 to 100."""
    sampling = {
        "4:4:4": cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444,
        "4:2:0": cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420,
    }[chroma]
    options = [cv2.IMWRITE_JPEG_QUALITY, quality, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, sampling]
    encoded = cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), options)[1]
    decoded = cv2.imdecode(encoded, cv2.IMREAD_COLOR)
    return np.asarray(cv2.cvtColor(decoded, cv2.COLOR_BGR2RGB))
