"""Frames for the rules about face extractors: portraits of eight people who do not exist.

Nothing enters; RGB uint8 frames (H, W, 3) leave, drawn when they are first asked for.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from gendkit.data.drawn import DrawnFace, draw_face

if TYPE_CHECKING:
    from gendkit.plugin.protocols import Image

SIZES = (256, 384, 512)
PEOPLE = 8
TALL, WIDE = 2160, 3840


@cache
def portraits() -> tuple[DrawnFace, ...]:
    """Draw the eight portraits; their pixels cannot be written to."""
    drawn = tuple(
        draw_face(identity=person, clip=0, size=SIZES[person % len(SIZES)])
        for person in range(PEOPLE)
    )
    for face in drawn:
        face.image.flags.writeable = False
    return drawn


def large_frame() -> Image:
    """Return a grey 4K frame (2160, 3840, 3) with a portrait of 512 px in its middle."""
    face = max((face.image for face in portraits()), key=len)
    frame = np.full((TALL, WIDE, 3), 90, np.uint8)
    top, left = (TALL - len(face)) // 2, (WIDE - len(face)) // 2
    frame[top : top + len(face), left : left + len(face)] = face
    return frame


def cut_frames() -> list[Image]:
    """Return portraits whose edge goes through the face, at each of the four sides."""
    frames = []
    for drawn in portraits()[:2]:
        image, (x, y) = drawn.image, drawn.landmarks[2].astype(int)
        side = len(image)
        frames += [image[:y], image[y - side // 8 :], image[:, : x + side // 16], image[:, x:]]
    return frames
