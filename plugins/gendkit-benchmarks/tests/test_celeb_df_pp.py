"""Celeb-DF++: 22 methods of three kinds, of which only Celeb-DF's own have known names."""

from __future__ import annotations

import pytest

import gendkit as gk
from gendkit.errors import MissingMedia
from gendkit.plugin import plugins

NAME = "celeb-df-pp"
REAL = ("Celeb-real/id0_0000.mp4", "YouTube-real/00000.mp4")
FAKE = (
    "Celeb-synthesis/FaceSwap/GHOST/id0_id1_0000.mp4",
    "Celeb-synthesis/FaceReenact/LIA/id0_0000_id1.mp4",
    "Celeb-synthesis/TalkingFace/IP_LAP/id0_0000.mp4",
)


@pytest.mark.parametrize("old", ["Celeb-DF", "Celeb-DF-v2"])
def test_folders_say_method_and_family_and_only_old_names_say_people(tree, clips, old):
    known = f"Celeb-synthesis/FaceSwap/{old}/id0_id1_0000.mp4"
    found = clips(NAME, tree(*REAL, *FAKE, known))
    assert {v: (c.label, c.method, c.family) for v, c in found.items()} == {
        "Celeb-real/id0_0000": (0, "", ""),
        "YouTube-real/00000": (0, "", ""),
        f"Celeb-synthesis/FaceSwap/{old}/id0_id1_0000": (1, "Celeb-DF", "face-swap"),
        "Celeb-synthesis/FaceSwap/GHOST/id0_id1_0000": (1, "GHOST", "face-swap"),
        "Celeb-synthesis/FaceReenact/LIA/id0_0000_id1": (1, "LIA", "reenactment"),
        "Celeb-synthesis/TalkingFace/IP_LAP/id0_0000": (1, "IP_LAP", "talking-face"),
    }
    swap = found[f"Celeb-synthesis/FaceSwap/{old}/id0_id1_0000"]
    assert swap.pair == "Celeb-real/id0_0000"
    assert (swap.target_identity, swap.donor_identity, swap.year) == ("id0", "id1", 2019)
    ghost = found["Celeb-synthesis/FaceSwap/GHOST/id0_id1_0000"]
    assert (ghost.pair, ghost.target_identity, ghost.donor_identity) == ("", "", "")
    assert (ghost.year, ghost.licence) == (2025, "Terms to Use Celeb-DF++")


def test_the_list_is_the_final_split_and_absent_methods_are_told(tree, clips, caplog):
    root = tree(*REAL, *FAKE)
    (root / "List_of_testing_videos.txt").write_text(f"0 {REAL[1]}\nGHOST {FAKE[0]}\n")
    found = clips(NAME, root)
    assert [v for v, c in found.items() if c.split == "final"] == [
        "YouTube-real/00000",
        "Celeb-synthesis/FaceSwap/GHOST/id0_id1_0000",
    ]
    [record] = caplog.records
    told = record.getMessage()
    assert "Celeb-synthesis/FaceSwap/SimSwap: 0 videos in" in told
    assert "Celeb-synthesis/FaceSwap/Celeb-DF: 0 of 5639 videos in" in told
    assert "GHOST" not in told


def test_there_are_22_methods_and_the_summary_says_what_is_not_verified(tree, clips):
    from gendkit_benchmarks.celeb_df_pp import KINDS

    assert 1 + sum(len(methods) for _, methods in KINDS.values()) == 22
    assert "verified=False" in plugins().spec("dataset", NAME).summary
    with pytest.raises(MissingMedia, match=r"Celeb-synthesis/KIND/METHOD.*OUC-VAS/Celeb-DF-PP"):
        gk.dataset(NAME, tree("GHOST/a.mp4")).clips()
