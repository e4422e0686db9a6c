"""FaceForensics++: `TARGET_SOURCE.mp4` lies over the video TARGET, with the person of SOURCE.

With it come DeepFakeDetection (videos of actors, by Google and Jigsaw) and FaceShifter, which the
owners' script downloads into the same tree. Sources: the README of the owners' repository, its
`dataset/splits`, and the preprocessing of DeepfakeBench, which reads the same folders.

- Each id of a youtube video counts as a person of its own. The owners cut 1000 sequences out of 977
  videos, so that a few ids are of one video; which ones, only their conversion_dict.json tells.
- In Face2Face and NeuralTextures no face is replaced: the donor is who drives the expression.
- That the first actor of a DeepFakeDetection name is the target follows the order of the other
  methods; the owners do not state it.
- The owners say that DeepFakeDetection has more than 3000 fakes of 28 actors; 3068, and 363 real
  videos, are the numbers that others report.
- The official splits are of the youtube ids. DeepFakeDetection has none.
- Masks are videos, too, in masks/videos of a method, as the owners' script downloads them
  (`-t masks`). They are compressed, so that near black counts as black; not verified on the files.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal, get_args

from gendkit.data.masked import MaskedVideo
from gendkit.errors import InvalidManifest, InvalidOption, MissingMedia
from gendkit.plugin.protocols import Clip
from gendkit_benchmarks.facts import FACEFORENSICS
from gendkit_benchmarks.tree import Notes, Part, listed, note_unpaired, nothing, opened, text_of

Compression = Literal["raw", "c23", "c40"]
SPLIT_FILES = {"train.json": "train", "val.json": "development", "test.json": "final"}
PLACES = ("", "splits", "dataset/splits")
"""Where below the root the split files are looked for; the last as in the owners' repository."""
MASKS = "masks/videos"
"""Where below a method's folder the masks lie, whatever the compression."""

_SWAP, _DRIVEN = "face-swap", "reenactment"
YOUTUBE = Part(
    name="youtube", folder="original_sequences/youtube", expected=1000, pattern=r"(?P<target>\d{3})"
)
ACTORS = Part(
    name="actors", folder="original_sequences/actors", expected=363, person="actor-{}",
    pattern=r"(?P<target>\d{2})__(?P<scene>[a-z_]+)",
)  # fmt: skip


def _of_youtube(method: str, family: str, *, year: int | None = None) -> Part:
    return Part(
        name=method, folder=f"manipulated_sequences/{method}", expected=1000,
        pattern=r"(?P<target>\d{3})_(?P<donor>\d{3})", method=method, family=family,
        pair="youtube/{target}", year=year,
    )  # fmt: skip


METHODS = {
    part.name: part
    for part in (
        _of_youtube("Deepfakes", _SWAP),
        _of_youtube("Face2Face", _DRIVEN),
        _of_youtube("FaceSwap", _SWAP),
        _of_youtube("NeuralTextures", _DRIVEN),
        _of_youtube("FaceShifter", _SWAP, year=2020),
        Part(
            name="DeepFakeDetection", folder="manipulated_sequences/DeepFakeDetection",
            expected=3068, method="DeepFakeDetection", family=_SWAP, person="actor-{}",
            pattern=r"(?P<target>\d{2})_(?P<donor>\d{2})__(?P<scene>[a-z_]+)__[A-Z0-9]+",
            pair="actors/{target}__{scene}",
        ),
    )
}  # fmt: skip


