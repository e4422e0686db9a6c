"""Celeb-DF v2: `idT_idD_NNNN.mp4` lies over Celeb-real's `idT_NNNN.mp4`, with the face of idD.

Sources: the README of the owners' repository for the folders and their numbers; issue 6 there for
the names (`aa_bb_cc`: the original person, the swapped one, the index of the video); the
preprocessing of DeepfakeBench for the lines of the list.

- The list of testing videos shares people with the other videos: who is seen in one is seen, or
  lent a face, in the other. So the list is the final split, and the rest has none unless `rest`
  says train, which is then told with the number of people in both. Wherever splits are checked,
  such clips are refused as a leak: a score of a model trained on them is about known people.
- Nobody says who is seen in YouTube-real.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath

from gendkit.errors import InvalidLabels, InvalidManifest, InvalidOption
from gendkit.plugin.protocols import Clip
from gendkit_benchmarks.facts import CELEB_DF, Benchmark
from gendkit_benchmarks.tree import Notes, Part, listed, note_unpaired, nothing, opened, text_of

LIST = "List_of_testing_videos.txt"
CELEB = Part(
    name="Celeb-real", folder="Celeb-real", expected=590, pattern=r"(?P<target>id\d+)_\d{4}"
)
YOUTUBE = Part(name="YouTube-real", folder="YouTube-real", expected=300, pattern=r"\d{5}")
SYNTHESIS = Part(
    name="Celeb-synthesis", folder="Celeb-synthesis", expected=5639,
    pattern=r"(?P<target>id\d+)_(?P<donor>id\d+)_(?P<index>\d{4})",
    method="Celeb-DF", family="face-swap", pair="Celeb-real/{target}_{index}",
)  # fmt: skip


class CelebDF:
    """The clips of a tree of Celeb-DF.

    Parameters
    ----------
    root
        The folder with Celeb-real, YouTube-real and Celeb-synthesis.
    rest
        The split of what is not in the list of testing videos: nothing, or train.
    of, parts, in_list
        The dataset, its folders, and how many videos the owners' list names. Where that is not
        known, neither is what stands before a name in the list: it is not compared.

    Raises
    ------
    InvalidOption
        For another split.
    MissingMedia
        If there is no such folder.
    """

    def __init__(
        self,
        root: str | Path | None,
        *,
        rest: str,
        of: Benchmark = CELEB_DF,
        parts: Sequence[Part] = (CELEB, YOUTUBE, SYNTHESIS),
        in_list: int | None = 518,
    ) -> None:
        if rest not in ("", "train"):
            raise InvalidOption(f"rest is {rest!r}; expected train, or nothing.")
        self._of, self._parts, self._in_list = of, parts, in_list
        self._root, self._rest = opened(root, of), rest

    def clips(self) -> list[Clip]:
        """Return the clips, real ones first; what is missing is told in one warning.

        Raises
        ------
        MissingMedia
            If there is no clip at all.
        InvalidManifest
            For a line of the list that is none.
        InvalidLabels
            If the list calls real what lies in the folder of fakes, or the other way round.
        """
        notes = Notes(self._of, self._root)
        clips = [clip for part in self._parts for clip in part.clips(self._root, notes)]
        if not clips:
            raise nothing(self._of, f"no video under {self._root}, which has {listed(self._root)}")
        note_unpaired(clips, notes)
        testing = self._testing(notes)
        found = []
        for clip in clips:
            if testing.get(clip.video) not in (None, clip.label) and self._in_list:
                raise InvalidLabels(
                    f"{self._root / LIST} has another label for {clip.video} than its folder, "
                    f"{'fake' if clip.label else 'real'}; in the list, 1 is real and 0 fake."
                )
            rest = self._rest if testing else ""
            found.append(replace(clip, split="final" if clip.video in testing else rest))
        there = {clip.video for clip in clips}
        notes.some(f"in {LIST}, but without a video", sorted(set(testing) - there))
        if self._rest and (both := _people(found, "train") & _people(found, "final")):
            notes.say(
                f"{len(both)} people are in train and in final; the official list shares them"
            )
        notes.tell()
        return found

    def _testing(self, notes: Notes) -> Mapping[str, int]:
        """Return the label of each video of the list."""
        path = self._root / LIST
        if not path.is_file():
            notes.say(f"no {LIST}, so that no clip has a split")
            return {}
        testing: dict[str, int] = {}
        for number, line in enumerate(text_of(path, kind="a list").splitlines(), start=1):
            if not line.strip():
                continue
            real, _, name = line.strip().partition(" ")
            if (real not in ("0", "1") and self._in_list) or not name.strip():
                raise InvalidManifest(
                    f"{path}, line {number}, is {line!r}; expected such as "
                    "'1 Celeb-real/id0_0000.mp4', where 1 is real."
                )
            testing[str(PurePosixPath(name.strip()).with_suffix(""))] = int(real != "1")
        if self._in_list not in (None, len(testing)):
            notes.say(f"{LIST} names {len(testing)} videos of {self._in_list}")
        return testing


def _people(clips: Sequence[Clip], split: str) -> set[str]:
    named = {p for c in clips if c.split == split for p in (c.target_identity, c.donor_identity)}
    return named - {""}
