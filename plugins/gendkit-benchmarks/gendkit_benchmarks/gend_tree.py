"""GenD's tree: `DATASET/METHOD/VIDEO/FRAME.png`, and its lists with one frame a line.

Sources: the README of the owners' repository for the tree, `src/dataset/dataset.py` for its four
levels, for the label (a method whose name has `real` in it is real, any other fake) and for how a
line is looked up (as it is, else below the list's folder), `src/utils/files.py` for what its
folders are called (`FF`, `CDFv2`, ..., and variants such as `FF-x1.5`).

- The crops are of faces already: extract them with the extractor `whole-frame`.
- Lists are given as options; the repository itself has those of four clips only. Only frames that
  a list names are taken, and without any list all.
- What a name says of pairs and people is known for FaceForensics++ and Celeb-DF, and read as by
  their own readers here.
- Lists that share people or videos are told, and a check for leaks refuses them: GenD's own
  validation list of Celeb-DF does, since the official list shares people with the rest.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path, PurePosixPath

from gendkit.data.media import is_image
from gendkit.errors import InvalidManifest, MissingMedia
from gendkit.plugin.protocols import Clip
from gendkit_benchmarks import celeb_df, faceforensics
from gendkit_benchmarks.celeb_df_pp import KINDS
from gendkit_benchmarks.faceforensics import METHODS
from gendkit_benchmarks.facts import CELEB_DF, CELEB_DF_PP, FACEFORENSICS, GEND_TREE, Benchmark
from gendkit_benchmarks.patterns import walk
from gendkit_benchmarks.splits import across
from gendkit_benchmarks.tree import (
    Notes,
    Part,
    Pictures,
    listed,
    natural,
    note_unpaired,
    nothing,
    opened,
    text_of,
    without_twins,
)

LEVELS = 4
NAME = re.compile(r"[A-Za-z0-9_.-]+")
_FF = {"DF": "Deepfakes", "F2F": "Face2Face", "FS": "FaceSwap", "NT": "NeuralTextures"}


def _of_faceforensics() -> Iterator[tuple[str, Part]]:
    yield "real", replace(faceforensics.YOUTUBE, name="real")
    for folder, method in _FF.items():
        yield folder, replace(METHODS[method], name=folder, pair="real/{target}")


def _of_celeb_df() -> Iterator[tuple[str, Part]]:
    for part in (celeb_df.CELEB, celeb_df.YOUTUBE, celeb_df.SYNTHESIS):
        yield part.name, part


def _of_celeb_df_pp() -> Iterator[tuple[str, Part]]:
    yield "Celeb-real", celeb_df.CELEB
    yield "YouTube-real", celeb_df.YOUTUBE
    yield "Celeb-DF-v2", replace(celeb_df.SYNTHESIS, name="Celeb-DF-v2")
    for family, methods in KINDS.values():
        for method in methods:
            yield (
                method,
                Part(
                    name=method, folder="", expected=None, pattern=NAME.pattern, method=method,
                    family=family,
                ),
            )  # fmt: skip


KNOWN: Mapping[str, tuple[Mapping[str, Part], Benchmark]] = {
    "FF": (dict(_of_faceforensics()), FACEFORENSICS),
    "CDFv2": (dict(_of_celeb_df()), CELEB_DF),
    "CDFv3": (dict(_of_celeb_df_pp()), CELEB_DF_PP),
}
"""By the first piece of a dataset's folder, before a `-`: what the names of its methods mean."""


@dataclass
class _Video:
    """A folder of frames while lists are read."""

    split: str = ""
    frames: set[Path] = field(default_factory=set)