class FaceForensics:
    """The clips of one compression.

    Parameters
    ----------
    root
        The folder with original_sequences and manipulated_sequences.
    compression
        raw, c23 or c40.
    methods
        Which manipulations, as their folders are named; without any, all. Of the real videos those
        are read that belong to them.
    splits
        The folder with the owners' train.json, val.json and test.json; by default the root, and
        splits and dataset/splits below it. Without the files no clip has a split.
    masks
        Whether frames bring their manipulation mask: a fake that of its method, a real clip that of
        the first of its fakes that has one.

    Raises
    ------
    InvalidOption
        For a compression or method that there is not.
    MissingMedia
        If there is no such folder.
    """

    def __init__(
        self,
        root: str | Path | None,
        *,
        compression: str,
        methods: str | Sequence[str],
        splits: str | Path | None,
        masks: bool = False,
    ) -> None:
        if compression not in get_args(Compression):
            raise InvalidOption(
                f"compression is {compression!r}; expected {', '.join(get_args(Compression))}."
            )
        wanted = (
            list(methods) if isinstance(methods, list | tuple) else [methods] if methods else []
        )
        if not isinstance(masks, bool):
            raise InvalidOption(f"masks is {masks!r}; expected true or false.")
        self._masks = masks
        if strange := [name for name in wanted if name not in METHODS]:
            raise InvalidOption(
                f"faceforensics has no method {strange[0]!r}; there is {', '.join(METHODS)}."
            )
        self._root = opened(root, FACEFORENSICS)
        self._compression = compression
        fakes = [part for name, part in METHODS.items() if not wanted or name in wanted]
        reals = {part.pair.partition("/")[0] for part in fakes}
        self._parts = [part for part in (YOUTUBE, ACTORS) if part.name in reals] + fakes
        if splits is not None and not Path(splits).is_dir():
            raise MissingMedia(
                f"splits is {splits}, which is no folder; expected one with the owners' "
                f"{', '.join(SPLIT_FILES)}, from dataset/splits of {FACEFORENSICS.homepage}"
            )
        self._splits = None if splits is None else Path(splits)

    def clips(self) -> list[Clip]:
        """Return the clips, real ones first; what is missing is told in one warning.

        Raises
        ------
        MissingMedia
            If there is no clip at all.
        InvalidManifest
            For a split file that is none, or an id in two of them.
        """
        notes = Notes(FACEFORENSICS, self._root)
        below, within = f"{self._compression}/videos", f"{self._compression}/"
        clips = [
            clip
            for part in self._parts
            for clip in part.clips(self._root, notes, folder=below, within=within)
        ]
        if not clips:
            other = sorted({p.parent.name for p in self._root.glob("*_sequences/*/*/videos")})
            seen = f"; of compressions there is {', '.join(other)}" if other else ""
            raise nothing(
                FACEFORENSICS,
                f"no {self._compression} video under {self._root}, which has "
                f"{listed(self._root)}{seen}",
            )
        note_unpaired(clips, notes)
        clips = self._with_splits(clips, notes)
        clips = self._with_masks(clips, notes) if self._masks else clips
        notes.tell()
        return clips

    def _with_masks(self, clips: Sequence[Clip], notes: Notes) -> list[Clip]:
        """Let fakes, and the real clips that they were made from, bring their masks."""
        of_pair: dict[str, Path] = {}
        found, absent = [], []
        for clip in clips:
            if clip.label and isinstance(clip.media, Path):
                folder = self._root / METHODS[clip.method].folder / MASKS
                path = folder / clip.media.name
                if path.is_file():
                    of_pair.setdefault(clip.pair, path)
                    clip = replace(clip, media=MaskedVideo(video=clip.media, masks=path))
                else:
                    absent.append(clip.video)
            found.append(clip)
        notes.some(f"fakes without a video in {MASKS}", absent)
        return [
            replace(clip, media=MaskedVideo(video=clip.media, masks=of_pair[clip.pair]))
            if not clip.label and isinstance(clip.media, Path) and clip.pair in of_pair
            else clip
            for clip in found
        ]

    def _with_splits(self, clips: Sequence[Clip], notes: Notes) -> list[Clip]:
        splits = self._read_splits(notes)
        if not splits:
            return list(clips)
        there = {clip.target_identity for clip in clips if not clip.label}
        if YOUTUBE in self._parts:
            notes.some("in a split file, but without a video", sorted(set(splits) - there))
        found, cut, unknown = [], [], []
        for clip in clips:
            people = {clip.target_identity, clip.donor_identity} - {""}
            if any(person.startswith("actor-") for person in people):
                found.append(clip)
                continue
            of = {splits.get(person, "") for person in people}
            if of == {""}:
                unknown.append(clip.video)
            elif len(of) > 1:
                cut.append(clip.video)
            found.append(replace(clip, split=of.pop() if len(of) == 1 else ""))
        notes.some("in no split file, and so without a split", unknown)
        notes.some("of people of two splits, and so without one", cut)
        return found

    def _read_splits(self, notes: Notes) -> Mapping[str, str]:
        places = [self._splits] if self._splits else [self._root / place for place in PLACES]
        found = [place / name for place in places for name in SPLIT_FILES]
        files = {path.name: path for path in reversed(found) if path.is_file()}
        if absent := [name for name in SPLIT_FILES if name not in files]:
            notes.say(
                f"no {', '.join(absent)} in {' or '.join(map(str, places))}: take the owners' "
                f"from dataset/splits of {FACEFORENSICS.homepage}"
            )
        splits: dict[str, str] = {}
        for name, split in SPLIT_FILES.items():
            for person in _people(files[name]) if name in files else ():
                if splits.setdefault(person, split) != split:
                    raise InvalidManifest(
                        f"{files[name]} names {person!r}, which is of the split "
                        f"{splits[person]} already; take the owners' files as they are."
                    )
        return splits


def _people(path: Path) -> list[str]:
    """Return the ids of a split file, which is a list of pairs of them."""
    try:
        pairs = json.loads(text_of(path, kind="JSON"))
    except json.JSONDecodeError as error:
        raise InvalidManifest(f"{path} is no JSON, line {error.lineno}: {error.msg}.") from None
    good = isinstance(pairs, list) and all(
        isinstance(pair, list) and len(pair) == 2 and all(isinstance(i, str) for i in pair)
        for pair in pairs
    )
    if not good:
        raise InvalidManifest(f'{path} is expected as a list of pairs such as ["071", "054"].')
    return [person for pair in pairs for person in pair]
