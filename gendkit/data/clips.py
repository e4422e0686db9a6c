"""From files, a folder or a dataset to clips, with ids that can name the files of their crops."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from gendkit.data.cropping import folder_of
from gendkit.data.media import find_media
from gendkit.errors import InvalidManifest, MissingMedia
from gendkit.plugin.protocols import Clip, Dataset

LONGEST = 200
"""Letters of a part of an id: with a suffix, systems allow 255 bytes."""
_ID = re.compile(r"[\w.-]+(/[\w.-]+)*")
_CROP = re.compile(r"\d{6,}(-\d+)?\.png")


def clips_of(source: str | Path | Dataset | Iterable[Clip]) -> list[Clip]:
    """List the clips of a source.

    A file or folder gives one clip of unknown label a picture or video: its dataset is the folder's
    name, its id the path below it, in which all but letters, digits, `-`, `_`, `.` and `/` becomes
    `_`. Nothing else is read out of a path.

    Raises
    ------
    MissingMedia
        If there is none.
    """
    if isinstance(source, str | Path):
        root = Path(source)
        base = root if root.is_dir() else root.parent
        name = _slug(base.resolve().name) or "media"
        clips = []
        taken: set[str] = set()
        for path in find_media(root):
            video = _unused(_slug(path.relative_to(base).as_posix()), taken)
            clips.append(Clip(video=video, media=path, dataset=name, label=-1))
        return clips
    clips = list(source if isinstance(source, Iterable) else source.clips())
    if not clips and isinstance(source, Iterable):
        raise MissingMedia("no clip was given; give at least one, a path or a dataset.")
    if not clips:
        name = getattr(source, "name", "")
        raise MissingMedia(
            f"the dataset{f' {name}' if name else ''} gives no clip, expected at least one; "
            "see what its options and its folder leave."
        )
    return clips


def check_ids(clips: Iterable[Clip]) -> None:
    """Refuse clips of which two have one id, or whose dataset, method or id cannot name a file.

    Raises
    ------
    InvalidManifest
        Naming the clip.
    """
    seen: set[tuple[str, str]] = set()
    folders: set[str] = set()
    for clip in clips:
        for field in ("dataset", "method", "video"):
            value = getattr(clip, field)
            missing = not value and field != "method"
            if missing or (value and not _is_id(value)):
                raise InvalidManifest(
                    f"{field} {value!r} of clip {clip.video!r} cannot name a file; it consists of "
                    f"letters, digits, '-', '_', '.' and '/', {LONGEST} or less between two '/'."
                )
        if (clip.dataset, clip.video) in seen:
            raise InvalidManifest(f"two clips of {clip.dataset!r} have the id {clip.video!r}.")
        if (folder := folder_of(clip)) in folders:
            raise InvalidManifest(
                f"the crops of two clips of {clip.dataset!r} would lie in {folder}."
            )
        seen.add((clip.dataset, clip.video))
        folders.add(folder)
    for folder in folders:
        parent, _, name = folder.rpartition("/")
        if parent in folders and _CROP.fullmatch(name):
            raise InvalidManifest(
                f"the crops of a clip would lie in {folder}, which may be a crop of another clip; "
                "give the clip another id."
            )


def _is_id(text: str) -> bool:
    parts = text.split("/")
    short = max(map(len, parts)) <= LONGEST
    return short and bool(_ID.fullmatch(text)) and not {".", ".."} & {*parts}


def _slug(text: str) -> str:
    return re.sub(r"[^\w./-]", "_", text)


def _unused(name: str, taken: set[str]) -> str:
    """Return the name, with a number if it is taken: two files may differ in replaced signs."""
    free, number = name, 1
    while free in taken:
        number += 1
        free = f"{name}-{number}"
    taken.add(free)
    return free
