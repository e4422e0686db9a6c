"""A photo as a short film: small smooth motion of head and camera, noise of the sensor, H.264.

In go a photo and a plan, out come 50 pictures, 25 a second; and from finished pictures an encoded
film. Motion and noise are the plan's, so a real film and all its fakes move alike and are encoded
alike.

A fake is made frame by frame, as most real pipelines do: nothing ties a frame to the one before, so
sampling and grain flicker in the forged part as they do in a swapped film.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import cv2
import numpy as np

from gendkit.data.forge.geometry import eye_distance
from gendkit.data.forge.plan import Plan, Subject

if TYPE_CHECKING:
    from gendkit.plugin.protocols import Frame, Image

FRAMES = 50
RATE = 25
"""Frames of a film, and how many a second."""
# Largest swing: degrees, a fraction of the size, and eye distances.
_TURN, _ZOOM, _SHIFT = 2.5, 0.025, 0.12
_WAVES = 2
# Spread of the sensor's noise in grey levels.
_NOISE = (0.8, 2.2)


@dataclass(frozen=True, kw_only=True)
class _Swing:
    """A smooth course through 0: a few slow waves."""

    amounts: tuple[float, ...]
    speeds: tuple[float, ...]
    phases: tuple[float, ...]

    @classmethod
    def draw(cls, rng: np.random.Generator, most: float) -> _Swing:
        share = rng.uniform(0.3, 1.0, _WAVES)
        return cls(
            amounts=tuple(float(a) for a in most * share / share.sum()),
            speeds=tuple(float(s) for s in rng.uniform(0.2, 0.9, _WAVES)),
            phases=tuple(float(p) for p in rng.uniform(0, 2 * np.pi, _WAVES)),
        )

    def at(self, time: float) -> float:
        """Return where it is at a time in seconds, at most the sum of the amounts from 0."""
        waves = zip(self.amounts, self.speeds, self.phases, strict=True)
        return sum(a * float(np.sin(2 * np.pi * s * time + p)) for a, s, p in waves)


def filmed(subject: Subject, plan: Plan) -> Iterator[Subject]:
    """Yield the pictures of a film of a photo, each after the plan's jitter.

    It takes the place of `prepare`. Head and camera turn, come nearer and shift a little; the
    noise of the sensor is new in each picture, before anything is forged.
    """
    rng = plan.generator(3)
    turn, zoom = _Swing.draw(rng, _TURN), _Swing.draw(rng, _ZOOM)
    shift = [_Swing.draw(rng, _SHIFT) for _ in range(2)]
    spread = rng.uniform(*_NOISE)
    centre = subject.landmarks.mean(0)
    unit = eye_distance(subject.landmarks)
    height, width = subject.image.shape[:2]
    for number in range(FRAMES):
        time = number / RATE
        matrix = cv2.getRotationMatrix2D(
            (float(centre[0]), float(centre[1])),
            plan.rotation + turn.at(time),
            plan.zoom * (1 + zoom.at(time)),
        )
        matrix[:, 2] += (np.array(plan.shift) + [swing.at(time) for swing in shift]) * unit
        image = cv2.warpAffine(
            subject.image, matrix, (width, height), flags=cv2.INTER_CUBIC,
            borderMode=cv2.BORDER_REFLECT_101,
        )  # fmt: skip
        noise = spread * plan.generator(4, number).standard_normal(image.shape, np.float32)
        image = np.clip(np.rint(plan.gain * image + noise), 0, 255).astype(np.uint8)
        landmarks = (subject.landmarks @ matrix[:, :2].T + matrix[:, 2]).astype(np.float32)
        yield Subject(image=image, landmarks=landmarks)


def even(subject: Subject) -> Subject:
    """Return the picture without its last row or column where their number is odd."""
    height, width = (side // 2 * 2 for side in subject.image.shape[:2])
    return replace(subject, image=np.ascontiguousarray(subject.image[:height, :width]))


def encode(images: Iterable[Image], *, crf: int) -> bytes:
    """Return RGB pictures of one size, both sides even, as an MP4 file of H.264.

    One picture is held at a time, besides the few that the encoder looks at.
    """
    import av

    memory = io.BytesIO()
    with av.open(memory, "w", format="mp4") as film:
        stream = film.add_stream("libx264", rate=RATE)
        stream.pix_fmt = "yuv420p"
        # With its macroblock tree, x264 was seen to give other bytes from run to run (AVX-512).
        stream.options = {
            "crf": str(crf), "preset": "veryfast", "threads": "1", "x264-params": "mbtree=0",
        }  # fmt: skip
        for number, image in enumerate(images):
            if number == 0:
                stream.height, stream.width = image.shape[:2]
            film.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        film.mux(stream.encode())
    return memory.getvalue()


def decode(film: bytes) -> Iterator[Frame]:
    """Yield the frames of an encoded film with number and time, one held at a time."""
    import av

    from gendkit.plugin.protocols import Frame

    with av.open(io.BytesIO(film)) as container:
        for number, picture in enumerate(container.decode(video=0)):
            image = np.ascontiguousarray(picture.to_ndarray(format="rgb24"))
            yield Frame(index=number, time=picture.time, image=image)
