"""Folders of videos as parts of a dataset, and notes about what is missing or does not fit.

A `Part` says what one folder holds: what its file names mean, what is real, what is whose pair.
Readers list their parts and add the split. A folder or file that is not there is counted, not an
error: only nothing at all is. Links are followed, since benchmarks of this size are often put
together out of links to several disks; no folder is searched at depth.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path, PurePath

from gendkit.data.media import is_video, read_image
from gendkit.errors import InvalidManifest, MissingMedia
from gendkit.plugin.protocols import Clip, Frame
from gendkit_benchmarks.facts import Benchmark
from gendkit_benchmarks.generators import generator_year

log = logging.getLogger(__name__)
SHOWN = 3


@dataclass(frozen=True, kw_only=True)
class Pictures:
    """Pictures that are the frames of one clip, read one after the other.

    Attributes
    ----------
    paths
        In order of display.
    numbers
        Of the frames, ascending; without any they count from 0.
    """

    paths: tuple[Path, ...]
    numbers: tuple[int, ...] = ()

    def __call__(self) -> Iterator[Frame]:
        """Yield the frames in the given order."""
        for index, path in zip(self.numbers or count(), self.paths, strict=False):
            yield Frame(index=index, image=read_image(path))


@dataclass(frozen=True, kw_only=True)
class Part:
    """One folder of videos.

    Attributes
    ----------
    name
        Before a file's stem it makes the clip's id, `NAME/STEM`.
    folder
        Below the root.
    expected
        How many videos the owners give; None if that is not known.
    pattern
        Which a stem has to match as a whole. Its groups `target` and `donor` are people.
    method, family
        Of the manipulation; empty for real clips.
    pair
        The id of the real clip, with the pattern's groups in braces. Of a real part it is not
        asked: a real clip is its own pair. Empty for a fake: not known.
    person
        How a person is called, `{}` being the text of a group.
    year
        If it was released later than the dataset.
    """

    name: str
    folder: str
    expected: int | None
    pattern: str
    method: str = ""
    family: str = ""
    pair: str = ""
    person: str = "{}"
    year: int | None = None

    def clips(self, root: Path, notes: Notes, *, folder: str = "", within: str = "") -> list[Clip]:
        """Return the clips of the folder, sorted by name and without a split.

        Parameters
        ----------
        root
            Of the dataset.
        notes
            Told how many there are, and which names do not fit.
        folder
            Below the part's own, if the videos lie deeper.
        within
            Stands before the part's name in each id.
        """
        place = root / self.folder / folder
        found = videos_in(place)
        notes.counted(self.name, len(found), expected=self.expected, where=place)
        clips, misnamed = [], []
        for path in found:
            clip = self.clip(path.stem, path, notes.of, within=within)
            if clip is None:
                misnamed.append(path)
            else:
                clips.append(clip)
        notes.left_out(f"not named as {self.name} are", misnamed)
        return without_twins(clips, notes)

    def clip(
        self, stem: str, media: Path | Pictures, of: Benchmark, *, within: str = ""
    ) -> Clip | None:
        """Return one clip by its name without a suffix; None if the name does not fit."""
        names = re.fullmatch(self.pattern, stem)
        if names is None:
            return None
        groups = names.groupdict(default="")
        video = f"{within}{self.name}/{stem}"
        pair = f"{within}{self.pair.format(**groups)}" if self.pair else ""
        return Clip(
            video=video,
            media=media,
            dataset=of.name,
            label=1 if self.method else 0,
            method=self.method,
            family=self.family,
            pair=pair if self.method else video,
            target_identity=self._person(groups.get("target", "")),
            donor_identity=self._person(groups.get("donor", "")),
            year=self.year or of.year,
            generator_year=generator_year(self.method),
            licence=of.licence,
        )

    def _person(self, text: str) -> str:
        return self.person.format(text) if text else ""


@dataclass
class Notes:
    """What does not fit while clips are listed, told as one warning; paths are below the root."""

    of: Benchmark
    root: Path
    lines: list[str] = field(default_factory=list)

    def counted(self, what: str, found: int, *, expected: int | None, where: Path) -> None:
        """Note that fewer or more were found than the owners give, or none."""
        if found and (expected is None or found == expected):
            return
        should = "" if expected is None else f" of {expected}"
        self.lines.append(f"{what}: {found}{should} videos in {self._below(where)}")

    def left_out(self, why: str, these: Iterable[object]) -> None:
        """Note files that are left out."""
        self.some(f"left out, as they are {why}", these)

    def some(self, what: str, these: Iterable[object]) -> None:
        """Note things with their number and an example, if there are any."""
        if names := [self._below(one) for one in these]:
            more = " and others" if len(names) > SHOWN else ""
            self.lines.append(f"{what}: {len(names)}, {', '.join(names[:SHOWN])}{more}")

    def say(self, line: str) -> None:
        """Note anything else."""
        self.lines.append(line)

    def tell(self) -> None:
        """Log one warning, if there is something to say."""
        if self.lines:
            log.warning("%s in %s: %s", self.of.name, self.root, "; ".join(self.lines))

    def _below(self, one: object) -> str:
        if isinstance(one, Path) and one.is_relative_to(self.root):
            return str(one.relative_to(self.root))
        return str(one)


def opened(root: str | Path | None, of: Benchmark) -> Path:
    """Return the root as a path.

    Raises
    ------
    MissingMedia
        If none was given, or there is no such folder.
    """
    if root is None:
        raise MissingMedia(
            f"{of.name} was given no folder, expected one with {of.layout}; write "
            f"{of.name}:FOLDER.{_access(of)}"
        )
    if not Path(root).is_dir():
        raise nothing(of, f"there is no folder {root}")
    return Path(root)


def nothing(of: Benchmark, got: str) -> MissingMedia:
    """Return the error that there is nothing of the dataset."""
    return MissingMedia(f"{got}; {of.name} is expected as {of.layout}.{_access(of)}")


def _access(of: Benchmark) -> str:
    return f" Access: {of.homepage}" if of.homepage else ""


def listed(root: Path) -> str:
    """Return the first names in a folder, for an error."""
    names = sorted(p.name for p in root.iterdir())
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return (", ".join(names[:SHOWN]) + more) or "nothing"


def videos_in(folder: Path) -> list[Path]:
    """Return the videos that lie directly in a folder, sorted; none if there is no folder."""
    if not folder.is_dir():
        return []
    return sorted(p for p in folder.iterdir() if is_video(p) and not p.name.startswith("."))


def natural(path: PurePath) -> tuple[list[tuple[int, int, str]], str]:
    """Return by what names are sorted so that 2.png comes before 10.png."""
    pieces = re.findall(r"\d+|\D+", path.name)
    return [(0, int(p), "") if p.isdecimal() else (1, 0, p) for p in pieces], path.as_posix()


def without_twins(clips: Sequence[Clip], notes: Notes) -> list[Clip]:
    """Return the first clip of each id, noting others, such as of `000.mp4` and `000.avi`."""
    first: dict[str, Clip] = {}
    twins = [clip.media for clip in clips if first.setdefault(clip.video, clip) is not clip]
    notes.left_out("there twice", twins)
    return list(first.values())


def note_unpaired(clips: Sequence[Clip], notes: Notes) -> None:
    """Note the fakes whose real clip is not among the clips."""
    there = {clip.video for clip in clips}
    notes.some(
        "fakes without their real clip",
        [clip.video for clip in clips if clip.pair and clip.pair not in there],
    )


def text_of(path: Path, *, kind: str) -> str:
    """Return the text of a file of the owners.

    Raises
    ------
    InvalidManifest
        If it cannot be read as UTF-8.
    """
    try:
        return path.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is no text"
        raise InvalidManifest(f"{path} cannot be read as {kind}: {reason}.") from None
