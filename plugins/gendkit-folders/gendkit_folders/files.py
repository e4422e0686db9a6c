"""Files under a root: which there are, that none lies outside, and folders of pictures as clips."""

from __future__ import annotations

import hashlib
import logging
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath

from gendkit.data.media import is_image, is_video, read_image
from gendkit.errors import InvalidManifest, MissingMedia
from gendkit.plugin.protocols import Clip, Frame

log = logging.getLogger(__name__)
_ID = re.compile(r"[A-Za-z0-9_.-]+(/[A-Za-z0-9_.-]+)*")
SHOWN = 5


@dataclass(frozen=True, kw_only=True)
class Pictures:
    """The pictures of a folder as the frames of one clip, read one after the other.

    Nothing is random: a call always gives the same frames.
    """

    paths: tuple[Path, ...]

    def __call__(self) -> Iterator[Frame]:
        """Yield the frames, in the order of their names with numbers counted as numbers."""
        for index, path in enumerate(self.paths):
            yield Frame(index=index, image=read_image(path))


def existing(root: str | Path | None, *, dataset: str, sought: str) -> Path:
    """Return the root as a path.

    Raises
    ------
    MissingMedia
        If none was given or there is nothing.
    """
    if root is None:
        raise MissingMedia(
            f"{dataset} was given no place, expected {sought}; write {dataset}:PLACE, in Python "
            f"dataset({dataset!r}, PLACE)."
        )
    root = Path(root)
    if not root.exists():
        parent = root.parent
        there = listed(sorted(p.name for p in parent.iterdir())) if parent.is_dir() else "no folder"
        raise MissingMedia(f"there is no {root}; {dataset} expects {sought}. In {parent}: {there}.")
    return root


def files_under(folder: Path, *, root: Path) -> list[Path]:
    """Return all files under a folder, at every depth, sorted.

    Raises
    ------
    MissingMedia
        For a link that leads out of the root, and for any link to a folder: its files would come
        twice, or without an end.
    """
    found: list[Path] = []
    for place, folders, files in os.walk(folder, onerror=_refuse):
        here = Path(place)
        for name in folders:
            if (here / name).is_symlink():
                raise MissingMedia(
                    f"{here / name} is a link to a folder, {os.readlink(here / name)}; put the "
                    "files under the root, or give that folder as the root."
                )
        found += [checked(here / name, root=root) for name in files]
    return sorted(found)


def checked(path: Path, *, root: Path) -> Path:
    """Return a path that lies under the root, links followed.

    Raises
    ------
    MissingMedia
        If it does not.
    """
    if not path.resolve().is_relative_to(root.resolve()):
        leads = f" leads to {path.resolve()}, which" if path.is_symlink() else ""
        raise MissingMedia(f"{path}{leads} lies outside of {root}; only files under it are read.")
    return path


def media_only(paths: Iterable[Path], *, dataset: str) -> list[Path]:
    """Return the pictures and videos; what else there is is counted in a warning."""
    media: list[Path] = []
    others: list[Path] = []
    for path in paths:
        known = (is_image(path) or is_video(path)) and not path.name.startswith(".")
        (media if known else others).append(path)
    if others:
        kinds = Counter(p.suffix.lower() or "without a suffix" for p in others)
        log.warning(
            "%s: left out as hidden, or neither picture nor video: %s, such as %s",
            dataset,
            ", ".join(f"{n} x {kind}" for kind, n in sorted(kinds.items())),
            others[0],
        )
    return media


def in_natural_order(paths: Iterable[Path]) -> tuple[Path, ...]:
    """Sort by name with numbers counted as numbers: 2.png comes before 10.png."""

    def key(path: Path) -> tuple[list[tuple[int, int, str]], str]:
        pieces = re.findall(r"\d+|\D+", path.name)
        parts = [(0, int(p), "") if p.isdecimal() else (1, 0, p) for p in pieces]
        return parts, path.name

    return tuple(sorted(paths, key=key))


def video_id(path: PurePath) -> str:
    """Return a relative path as a clip's id; where characters had to change, with a digest."""
    text = path.as_posix()
    if is_id(text):
        return text
    parts = (re.sub(r"[^A-Za-z0-9_.-]", "_", part) for part in path.parts)
    digest = hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:8]
    return f"{'/'.join(parts)}-{digest}"


def is_id(text: str) -> bool:
    """Tell whether a text can be a clip's id."""
    return bool(_ID.fullmatch(text)) and all(part.strip(".") for part in text.split("/"))


def without_twins(clips: Sequence[Clip], places: Sequence[str], *, dataset: str) -> list[Clip]:
    """Return the clips if each has an id of its own.

    Raises
    ------
    InvalidManifest
        If two have one id, naming where they stand.
    """
    seen: dict[tuple[str, str], str] = {}
    for clip, place in zip(clips, places, strict=True):
        key = (clip.dataset, clip.video)
        if key in seen:
            raise InvalidManifest(
                f"{dataset}: {seen[key]} and {place} have the same video id "
                f"{clip.video!r}; each clip needs its own."
            )
        seen[key] = place
    return list(clips)


def listed(names: Sequence[str]) -> str:
    """Return the first names, and how many there are more."""
    if not names:
        return "nothing"
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more


def _refuse(error: OSError) -> None:
    raise MissingMedia(f"{error.filename} cannot be read: {error.strerror}.") from None
