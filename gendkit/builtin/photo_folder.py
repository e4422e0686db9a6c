"""A folder of face photos: which of them are used, where their faces are, why others are not."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from gendkit.builtin.renderings import Photo
from gendkit.data.examine import rounded_points
from gendkit.data.forge import Subject, describe
from gendkit.data.forge.geometry import Floats, eye_distance
from gendkit.data.splits import Split, split_of_identity
from gendkit.errors import InvalidImage, MissingMedia, UnreadableMedia

if TYPE_CHECKING:
    from gendkit.plugin.protocols import Face

log = logging.getLogger(__name__)

MIN_SIDE = 40.0
"""Least distance of the eyes, in pixels, of a photo that is used: its crop has 160 a side."""

Examined = tuple[dict[str, tuple[Photo, Floats]], dict[str, str]]
"""By name each photo that is used with its description; by file name why others are left out."""


def pictures_in(root: str | Path, *, dataset: str) -> list[Path]:
    """Return the pictures directly in a folder.

    Raises
    ------
    MissingMedia
        If the folder does not exist or holds no picture.
    """
    from gendkit.data.media import is_image

    root = Path(root)
    sought = "photos of one face each, such as a-name.jpg, directly in the folder"
    if not root.is_dir():
        raise MissingMedia(f"{root} is no folder; `{dataset}` looks for {sought}.")
    paths = sorted(p for p in root.iterdir() if p.is_file() and is_image(p))
    if not paths:
        raise MissingMedia(f"no photo in {root}; `{dataset}` looks for {sought}.")
    return paths


def examined_photos(paths: Iterable[Path], *, dataset: str, splits: Sequence[Split]) -> Examined:
    """Find the face of every photo of the wanted splits; the name of a file is a person's."""
    from gendkit.data.extractors import build_extractor
    from gendkit.data.faces import largest_face
    from gendkit.data.media import read_image

    detect = build_extractor("centerface")
    found, excluded = {}, {}
    for path in paths:
        if split_of_identity("photos", path.stem) not in splits:
            continue
        try:
            image = read_image(path)
            face = None if path.stem in found else largest_face(detect(image))
            reason = _why_not(face, again=path.stem in found)
            if face is not None and not reason:
                subject = Subject(image=image, landmarks=face.landmarks)
                photo = Photo(path=path, landmarks=rounded_points(face.landmarks))
                found[path.stem] = (photo, describe(subject))
        except (UnreadableMedia, InvalidImage) as error:
            reason = str(error)
        if reason:
            excluded[path.name] = reason
            log.warning("%s: %s is left out: %s", dataset, path.name, reason)
    return found, excluded


def _why_not(face: Face | None, *, again: bool) -> str:
    if again:
        return "there is already a photo of that name"
    if face is None:
        return "no face was found"
    if (distance := eye_distance(face.landmarks)) < MIN_SIDE:
        return f"the eyes are {distance:.0f} px apart, {MIN_SIDE:.0f} are needed"
    return ""
