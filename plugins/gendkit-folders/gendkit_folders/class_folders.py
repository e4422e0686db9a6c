"""A folder a class: FOLDER/CLASS/... with pictures and videos at any depth.

The name of a class folder says the label, because this dataset says so: by an exact table of words,
or by the options. No other part of a path is read, but for the split if that is asked for.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal, get_args

from gendkit.data.columns import SPLITS
from gendkit.data.media import is_video
from gendkit.errors import InvalidLabels, InvalidOption, MissingMedia
from gendkit.plugin.protocols import Clip
from gendkit_folders.files import (
    Pictures,
    existing,
    files_under,
    in_natural_order,
    listed,
    media_only,
    video_id,
    without_twins,
)
from gendkit_folders.words import FAKE, KNOWN, REAL, Splits, as_method, names, word

Kind = Literal["files", "folders"]
SOUGHT = "a folder with one folder a class in it, such as real and fake"
FROM_FOLDERS = "folders"


class ClassFolders:
    """Clips whose label is the name of their class folder.

    Parameters
    ----------
    root
        The folder.
    real, fake
        Names of class folders; case does not count. Without both, the words of
        `gendkit_folders.words` say it. With `real` alone every other folder is a method; with
        `fake` alone, `real` is by the words.
    clips
        `files`: each picture and video is a clip. `folders`: the pictures of one folder are the
        frames of one clip; a video is a clip as well.
    split
        Of all clips: train, development or final. `folders`: the class folders lie one level
        deeper, in folders named after splits. Empty: none.
    splits
        What the names of split folders mean, beside the known words.
    dataset
        Name of the collection; by default the root's.
    licence
        Of the media.

    Raises
    ------
    InvalidOption
        For an option that cannot be.
    MissingMedia
        If there is no such folder.
    """

    name = "class-folders"

    def __init__(
        self,
        root: str | Path | None,
        *,
        real: str | Sequence[str],
        fake: str | Sequence[str],
        clips: str,
        split: str,
        splits: Mapping[str, str],
        dataset: str,
        licence: str,
    ) -> None:
        self._root = existing(root, dataset=self.name, sought=SOUGHT)
        if not self._root.is_dir():
            raise MissingMedia(f"{self._root} is a file; {self.name} expects {SOUGHT}.")
        if clips not in get_args(Kind):
            raise InvalidOption(f"clips is {clips!r}; expected {' or '.join(get_args(Kind))}.")
        if split not in ("", FROM_FOLDERS, *SPLITS):
            raise InvalidOption(
                f"split is {split!r}; expected {', '.join(SPLITS)}, or {FROM_FOLDERS}."
            )
        self._real = {word(name) for name in names("real", real)}
        self._fake = {word(name) for name in names("fake", fake)}
        if both := self._real & self._fake:
            raise InvalidOption(f"{min(both)!r} is named as real and as fake.")
        self._kind, self._split, self._splits = clips, split, Splits(splits)
        self._dataset = dataset or as_method(self._root.resolve().name) or self.name
        self._licence = licence

    def clips(self) -> list[Clip]:
        """Return the clips, sorted by path.

        Raises
        ------
        InvalidLabels
            For a folder that means no class, or no split.
        MissingMedia
            If there is no media, for some outside of the class folders, and for links that lead
            out of the root.
        """
        media = media_only(files_under(self._root, root=self._root), dataset=self.name)
        if not media:
            there = listed(sorted(p.name for p in self._root.iterdir()))
            raise MissingMedia(
                f"no picture or video under {self._root}; {self.name} expects {SOUGHT}. In it: "
                f"{there}."
            )
        level = 1 if self._split == FROM_FOLDERS else 0
        below = [path.relative_to(self._root).parts for path in media]
        if stray := [p for p, parts in zip(media, below, strict=True) if len(parts) < level + 2]:
            folders = "a split folder and a class folder" if level else "a class folder"
            raise MissingMedia(
                f"{len(stray)} pictures or videos are not in {folders}, such as {stray[0]}; move "
                "them into one, or away."
            )
        labels = self._labels(sorted({parts[level] for parts in below}))
        splits = {
            parts[0]: self._splits.of(parts[0], where=f"the folder {self._root / parts[0]}")
            for parts in below
            if level
        }
        clips, places = [], []
        for place, content in self._contents(media, level=level):
            parts = place.relative_to(self._root).parts
            label = labels[parts[level]]
            clips.append(
                Clip(
                    video=video_id(place.relative_to(self._root)),
                    media=content,
                    dataset=self._dataset,
                    label=label,
                    method=(as_method(parts[level]) or "fake") if label else "",
                    split=splits[parts[0]] if level else self._split,
                    licence=self._licence,
                )
            )
            places.append(str(place))
        return without_twins(clips, places, dataset=self.name)

    def _labels(self, folders: Sequence[str]) -> dict[str, int]:
        """Return the label of each class folder, refusing all together that mean none."""
        here = f"{self._root} has the folders {', '.join(folders)}"
        known = {word(folder) for folder in folders}
        if absent := sorted((self._real | self._fake) - known):
            raise InvalidLabels(f"{here}, and none is named {', '.join(absent)}; see the options.")
        labels = {folder: self._label(word(folder)) for folder in folders}
        unknown = [folder for folder, label in labels.items() if label is None]
        if not unknown:
            return {folder: label for folder, label in labels.items() if label is not None}
        step = "say which are real with the option real=[...], all others are then methods"
        if all(map(self._splits.knows, unknown)) and self._split != FROM_FOLDERS:
            step = "if these are splits, with the classes inside, say split=folders"
        raise InvalidLabels(
            f"{here}, of which {', '.join(unknown)} mean no class: {KNOWN}; {step}."
        )

    def _label(self, folder: str) -> int | None:
        if self._real or self._fake:
            if folder in self._real or (not self._real and folder in REAL):
                return 0
            return 1 if folder in self._fake or not self._fake else None
        return 0 if folder in REAL else 1 if folder in FAKE else None

    def _contents(
        self, media: Sequence[Path], *, level: int
    ) -> Iterator[tuple[Path, Path | Pictures]]:
        """Yield each clip's place, and what is read: a file, or the pictures of a folder."""
        if self._kind == "files":
            yield from ((path, path) for path in media)
            return
        found: dict[Path, Path | list[Path]] = {}
        for path in media:
            if is_video(path):
                found[path] = path
                continue
            folder = path.parent
            if len(folder.relative_to(self._root).parts) < level + 2:
                raise MissingMedia(
                    f"{path} lies directly in a class folder, and with clips=folders the pictures "
                    "of one folder below it are one clip; without that each is its own."
                )
            pictures = found.setdefault(folder, [])
            assert isinstance(pictures, list)
            pictures.append(path)
        for place in sorted(found):
            content = found[place]
            yield (
                place,
                content if isinstance(content, Path) else Pictures(paths=in_natural_order(content)),
            )
