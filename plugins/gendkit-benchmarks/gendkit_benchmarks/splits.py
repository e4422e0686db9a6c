"""Which clips hang together, and what that means for the owners' splits.

Clips are linked as in `gendkit.data.manifest.Manifest.components`: by a target clip, or by a person
who is seen or lends a face in both.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace

from gendkit.data.columns import SPLITS
from gendkit.plugin.protocols import Clip


def across(clips: Sequence[Clip]) -> list[list[Clip]]:
    """Return the components that have clips of more than one split."""
    together: dict[tuple[str, str], list[Clip]] = defaultdict(list)
    roots = _Roots()
    for clip in clips:
        first, *others = _links(clip)
        for other in others:
            roots.join(first, other)
    for clip in clips:
        together[roots.of(next(iter(_links(clip))))].append(clip)
    return [found for found in together.values() if len({c.split for c in found} - {""}) > 1]


def apart(clips: Sequence[Clip]) -> tuple[list[Clip], int]:
    """Return the clips with splits that share nothing, and how many have lost theirs.

    Of a component in several splits, only the clips of the last of them keep it.
    """
    lost: dict[str, str] = {}
    for component in across(clips):
        last = max((clip.split for clip in component if clip.split), key=SPLITS.index)
        lost |= {c.video: "" for c in component if c.split not in ("", last)}
    return [replace(c, split=lost.get(c.video, c.split)) for c in clips], len(lost)


def _links(clip: Clip) -> Iterable[tuple[str, str]]:
    yield "video", clip.video
    if clip.pair:
        yield "video", clip.pair
    for person in (clip.target_identity, clip.donor_identity):
        if person:
            yield "identity", person


class _Roots:
    """Sets that are joined; each is known by one of its members."""

    def __init__(self) -> None:
        self._up: dict[tuple[str, str], tuple[str, str]] = {}

    def of(self, one: tuple[str, str]) -> tuple[str, str]:
        path = []
        while (up := self._up.get(one, one)) != one:
            path.append(one)
            one = up
        for passed in path:
            self._up[passed] = one
        return one

    def join(self, one: tuple[str, str], other: tuple[str, str]) -> None:
        self._up[self.of(other)] = self.of(one)
