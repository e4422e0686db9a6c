"""What the rules about datasets look at: what clips say, and digests of their first frames."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from gendkit.data.manifest import Manifest
from gendkit.data.media import read_frames
from gendkit.plugin.protocols import Clip, Frame

FRAMES = 3


def manifest_of(clips: Sequence[Clip]) -> Manifest:
    """Return a manifest with one row a clip and no crops."""
    rows = []
    for number, clip in enumerate(clips):
        row = {name: value for name, value in facts(clip).items() if value is not None}
        rows.append({**row, "sample": f"{number}", "reason": "not extracted"})
    return Manifest.from_rows(rows, Path())


def facts(clip: Clip) -> dict[str, Any]:
    """Return all that a clip says but its media."""
    said = asdict(replace(clip, media=Path()))
    del said["media"]
    return said


def frames(clip: Clip) -> Iterator[Frame]:
    """Return the first frames of a clip: of a file, those that can be read."""
    if isinstance(clip.media, Path):
        yield from read_frames(clip.media, range(FRAMES))
    else:
        yield from islice(clip.media(), FRAMES)


def seen(clip: Clip) -> list[str]:
    """Return a digest of each of the first frames: number, time, pixels, landmarks and mask."""
    digests = []
    for frame in frames(clip):
        digest = hashlib.sha256(f"{frame.index} {frame.time} {frame.image.shape}".encode())
        for array in (frame.image, frame.landmarks, frame.mask):
            digest.update(b"-" if array is None else np.ascontiguousarray(array).tobytes())
        digests.append(digest.hexdigest())
    return digests
