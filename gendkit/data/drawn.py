"""Drawn faces: stylised portraits of people who do not exist, for training and tests without media.

In go an identity and a clip number, out comes a picture with its five landmarks. The identity
fixes shape, colours, hair and glasses; the clip fixes pose, expression, light, background and the
noise of the camera. Textures follow the 1/f spectrum of natural pictures, and the picture goes
through a model of lens, sensor and JPEG, so that what a forgery disturbs is there to be disturbed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from gendkit.data.forge.geometry import Floats
from gendkit.data.forge.plan import jpeg

if TYPE_CHECKING:
    from gendkit.plugin.protocols import Image

MIN_SIZE = 64

# Red, green, blue of skin from light to dark, of hair, and of irises.
_SKIN = np.array(
    [(242, 208, 186), (231, 190, 163), (222, 172, 138), (200, 146, 108), (168, 116, 82),
     (130, 86, 60), (96, 62, 44)], np.float32,
)  # fmt: skip
_HAIR = np.array(
    [(32, 26, 24), (56, 40, 30), (92, 62, 40), (140, 98, 58), (196, 160, 104), (150, 72, 40),
     (165, 162, 158)], np.float32,
)  # fmt: skip
_IRIS = np.array([(74, 50, 34), (96, 72, 44), (86, 104, 72), (88, 118, 146)], np.float32)


@dataclass(frozen=True, kw_only=True, eq=False)
class DrawnFace:
    """A drawn face.

    Attributes
    ----------
    image
        RGB uint8 (size, size, 3).
    landmarks
        (5, 2) float32 pixels: left eye, right eye, nose, left and right mouth corner.
    """

    image: Image
    landmarks: Floats


@dataclass(frozen=True, kw_only=True)
class Person:
    """What an identity fixes; lengths are in eye distances, angles in radians.

    The origin of the face is between the eyes, x to the right, y down.
    """

    skin: tuple[float, float, float]
    hair: tuple[float, float, float]
    iris: tuple[float, float, float]
    lips: float
    face_width: float
    jaw_width: float
    jaw_height: float
    chin: float
    eye_width: float
    eye_height: float
    eye_tilt: float
    brow_height: float
    brow_width: float
    brow_arch: float
    nose_length: float
    nose_width: float
    mouth_drop: float
    mouth_width: float
    upper_lip: float
    lower_lip: float
    hairline: float
    parting: float
    hair_length: float
    hair_volume: float
    bald: bool
    beard: float
    moustache: float
    glasses: float
    freckles: float
    wrinkles: float

    @classmethod
    def draw(cls, identity: int, *, seed: int = 0) -> Person:
        """Draw the person of an identity."""
        rng = np.random.default_rng([0xFACE, seed, identity])
        tone = rng.uniform(0, len(_SKIN) - 1.001)
        skin = _between(_SKIN, tone) + rng.normal(0, 4, 3)
        hair = _HAIR[rng.choice(3)] if tone > 3.2 else _HAIR[rng.choice(len(_HAIR))]
        iris = _IRIS[rng.choice(2)] if tone > 3.2 else _IRIS[rng.choice(len(_IRIS))]
        bearded = rng.random() < 0.22
        long_hair = rng.random() < 0.4 and not bearded
        return cls(
            skin=_colour(skin),
            hair=_colour(hair + rng.normal(0, 6, 3)),
            iris=_colour(iris + rng.normal(0, 6, 3)),
            lips=float(rng.uniform(0.15, 0.55)),
            face_width=float(rng.uniform(1.06, 1.24)),
            jaw_width=float(rng.uniform(0.62, 0.86)),
            jaw_height=float(rng.uniform(1.25, 1.5)),
            chin=float(rng.uniform(1.78, 2.02)),
            eye_width=float(rng.uniform(0.23, 0.29)),
            eye_height=float(rng.uniform(0.085, 0.13)),
            eye_tilt=float(rng.uniform(-0.1, 0.14)),
            brow_height=float(rng.uniform(0.30, 0.42)),
            brow_width=float(rng.uniform(0.035, 0.075)),
            brow_arch=float(rng.uniform(0.02, 0.12)),
            nose_length=float(rng.uniform(0.56, 0.72)),
            nose_width=float(rng.uniform(0.2, 0.31)),
            mouth_drop=float(rng.uniform(1.1, 1.22)),
            mouth_width=float(rng.uniform(0.36, 0.47)),
            upper_lip=float(rng.uniform(0.05, 0.1)),
            lower_lip=float(rng.uniform(0.07, 0.14)),
            hairline=float(rng.uniform(0.78, 1.05)),
            parting=float(rng.uniform(-0.6, 0.6)),
            hair_length=float(rng.uniform(1.3, 2.4)) if long_hair else 0.0,
            hair_volume=float(rng.uniform(0.06, 0.28)),
            bald=bool(rng.random() < 0.1 and not long_hair),
            beard=float(rng.uniform(0.3, 0.9)) if bearded else 0.0,
            moustache=float(rng.uniform(0.4, 0.9)) if bearded and rng.random() < 0.8 else 0.0,
            glasses=float(rng.uniform(0.27, 0.36)) if rng.random() < 0.2 else 0.0,
            freckles=float(rng.uniform(0.2, 1)) if rng.random() < 0.15 else 0.0,
            wrinkles=float(rng.uniform(0, 1)),
        )


@dataclass(frozen=True, kw_only=True)
class Shot:
    """What a clip fixes: pose, expression, light, clothes, background and camera."""

    yaw: float
    pitch: float
    roll: float
    scale: float
    shift: tuple[float, float]
    smile: float
    opened: float
    eyes: float
    gaze: float
    brows: float
    light: tuple[float, float, float]
    ambient: float
    warmth: tuple[float, float, float]
    exposure: float
    background: tuple[float, float, float]
    backdrop: tuple[float, float, float]
    clothes: tuple[float, float, float]
    blur: float
    noise: float
    quality: int

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Shot:
        """Draw a shot."""
        angle, height = rng.uniform(-1.1, 1.1), rng.uniform(0.1, 0.7)
        light = np.array([np.sin(angle), -height, np.cos(angle) + 0.35])
        light /= np.linalg.norm(light)
        background = rng.uniform(50, 205) + rng.normal(0, 22, 3)
        return cls(
            yaw=float(rng.uniform(-0.3, 0.3)),
            pitch=float(rng.uniform(-0.14, 0.14)),
            roll=float(rng.uniform(-0.15, 0.15)),
            scale=float(rng.uniform(0.185, 0.235)),
            shift=(float(rng.uniform(-0.04, 0.04)), float(rng.uniform(-0.04, 0.04))),
            smile=float(rng.uniform(-0.3, 1)),
            opened=float(max(rng.uniform(-0.14, 0.16), 0)),
            eyes=float(rng.uniform(0.75, 1.1)),
            gaze=float(rng.uniform(-0.25, 0.25)),
            brows=float(rng.uniform(-0.04, 0.06)),
            light=_colour(light),
            ambient=float(rng.uniform(0.42, 0.62)),
            warmth=_colour(1 + rng.uniform(-0.06, 0.06) * np.array([1, 0, -1])),
            exposure=float(rng.uniform(0.9, 1.1)),
            background=_colour(np.clip(background, 20, 235)),
            backdrop=_colour(np.clip(background + rng.normal(0, 30, 3), 20, 235)),
            clothes=_colour(np.clip(rng.uniform(20, 210) + rng.normal(0, 25, 3), 8, 235)),
            blur=float(rng.uniform(0.3, 0.75)),
            noise=float(rng.uniform(0.6, 1.8)),
            quality=int(rng.integers(82, 98)),
        )


def draw_face(*, identity: int, clip: int, size: int = 256, seed: int = 0) -> DrawnFace:
    """Draw a face.

    Parameters
    ----------
    identity
        Who is drawn.
    clip
        Which picture of them.
    size
        Side of the picture in pixels, 64 or more.
    seed
        Another seed gives other people.

    Raises
    ------
    ValueError
        If the size is below 64 or a number is negative.
    """
    from gendkit.data.painter import paint_face

    if size < MIN_SIZE or min(identity, clip, seed) < 0:
        raise ValueError(
            f"a face is drawn from {MIN_SIZE} px on and by numbers from 0 on, got size {size}, "
            f"identity {identity}, clip {clip}, seed {seed}."
        )
    rng = np.random.default_rng([0xC11B, seed, identity, clip])
    person, shot = Person.draw(identity, seed=seed), Shot.draw(rng)
    scene, landmarks = paint_face(
        person, shot, size=size, rng=rng, marks=np.random.default_rng([0xD07, seed, identity])
    )
    return DrawnFace(image=photographed(scene, shot, rng=rng), landmarks=landmarks)


def photographed(scene: Floats, shot: Shot, *, rng: np.random.Generator) -> Image:
    """Return the picture that a camera takes of a scene (H, W, 3) of 0 to 255.

    Lens blur, then shot noise (its variance grows with the light) and read noise, then JPEG.
    """
    import cv2

    picture = scene * np.array(shot.warmth, np.float32) * np.float32(shot.exposure)
    picture = cv2.GaussianBlur(np.clip(picture, 0, 255), (0, 0), shot.blur)
    spread = np.float32(shot.noise) * np.sqrt(0.35 + picture / 128, dtype=np.float32)
    picture = picture + spread * rng.standard_normal(picture.shape, np.float32)
    return jpeg(np.clip(np.rint(picture), 0, 255).astype(np.uint8), quality=shot.quality)


def _between(table: Floats, at: float) -> Floats:
    low = int(at)
    return np.asarray(table[low] + (at - low) * (table[low + 1] - table[low]))


def _colour(
    values: np.ndarray[tuple[int, ...], np.dtype[np.floating]],
) -> tuple[float, float, float]:
    red, green, blue = (float(v) for v in values)
    return red, green, blue
