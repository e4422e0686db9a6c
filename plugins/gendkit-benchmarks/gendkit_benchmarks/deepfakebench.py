"""DeepfakeBench's JSON: the frames of each video of several benchmarks, with labels and splits.

Source: its `preprocessing/rearrange.py`, which writes DATASET, LABEL, SPLIT, with a compression
between them and the videos for FaceForensics++ and what belongs to it; the labels are those of its
`training/config/train_config.yaml`. What a video's name says of pairs and people is known for
FaceForensics++, DeepFakeDetection and Celeb-DF alone, and read as by their own readers here.

- Its splits are not those of the owners: it lists the videos of Celeb-DF's list under val and test,
  all of them under train as well, and DeepFakeDetection under all three. A video under several is
  final if it is under test, else development if it is under val. What remains as train of Celeb-DF
  shares people with what is final, which a check for leaks refuses.
- Frames are sorted by name: the files list them in the order of a folder.
- Its crops are of faces already; nothing here changes them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any, get_args

from gendkit.errors import InvalidLabels, InvalidManifest, InvalidOption, MissingMedia
from gendkit.plugin.protocols import Clip
from gendkit_benchmarks import celeb_df, faceforensics
from gendkit_benchmarks.faceforensics import METHODS, Compression
from gendkit_benchmarks.facts import CELEB_DF, DEEPFAKEBENCH, DFDC, FACEFORENSICS, Benchmark
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
)

SPLITS = {"train": "train", "val": "development", "test": "final"}
"""The later one counts, where a video is listed under several."""
COMPRESSIONS = get_args(Compression)
_ANY = r"[A-Za-z0-9_.-]+"


def _known() -> Iterator[tuple[Part, Benchmark]]:
    """Yield the labels whose names are known."""
    yield replace(faceforensics.YOUTUBE, name="FF-real"), FACEFORENSICS
    yield replace(faceforensics.ACTORS, name="DFD_real"), FACEFORENSICS
    labels = {
        "FF-DF": "Deepfakes", "FF-F2F": "Face2Face", "FF-FS": "FaceSwap", "FF-NT": "NeuralTextures",
        "FF-FH": "FaceShifter", "FF-SH": "FaceShifter",
    }  # fmt: skip
    for label, method in labels.items():
        yield replace(METHODS[method], name=label, pair="FF-real/{target}"), FACEFORENSICS
    dfd = METHODS["DeepFakeDetection"]
    yield replace(dfd, name="DFD_fake", pair="DFD_real/{target}__{scene}"), FACEFORENSICS
    for version in ("CelebDFv1", "CelebDFv2"):
        pattern = rf"{celeb_df.CELEB.pattern}|{celeb_df.YOUTUBE.pattern}"
        yield replace(celeb_df.CELEB, name=f"{version}_real", pattern=pattern), CELEB_DF
        pair = f"{version}_real/{{target}}_{{index}}"
        yield replace(celeb_df.SYNTHESIS, name=f"{version}_fake", pair=pair), CELEB_DF


def _others() -> Iterator[tuple[Part, Benchmark]]:
    """Yield the labels whose names say nothing that is certain."""
    labels = {
        "DFDCP_Real": "", "DFDCP_FakeA": "DFDCP-A", "DFDCP_FakeB": "DFDCP-B",
        "DFDC_Real": "", "DFDC_Fake": "unknown", "DF_real": "", "DF_fake": "DeeperForensics",
        "UADFV_Real": "", "UADFV_Fake": "UADFV", "roop_Real": "", "roop_Fake": "roop",
    }  # fmt: skip
    for label, method in labels.items():
        part = Part(name=label, folder="", expected=None, pattern=_ANY, method=method)
        yield part, DFDC if label.startswith("DFDC_") else DEEPFAKEBENCH


LABELS = {part.name: (part, of) for part, of in (*_known(), *_others())}


@dataclass
class _Video:
    """A video while the files are read."""

    label: str
    name: str
    within: str
    frames: list[str]
    splits: set[str] = field(default_factory=set)


class DeepfakeBench:
    """The clips of one JSON file, or of all in a folder.

    Parameters
    ----------
    root
        The file, or the folder with them.
    media
        The folder below which the frames lie; by default that of the file.
    prefix
        What is taken away from the start of each path in the files, such as the folder where they
        were written.
    compression
        Of FaceForensics++: raw, c23 or c40.

    Raises
    ------
    InvalidOption
        For another compression.
    MissingMedia
        If there is no such file or folder.
    """

    def __init__(
        self, root: str | Path | None, *, media: str | Path | None, prefix: str, compression: str
    ) -> None:
        if compression not in COMPRESSIONS:
            raise InvalidOption(
                f"compression is {compression!r}; expected {', '.join(COMPRESSIONS)}."
            )
        one = root is not None and Path(root).is_file()
        self._root = Path(root) if root and one else opened(root, DEEPFAKEBENCH)
        self._media = Path(media or (self._root.parent if one else self._root))
        if not self._media.is_dir():
            raise MissingMedia(
                f"media is {media}, which is no folder; expected that of the frames."
            )
        self._prefix, self._compression = prefix.replace("\\", "/"), compression

    def clips(self) -> list[Clip]:
        """Return the clips by id; what is missing is told in one warning.

        Raises
        ------
        MissingMedia
            If there is no file, or none of the frames that they name.
        InvalidManifest
            For a file of another layout.
        InvalidLabels
            For a label that DeepfakeBench does not have.
        """
        files = sorted(self._root.glob("*.json")) if self._root.is_dir() else [self._root]
        if not files:
            raise nothing(
                DEEPFAKEBENCH, f"no JSON file in {self._root}, which has {listed(self._root)}"
            )
        notes = Notes(DEEPFAKEBENCH, self._root)
        videos: dict[str, _Video] = {}
        for path in files:
            for split, found in self._videos(path):
                key = f"{found.within}{found.label}/{found.name}"
                videos.setdefault(key, found).splits.add(split)
        clips, misnamed, empty = [], [], []
        there: dict[Path, set[str]] = {}
        gaps = 0
        for key in sorted(videos):
            video = videos[key]
            paths = [path for path in self._paths(video.frames) if _is_there(path, there)]
            gaps += len(video.frames) - len(paths) if paths else 0
            part, of = LABELS[video.label]
            of = replace(of, name=DEEPFAKEBENCH.name)
            clip = part.clip(video.name, Pictures(paths=tuple(paths)), of, within=video.within)
            if clip is None:
                misnamed.append(key)
            elif not paths:
                empty.append(key)
            else:
                split = next(ours for its, ours in reversed(SPLITS.items()) if its in video.splits)
                clips.append(replace(clip, split=split))
        if not clips:
            named = next((v.frames[0] for v in videos.values() if v.frames), "no frame")
            raise nothing(
                DEEPFAKEBENCH,
                f"none of the frames that {self._root} names is under {self._media}, such as "
                f"{named}; see the options media and prefix",
            )
        notes.left_out("not named as those of their label are", misnamed)
        notes.left_out("without any frame there", empty)
        if gaps:
            notes.say(f"{gaps} frames of other videos are not there")
        several = [key for key, video in videos.items() if len(video.splits) > 1]
        notes.some("listed under several splits, of which test goes before val, and train", several)
        note_unpaired(clips, notes)
        notes.tell()
        return clips

    def _videos(self, path: Path) -> Iterator[tuple[str, _Video]]:
        """Yield each video of a file with the split under which it stands."""
        try:
            content = json.loads(text_of(path, kind="JSON"))
        except json.JSONDecodeError as error:
            raise InvalidManifest(f"{path} is no JSON, line {error.lineno}: {error.msg}.") from None
        for dataset in _mapping(content, path, "DATASET").values():
            for label, splits in _mapping(dataset, path, "LABEL").items():
                if label not in LABELS:
                    raise InvalidLabels(
                        f"{path} has the label {label!r}; DeepfakeBench has {', '.join(LABELS)}."
                    )
                for split, videos in _mapping(splits, path, "SPLIT").items():
                    if split not in SPLITS:
                        raise InvalidManifest(
                            f"{path} has the split {split!r}; expected {', '.join(SPLITS)}."
                        )
                    within, videos = self._of_compression(_mapping(videos, path, "VIDEO"), path)
                    for name, row in videos.items():
                        yield split, _Video(label, name, within, _frames(row, path, label))

    def _of_compression(
        self, videos: Mapping[str, Any], path: Path
    ) -> tuple[str, Mapping[str, Any]]:
        """Return what stands before an id, and the videos, of which there may be several sorts."""
        if not videos or not set(videos) <= set(COMPRESSIONS):
            return "", videos
        chosen = videos.get(self._compression, {})
        return f"{self._compression}/", _mapping(chosen, path, "VIDEO")

    def _paths(self, frames: list[str]) -> list[Path]:
        """Return where frames lie, in natural order; those outside of the folder are left out."""
        texts = [text.replace("\\", "/").removeprefix(self._prefix) for text in frames]
        below = [PurePosixPath(text.lstrip("/") if self._prefix else text) for text in texts]
        inside = [path for path in below if not path.is_absolute() and ".." not in path.parts]
        return [self._media / path for path in sorted(inside, key=natural)]


def _frames(row: Any, path: Path, label: str) -> list[str]:
    frames = row.get("frames") if isinstance(row, dict) else None
    if not isinstance(frames, list) or not all(isinstance(frame, str) for frame in frames):
        raise InvalidManifest(
            f'{path} is expected to give each video as {{"label": ..., "frames": [...]}}.'
        )
    if row.get("label") != label:
        raise InvalidLabels(
            f"{path} has a video with the label {row.get('label')!r} under {label!r}."
        )
    return frames


def _mapping(value: Any, path: Path, level: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise InvalidManifest(
            f"{path} has {type(value).__name__} where {level} is expected; the layout is DATASET, "
            "LABEL, SPLIT, VIDEO, as DeepfakeBench's preprocessing writes it."
        )
    return value


def _is_there(path: Path, there: dict[Path, set[str]]) -> bool:
    """Look a file up in its folder's listing, which is read once."""
    folder = path.parent
    if folder not in there:
        there[folder] = {p.name for p in folder.iterdir()} if folder.is_dir() else set()
    return path.name in there[folder]
