"""Clips that hang together, and the owners' splits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gendkit.plugin import Clip
from gendkit.testing.clips import manifest_of
from gendkit_benchmarks.splits import across, apart


def clip(video: str, split: str, **known: Any) -> Clip:
    return Clip(video=video, media=Path(), dataset="set", label=0, split=split, **known)


@pytest.mark.parametrize(
    "link",
    [
        ({"pair": "a"}, {"pair": "a"}),
        ({"pair": "b"}, {}),
        ({"target_identity": "ann"}, {"target_identity": "ann"}),
        ({"target_identity": "ann"}, {"donor_identity": "ann"}),
    ],
)
def test_of_clips_that_share_a_video_or_a_person_the_last_split_is_kept(link):
    clips = [clip("a", "train", **link[0]), clip("b", "final", **link[1]), clip("c", "train")]
    found, lost = apart(clips)
    assert [c.split for c in found] == ["", "final", "train"]
    assert lost == 1
    manifest_of(found).check_no_leak()


def test_clips_are_linked_through_others_that_have_no_split():
    chain = [
        clip("a", "train", target_identity="ann"),
        clip("b", "", target_identity="ann", donor_identity="bob"),
        clip("c", "development", target_identity="bob"),
    ]
    assert [[c.video for c in found] for found in across(chain)] == [["a", "b", "c"]]
    assert [c.split for c in apart(chain)[0]] == ["", "", "development"]


def test_what_shares_nothing_stays_as_it_is():
    clips = [clip("a", "train", target_identity="ann"), clip("b", "final", target_identity="bob")]
    assert apart(clips) == (clips, 0)
    assert across(clips) == []
