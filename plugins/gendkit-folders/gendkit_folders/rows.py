"""From a row of a table to a clip: which columns there are, and what their values must be."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from gendkit.data.media import is_image, is_video
from gendkit.errors import InvalidLabels, InvalidManifest, InvalidOption, MissingMedia
from gendkit.plugin.protocols import Clip, Frame
from gendkit_folders.files import (
    Pictures,
    checked,
    existing,
    files_under,
    in_natural_order,
    is_id,
    listed,
    log,
    media_only,
)
from gendkit_folders.words import REAL, Labels, Splits, as_method, word

TEXTS = ("pair", "target_identity", "donor_identity", "degradation")
YEARS = ("year", "generator_year")
OURS = (
    "path", "label", "dataset", "video", "method", "family", *TEXTS, "split", *YEARS, "licence",
)  # fmt: skip
"""The columns that are read: one of media, and what `Clip` knows."""
NO_METHOD = ("", "none", "-", *REAL)
"""What a real row may have as its method and family."""

Row = Mapping[str, Any]
Media = Path | Callable[[], Iterable[Frame]]


def renamed(there: Sequence[str], columns: Any, *, ours: Sequence[str] = OURS) -> dict[str, str]:
    """Return under which name each of our columns stands in a table.

    Parameters
    ----------
    there
        The table's columns.
    columns
        From their names to ours, for those that are named otherwise.
    ours
        The names that may be meant.

    Raises
    ------
    InvalidOption
        If `columns` names what is not there or not known, or one of ours has two columns.
    """
    if not isinstance(columns, Mapping):
        raise InvalidOption(f"columns must map their names to ours, got {columns!r}.")
    for theirs, name in columns.items():
        if theirs not in there:
            raise InvalidOption(f"columns names {theirs!r}; the table has {', '.join(there)}.")
        if name not in ours:
            raise InvalidOption(
                f"columns gives {theirs!r} the meaning {name!r}; expected one of {', '.join(ours)}."
            )
    found: dict[str, str] = {}
    for theirs in there:
        name = columns.get(theirs, theirs)
        if name not in ours or (name in columns.values() and theirs not in columns):
            continue
        if name in found:
            raise InvalidOption(f"both {found[name]!r} and {theirs!r} are {name}; name one.")
        found[name] = theirs
    return found


def media_at(text: str, *, media: Path, where: str, dataset: str) -> tuple[str, Media]:
    """Return the path below the root of media, and what is read there; see `Reading.media_at`."""
    if not text:
        raise MissingMedia(f"{where} has no path.")
    path = media / text
    if not path.is_relative_to(media) or ".." in path.relative_to(media).parts:
        raise MissingMedia(
            f"{where} has the path {text!r}, which leaves {media}; paths are below it. Another "
            "root is given with the option media."
        )
    if not os.path.exists(path):  # `Path.exists` fails at a name that is too long
        raise MissingMedia(
            f"{where} has the path {text!r}, and there is no {path}; paths are below {media}. "
            "Another root is given with the option media."
        )
    checked(path, root=media)
    below = path.relative_to(media).as_posix()
    if not path.is_dir():
        if not (is_image(path) or is_video(path)):
            raise MissingMedia(f"{where} has the path {text!r}, neither picture nor video.")
        return below, path
    inside = media_only(files_under(path, root=media), dataset=dataset)
    pictures = [p for p in inside if p.parent == path and is_image(p)]
    if not pictures or len(pictures) < len(inside):
        raise MissingMedia(
            f"{where} has the path of a folder, {text!r}; expected are pictures in it, the frames "
            f"of one clip, and nothing else. In it: {listed([p.name for p in inside])}."
        )
    return below, Pictures(paths=in_natural_order(pictures))


class Reading:
    """How the rows of a dataset are read: what its options say.

    Parameters
    ----------
    name
        Of the kind of dataset, for errors.
    place
        Where its paths start, if `media` says nothing else.
    media, columns, labels, splits, dataset, licence
        The options: see `gendkit_folders.table.Table`.
    file
        What the dataset is called if no option says it.

    Raises
    ------
    InvalidOption
        For an option that cannot be.
    MissingMedia
        If `media` is no folder.
    """

    def __init__(
        self,
        *,
        name: str,
        place: Path,
        file: str,
        media: str | Path | None,
        columns: Mapping[str, str],
        labels: Mapping[str, str],
        splits: Mapping[str, str],
        dataset: str,
        licence: str,
    ) -> None:
        self._name, self._columns = name, columns
        self.media = place
        if media is not None:
            self.media = existing(media, dataset=name, sought="a folder as its option media")
        self._labels, self.splits = Labels(labels), Splits(splits)
        self._dataset = dataset or as_method(file) or name
        self._licence = licence

    def names(self, there: Sequence[str], *, ours: Sequence[str] = OURS) -> dict[str, str]:
        """Return under which name each of our columns stands; see `renamed`."""
        return renamed(there, self._columns, ours=ours)

    def note_unread(self, there: Iterable[str], read: Iterable[str]) -> None:
        """Name the columns that are not read in a warning."""
        if unread := sorted(set(there) - set(read)):
            log.warning(
                "%s: not read are the columns %s; known are %s",
                self._name,
                listed(unread),
                ", ".join(OURS),
            )

    def media_at(self, row: Row, *, where: str) -> tuple[str, Media]:
        """Return the path of a row below the root of media, and what is read there.

        A folder is one clip: its pictures are the frames.

        Raises
        ------
        MissingMedia
            If there is nothing, nothing that can be read, or it lies outside of the root.
        """
        return media_at(text_of(row, "path"), media=self.media, where=where, dataset=self._name)

    def clip(self, row: Row, *, video: str, media: Media, where: str, split: str = "") -> Clip:
        """Return the clip of a row.

        Parameters
        ----------
        row
            Values by our names; columns may be missing.
        video
            Its id if the row has none.
        media
            Of the clip.
        where
            What the row is called in an error.
        split
            If the row has none.

        Raises
        ------
        InvalidLabels
            For a label or split that is not known, and for a real row with a method.
        InvalidManifest
            For an id, or a year, that cannot be one.
        """
        label = self._labels.of(row.get("label"), where=where)
        how = {name: text_of(row, name) for name in ("method", "family")}
        if label == 0:
            for name, text in how.items():
                if word(text) not in NO_METHOD:
                    raise InvalidLabels(
                        f"{where} is real and has the {name} {text!r}; a real clip has none."
                    )
            how = dict.fromkeys(how, "")
        given = text_of(row, "video")
        if given and not is_id(given):
            raise InvalidManifest(
                f"{where} has the video id {given!r}; ids have letters, digits, - _ . and / only."
            )
        texts = {name: text_of(row, name) for name in TEXTS}
        years = {name: _year(row.get(name), where=where) for name in YEARS}
        return Clip(
            video=given or video,
            media=media,
            dataset=as_method(text_of(row, "dataset")) or self._dataset,
            label=label,
            method=as_method(how["method"]) or ("fake" if label == 1 else ""),
            family=how["family"],
            split=self.splits.of(row.get("split"), where=where) or split,
            pair=texts["pair"],
            target_identity=texts["target_identity"],
            donor_identity=texts["donor_identity"],
            degradation=texts["degradation"],
            year=years["year"],
            generator_year=years["generator_year"],
            licence=text_of(row, "licence") or self._licence,
        )


def text_of(row: Row, name: str) -> str:
    """Return a value as text; a missing one as empty, a whole number without its fraction."""
    value = row.get(name)
    if value is None or value != value:  # NaN
        return ""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value).strip()


def _year(value: Any, *, where: str) -> int | None:
    text = word(value)
    if not text:
        return None
    if not text.isdecimal():
        raise InvalidManifest(f"{where} has the year {value!r}; expected a whole number.")
    return int(text)