class GendTree:
    """The clips of a tree of crops.

    Parameters
    ----------
    root
        The folder that lines of the lists start from, or any with the tree in it.
    lists
        By split: a list, a folder of them, or several. Their paths start where the program runs,
        or at the root.

    Raises
    ------
    MissingMedia
        If there is no such folder, or no such list.
    """

    def __init__(
        self, root: str | Path | None, *, lists: Mapping[str, str | Sequence[str]]
    ) -> None:
        self._root = opened(root, GEND_TREE)
        self._lists = {
            split: [file for one in _several(given) for file in self._files(one, split)]
            for split, given in lists.items()
        }

    def clips(self) -> list[Clip]:
        """Return the clips by id; what is missing or does not fit is told in one warning.

        Raises
        ------
        MissingMedia
            If there is no clip at all.
        InvalidManifest
            For a video in lists of two splits, or a line that leaves the folder.
        """
        notes = Notes(GEND_TREE, self._root)
        videos = self._listed(notes) if any(self._lists.values()) else self._there(notes)
        clips, misnamed, again = [], [], []
        for place in sorted(videos):
            first, *others = sorted({frame.parent for frame in videos[place].frames})
            again += others
            videos[place].frames = {f for f in videos[place].frames if f.parent == first}
            clip = self._clip(place, videos[place])
            if clip is None:
                misnamed.append(place)
            else:
                clips.append(replace(clip, split=videos[place].split))
        if not clips:
            raise nothing(GEND_TREE, f"no frame under {self._root}, which has {listed(self._root)}")
        notes.left_out("not named as those of their method are", misnamed)
        notes.left_out("a video that another folder has as well", again)
        clips = without_twins(clips, notes)
        note_unpaired(clips, notes)
        if shared := across(clips):
            number = sum(len(component) for component in shared)
            notes.say(f"{number} clips share people or videos across the splits of these lists")
        notes.tell()
        return clips

    def _files(self, given: str | Path, split: str) -> list[Path]:
        path = next((p for p in (Path(given), self._root / given) if p.exists()), None)
        files = sorted(path.glob("**/*.txt")) if path and path.is_dir() else [path] if path else []
        if not files:
            raise MissingMedia(
                f"{split} is {given}, where there is no list; expected a file with a path a line, "
                "such as datasets/FF/DF/000_003/000.png, or a folder of them."
            )
        return files

    def _listed(self, notes: Notes) -> dict[str, _Video]:
        """Return the videos that the lists name, by where they lie."""
        videos: dict[str, _Video] = {}
        absent: list[str] = []
        there: dict[Path, set[str]] = {}
        for split, files in self._lists.items():
            for file in files:
                for line in text_of(file, kind="a list").splitlines():
                    if not line.strip():
                        continue
                    frame = self._found(line.strip(), file, there)
                    if frame is None:
                        absent.append(line.strip())
                        continue
                    place = "/".join(frame.parts[-LEVELS:-1])
                    video = videos.setdefault(place, _Video(split=split))
                    if video.split != split:
                        raise InvalidManifest(
                            f"{file} names {place}, which a list of {video.split} names already; "
                            "a video has one split."
                        )
                    video.frames.add(frame)
        notes.some("in a list, but without a file", absent)
        if not videos:
            raise nothing(GEND_TREE, f"none of the frames in the lists is under {self._root}")
        return videos

    def _found(self, line: str, file: Path, there: dict[Path, set[str]]) -> Path | None:
        """Return the frame of a line, below the root or below its list's folder."""
        below = PurePosixPath(line.replace("\\", "/"))
        if below.is_absolute() or ".." in below.parts:
            raise InvalidManifest(
                f"{file} names {line}; expected paths below the root or below the list's folder."
            )
        for start in (self._root, file.parent):
            frame = start / below
            if frame.parent not in there:
                folder = frame.parent
                there[folder] = {p.name for p in folder.iterdir()} if folder.is_dir() else set()
            if frame.name in there[frame.parent] and len(frame.parts) > LEVELS:
                return frame
        return None

    def _there(self, notes: Notes) -> dict[str, _Video]:
        """Return all videos below the root."""
        videos: dict[str, _Video] = {}
        for entry in walk(self._root, is_clip=lambda path, name: False):
            if is_image(entry.path) and entry.name.count("/") >= LEVELS - 1:
                place = "/".join(entry.path.parts[-LEVELS:-1])
                videos.setdefault(place, _Video()).frames.add(entry.path)
        notes.say("no list was given, so that no clip has a split")
        return videos

    def _clip(self, place: str, video: _Video) -> Clip | None:
        """Return the clip of a folder; None if its name is none of its method's."""
        dataset, method, name = place.split("/")
        if not all(map(NAME.fullmatch, (dataset, method, name))):
            return None
        parts, of = KNOWN.get(dataset.partition("-")[0], ({}, GEND_TREE))
        frames = sorted(video.frames, key=natural)
        of = replace(of, name=GEND_TREE.name)
        part = parts.get(method) or _unknown(method)
        return part.clip(name, _pictures(frames), of, within=f"{dataset}/")


def _unknown(method: str) -> Part:
    """Return a method by GenD's own rule for its label."""
    fake = "real" not in method
    return Part(
        name=method, folder="", expected=None, pattern=NAME.pattern, method=method if fake else ""
    )


def _pictures(frames: Sequence[Path]) -> Pictures:
    """Return the frames, with their numbers if they are named by them."""
    names = [frame.stem for frame in frames]
    numbers = tuple(int(n) for n in names) if all(n.isdecimal() for n in names) else ()
    ascending = all(a < b for a, b in pairwise(numbers))
    return Pictures(paths=tuple(frames), numbers=numbers if ascending else ())


def _several(given: str | Sequence[str]) -> list[str]:
    several = given if isinstance(given, list | tuple) else [given] if given else []
    return [str(one) for one in several]
