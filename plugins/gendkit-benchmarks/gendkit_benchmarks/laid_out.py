"""A dataset that a row of the table describes: one reader for all of them.

What lies below the root is gone through once. Each video, picture or folder of frames is of the
first group that a pattern of fits; the parts of its name, and what files of the owners say beside
it, fill in the group's templates. Where the owners' splits share people or videos, what is linked
to a later split loses its own, unless it is asked for.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from gendkit.data.media import is_image, is_video
from gendkit.errors import InvalidOption, MissingMedia
from gendkit.plugin.protocols import Clip
from gendkit_benchmarks.generators import generator_year
from gendkit_benchmarks.layout import Group, Layout
from gendkit_benchmarks.owners import Owners
from gendkit_benchmarks.patterns import Entry, compiled, filled, walk
from gendkit_benchmarks.splits import apart
from gendkit_benchmarks.tree import (
    Notes,
    Pictures,
    listed,
    natural,
    note_unpaired,
    nothing,
    opened,
    without_twins,
)

LABELS = {"real": 0, "voice": 0, "fake": 1}
Patterns = dict[str, list[tuple[str, re.Pattern[str]]]]
"""By the kind of media: the name of a group, and what a path of it must match."""
ID = re.compile(r"[A-Za-z0-9_.-]+(/[A-Za-z0-9_.-]+)*")


@dataclass(frozen=True, kw_only=True)
class _Fit:
    """What lies somewhere, the group that it is of, and the parts of its name."""

    entry: Entry
    name: str
    group: Group
    parts: Mapping[str, str]


class LaidOut:
    """The clips of a dataset by its layout.

    Parameters
    ----------
    root
        Its folder.
    layout
        See `gendkit_benchmarks.layout.layout_of`.
    splits
        `owners`: keep the owners' splits as they are, also where they share people or videos.
    voices
        What real videos with a fake voice are: nothing, so that they are left out, or real.

    Raises
    ------
    InvalidOption
        For an option that cannot be.
    MissingMedia
        If there is no such folder.
    """

    def __init__(
        self, root: str | Path | None, *, layout: Layout, splits: str, voices: str
    ) -> None:
        if splits not in ("", "owners"):
            raise InvalidOption(f"splits is {splits!r}; expected owners, or nothing.")
        if voices not in ("", "real"):
            raise InvalidOption(f"voices is {voices!r}; expected real, or nothing.")
        if voices and not any(group.label == "voice" for group in layout.groups.values()):
            raise InvalidOption(f"{layout.name} has no videos of which only the voice is fake.")
        self._layout, self._of = layout, layout.benchmark
        self._splits, self._voices = splits, voices
        self._root = opened(root, self._of)
        self._exact, self._loose = _patterns(layout), _patterns(layout, capitals=False)

    def clips(self) -> list[Clip]:
        """Return the clips, real ones first; what is missing or does not fit is one warning.

        Raises
        ------
        MissingMedia
            If there is no clip at all.
        InvalidManifest
            For a file of the owners that is none.
        """
        notes = Notes(self._of, self._root)
        entries = list(walk(self._root, is_clip=self._is_clip))
        fits = [fit for entry in entries if (fit := self._fit(entry))]
        if not fits:
            raise self._nothing(entries)
        taken = {fit.entry.path for fit in fits}
        others = [entry for entry in entries if entry.path not in taken]
        owners = Owners.read(self._layout, self._root, others, notes)
        self._note_counts(fits, notes)
        self._note_others([e for e in others if e.path not in owners.used], notes)
        owners.absent(self._names(fits), notes)
        seen = [fit for fit in fits if fit.group.label != "voice" or self._voices]
        clips = self._clips(seen, owners, notes)
        if not clips:
            raise MissingMedia(
                f"of {len(fits)} clips under {self._root} none can be taken: "
                f"{'; '.join(notes.lines) or 'see the option voices'}."
            )
        note_unpaired(clips, notes)
        if not self._splits:
            clips, lost = apart(clips)
            if lost:
                notes.say(
                    f"{lost} clips have no split, since they share people or videos with those of "
                    "a later one; splits=owners keeps the owners' splits"
                )
        notes.tell()
        return clips

    def _is_clip(self, folder: Path, name: str) -> bool:
        fit = _match(name, self._exact["frames"])
        return fit is not None and any(is_image(path) for path in folder.iterdir())

    def _fit(self, entry: Entry) -> _Fit | None:
        """Return what an entry is; None if no pattern fits."""
        found = _match(entry.name, self._exact[_kind(entry.path)])
        if found is None:
            return None
        name, parts = found
        return _Fit(entry=entry, name=name, group=self._layout.groups[name], parts=parts)

    def _clips(self, fits: Iterable[_Fit], owners: Owners, notes: Notes) -> list[Clip]:
        clips: list[Clip] = []
        nameless: list[Path] = []
        without: dict[str, list[str]] = {}
        for fit in fits:
            parts = {**fit.parts, **owners.parts(fit.name, fit.entry.name)}
            clip = self._clip(fit, parts)
            if clip is None:
                nameless.append(fit.entry.path)
                continue
            split, why = owners.split(clip, parts)
            if why:
                without.setdefault(why, []).append(clip.video)
            clips.append(replace(clip, split=split))
        notes.left_out("not named so that an id can be made of it", nameless)
        for why, videos in without.items():
            notes.some(f"{why}, and so without a split", videos)
        return without_twins(sorted(clips, key=lambda clip: clip.label), notes)

    def _clip(self, fit: _Fit, parts: Mapping[str, str]) -> Clip | None:
        group, label = fit.group, LABELS[fit.group.label]
        video = filled(group.id, {**fit.parts, "path": fit.entry.name})
        if not ID.fullmatch(video):
            return None
        method = (filled(group.method, parts) or "unknown") if label else ""
        return Clip(
            video=video,
            media=_media(fit.entry.path),
            dataset=self._of.name,
            label=label,
            method=method,
            family=group.family if label else "",
            pair=filled(group.pair, parts) if label or group.pair else video,
            target_identity=filled(group.target, parts),
            donor_identity=filled(group.donor, parts) if label else "",
            year=self._of.year,
            generator_year=(group.generator_year or generator_year(method)) if label else None,
            licence=self._of.licence,
        )

    def _names(self, fits: Iterable[_Fit]) -> dict[str, list[str]]:
        names: dict[str, list[str]] = {name: [] for name in self._layout.groups}
        for fit in fits:
            names[fit.name].append(fit.entry.name)
        return names

    def _note_counts(self, fits: Sequence[_Fit], notes: Notes) -> None:
        for name, group in self._layout.groups.items():
            found = sum(fit.name == name for fit in fits)
            if group.label == "voice" and not self._voices:
                continue
            if not found or group.expected not in (None, found):
                should = "" if group.expected is None else f" of {group.expected}"
                notes.say(f"{name}: {found}{should} in {group.paths[0]}")
        for label, expected in self._layout.expected.items():
            found = sum(fit.group.label == label for fit in fits)
            if found != expected:
                notes.say(f"{label}: {found} of {expected}")

    def _note_others(self, entries: Iterable[Entry], notes: Notes) -> None:
        """Note what no pattern fits, with how many would if capitals did not count."""
        ignored = [compiled(pattern, {}) for pattern in self._layout.ignore]
        left = [
            entry
            for entry in entries
            if not any(i.fullmatch(str(entry.path.relative_to(self._root))) for i in ignored)
        ]
        notes.left_out("where no path of the layout fits", [entry.path for entry in left])
        if small := sum(bool(_match(e.name, self._loose[_kind(e.path)])) for e in left):
            notes.say(f"{small} of these would fit if capitals did not count")

    def _nothing(self, entries: Sequence[Entry]) -> MissingMedia:
        """Return the error that no path fits, with the folder that may be meant."""
        deeper = [e for e in entries if "/" in e.name and self._fit(_without_first(e))]
        hint = f"; {deeper[0].name.partition('/')[0]} in it looks like it" if deeper else ""
        if small := sum(bool(_match(e.name, self._loose[_kind(e.path)])) for e in entries):
            hint += f"; {small} paths would fit if capitals did not count"
        if not self._layout.verified:
            hint += "; the layout is not verified, and the option layout=FILE corrects it"
        got = f"no path of the layout fits in {self._root}, which has {listed(self._root)}{hint}"
        return nothing(self._of, got)


def _patterns(layout: Layout, *, capitals: bool = True) -> Patterns:
    found: Patterns = {"video": [], "frames": [], "picture": [], "": []}
    for name, group in layout.groups.items():
        for path in group.paths:
            found[group.media].append((name, compiled(path, group.parts, capitals=capitals)))
    return found


def _match(
    below: str, patterns: Iterable[tuple[str, re.Pattern[str]]]
) -> tuple[str, dict[str, str]] | None:
    for name, pattern in patterns:
        if match := pattern.fullmatch(below):
            return name, match.groupdict()
    return None


def _kind(path: Path) -> str:
    if is_video(path):
        return "video"
    if is_image(path):
        return "picture"
    return "frames" if path.is_dir() else ""


def _without_first(entry: Entry) -> Entry:
    return Entry(path=entry.path, name=entry.name.partition("/")[2])


def _media(path: Path) -> Path | Pictures:
    if not path.is_dir():
        return path
    pictures = [p for p in path.iterdir() if is_image(p) and not p.name.startswith(".")]
    return Pictures(paths=tuple(sorted(pictures, key=natural)))
