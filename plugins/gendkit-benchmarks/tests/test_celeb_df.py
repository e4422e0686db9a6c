"""Celeb-DF v2: names, the list of testing videos, and that it shares people with the rest."""

from __future__ import annotations

import pytest

from gendkit.errors import InvalidLabels, InvalidManifest, InvalidOption, MissingMedia
from gendkit.testing.clips import manifest_of

NAME = "celeb-df"
FILES = (
    "Celeb-real/id0_0000.mp4",
    "Celeb-real/id1_0000.mp4",
    "Celeb-real/id1_0001.mp4",
    "YouTube-real/00000.mp4",
    "Celeb-synthesis/id0_id1_0000.mp4",
    "Celeb-synthesis/id1_id0_0001.mp4",
)
LIST = "List_of_testing_videos.txt"


def listing(root, *lines):
    (root / LIST).write_text("".join(f"{line}\n" for line in lines))
    return root


def test_a_fake_lies_over_the_video_of_its_first_person(tree, clips):
    found = clips(NAME, tree(*FILES))
    assert list(found) == [name.removesuffix(".mp4") for name in FILES]
    fake, real = found["Celeb-synthesis/id1_id0_0001"], found["Celeb-real/id1_0001"]
    assert (fake.label, fake.method, fake.family) == (1, "Celeb-DF", "face-swap")
    assert (fake.target_identity, fake.donor_identity) == ("id1", "id0")
    assert fake.pair == real.pair == "Celeb-real/id1_0001"
    assert (real.label, real.target_identity, real.method) == (0, "id1", "")
    other = found["YouTube-real/00000"]
    assert (other.label, other.target_identity, other.pair) == (0, "", "YouTube-real/00000")
    assert {(c.licence, c.year) for c in found.values()} == {("Terms to Use Celeb-DF", 2019)}


def test_the_list_is_the_final_split_and_the_rest_has_none(tree, clips, caplog):
    root = listing(tree(*FILES), "1 Celeb-real/id0_0000.mp4", "0 Celeb-synthesis/id0_id1_0000.mp4")
    found = clips(NAME, root)
    final = {video for video, clip in found.items() if clip.split == "final"}
    assert final == {"Celeb-real/id0_0000", "Celeb-synthesis/id0_id1_0000"}
    assert {c.split for video, c in found.items() if video not in final} == {""}
    manifest_of(list(found.values())).check_no_leak()
    assert f"{LIST} names 2 videos of 518" in caplog.text
    assert "people are in train" not in caplog.text


def test_the_rest_as_train_shares_people_which_is_told_and_refused_as_a_leak(tree, clips, caplog):
    root = listing(tree(*FILES), "1 Celeb-real/id0_0000.mp4", "0 Celeb-synthesis/id0_id1_0000.mp4")
    found = clips(NAME, root, rest="train")
    assert found["Celeb-real/id1_0001"].split == "train"
    assert "2 people are in train and in final; the official list shares them" in caplog.text
    with pytest.raises(InvalidManifest, match="linked by a target or donor"):
        manifest_of(list(found.values())).check_no_leak()


def test_without_the_list_no_clip_has_a_split(tree, clips, caplog):
    found = clips(NAME, tree(*FILES), rest="train")
    assert {c.split for c in found.values()} == {""}
    assert f"no {LIST}, so that no clip has a split" in caplog.text


def test_what_is_missing_misnamed_or_only_in_the_list_is_told(tree, clips, caplog):
    files = [n for n in FILES if n != "Celeb-real/id0_0000.mp4" and not n.startswith("YouTube")]
    root = tree(*files, "Celeb-synthesis/id0-id1.mp4", "Celeb-real/readme.txt")
    listing(root, "1 Celeb-real/id0_0000.mp4", "", "1 Celeb-real/id1_0000.mp4")
    found = clips(NAME, root)
    assert len(found) == 4
    [record] = caplog.records
    told = record.getMessage()
    assert "YouTube-real: 0 of 300 videos in YouTube-real" in told
    assert "Celeb-synthesis: 3 of 5639 videos" in told
    assert "left out, as they are not named as Celeb-synthesis are: 1, " in told
    assert "fakes without their real clip: 1, Celeb-synthesis/id0_id1_0000" in told
    assert f"in {LIST}, but without a video: 1, Celeb-real/id0_0000" in told


def test_a_list_that_contradicts_the_folders_is_refused(tree, clips):
    with pytest.raises(InvalidLabels, match="another label for Celeb-real/id0_0000 than its fold"):
        clips(NAME, listing(tree(*FILES), "0 Celeb-real/id0_0000.mp4"))


@pytest.mark.parametrize("line", ["Celeb-real/id0_0000.mp4", "2 Celeb-real/id0_0000.mp4", "1"])
def test_a_line_of_the_list_that_is_none_is_refused(tree, clips, line):
    with pytest.raises(InvalidManifest, match=f"{LIST}, line 1, is "):
        clips(NAME, listing(tree(*FILES), line))


def test_nothing_at_all_tells_the_layout_and_where_access_is_given(tree, clips):
    root = tree("real/id0_0000.mp4")
    with pytest.raises(MissingMedia, match=r"has real; .* Celeb-real/idT_NNNN\.mp4.*yuezunli"):
        clips(NAME, root)
    with pytest.raises(InvalidOption, match="'final'; expected train, or nothing"):
        clips(NAME, tree(*FILES), rest="final")
