"""FaceForensics++: who is seen, whose pair a clip is, the official splits, and what is missing."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest

from gendkit.errors import InvalidManifest, InvalidOption, MissingMedia
from gendkit.testing.clips import manifest_of

NAME = "faceforensics"
REAL = "original_sequences/youtube/{}/videos/{}.mp4"
FAKE = "manipulated_sequences/{}/{}/videos/{}.mp4"
ACTOR = "original_sequences/actors/c23/videos/01__exit_phone_room.mp4"
DFD = "manipulated_sequences/DeepFakeDetection/c23/videos/01_02__exit_phone_room__YVGY8LOK.mp4"
METHODS = ("Deepfakes", "Face2Face", "FaceSwap", "NeuralTextures", "FaceShifter")
PAIRS = {"train": [["071", "054"]], "val": [["720", "672"]], "test": [["953", "974"]]}


def names(*, compression="c23"):
    ids = [i for pairs in PAIRS.values() for pair in pairs for i in pair]
    swaps = [f"{a}_{b}" for pairs in PAIRS.values() for p in pairs for a, b in (p, p[::-1])]
    return [
        *(REAL.format(compression, one) for one in ids),
        *(FAKE.format(m, compression, swap) for m in METHODS for swap in swaps),
    ]


def split_files(folder: Path, pairs=PAIRS) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in pairs.items():
        (folder / f"{name}.json").write_text(json.dumps(content))
    return folder


def test_a_fake_lies_over_its_target_with_the_person_of_its_source(tree, clips):
    found = clips(NAME, tree(*names(), ACTOR, DFD))
    fake, real = found["c23/Deepfakes/071_054"], found["c23/youtube/071"]
    assert (fake.label, fake.method, fake.family) == (1, "Deepfakes", "face-swap")
    assert (fake.target_identity, fake.donor_identity) == ("071", "054")
    assert fake.pair == real.pair == real.video
    assert (real.label, real.method, real.donor_identity) == (0, "", "")
    assert real.target_identity == "071"
    assert found["c23/Face2Face/054_071"].family == "reenactment"
    assert found["c23/NeuralTextures/054_071"].pair == "c23/youtube/054"
    assert {c.licence for c in found.values()} == {"FaceForensics Terms of Use"}
    assert (fake.year, found["c23/FaceShifter/071_054"].year) == (2019, 2020)


def test_a_video_of_actors_belongs_to_the_scene_of_its_first_actor(tree, clips):
    found = clips(NAME, tree(*names(), ACTOR, DFD), methods="DeepFakeDetection")
    assert list(found) == [
        "c23/actors/01__exit_phone_room",
        "c23/DeepFakeDetection/01_02__exit_phone_room__YVGY8LOK",
    ]
    real, fake = found.values()
    assert fake.pair == real.pair == "c23/actors/01__exit_phone_room"
    assert (fake.target_identity, fake.donor_identity) == ("actor-01", "actor-02")
    assert real.target_identity == "actor-01"


@pytest.mark.parametrize("place", ["", "splits", "dataset/splits"])
def test_official_splits_are_read_from_the_users_copy_and_do_not_leak(tree, clips, place):
    root = tree(*names(), ACTOR, DFD)
    split_files(root / place)
    found = clips(NAME, root)
    assert found["c23/youtube/054"].split == found["c23/FaceSwap/071_054"].split == "train"
    assert found["c23/youtube/672"].split == found["c23/FaceSwap/672_720"].split == "development"
    assert found["c23/youtube/974"].split == found["c23/FaceSwap/953_974"].split == "final"
    assert {c.split for c in found.values() if "actor" in c.target_identity} == {""}
    manifest_of(list(found.values())).check_no_leak()


def test_split_files_of_another_folder_are_taken_when_it_is_named(tree, clips, tmp_path):
    root, splits = tree(*names()), split_files(tmp_path / "mine")
    assert clips(NAME, root, splits=str(splits))["c23/youtube/054"].split == "train"
    with pytest.raises(MissingMedia, match=r"no folder; expected one with the owners' train\.json"):
        clips(NAME, root, splits=tmp_path / "absent")


def test_without_split_files_no_clip_has_a_split_and_it_is_told(tree, clips, caplog):
    found = clips(NAME, tree(*names()))
    assert {c.split for c in found.values()} == {""}
    assert "no train.json, val.json, test.json in" in caplog.text
    assert "dataset/splits of https://github.com/ondyari/FaceForensics" in caplog.text


def test_counts_and_absent_folders_are_told_in_one_warning(tree, clips, caplog):
    there = [n for n in names() if "Face2Face" not in n and "youtube/c23/videos/071" not in n]
    root = tree(*there)
    split_files(root)
    found = clips(NAME, root)
    assert len(found) == 5 + 4 * 6
    [record] = caplog.records
    assert (record.levelno, record.name) == (logging.WARNING, "gendkit_benchmarks.tree")
    told = record.getMessage()
    assert told.startswith(f"faceforensics in {root}: ")
    assert "Face2Face: 0 of 1000 videos in manipulated_sequences/Face2Face/c23" in told
    assert "youtube: 5 of 1000 videos" in told
    assert "actors: 0 of 363 videos" in told
    assert "DeepFakeDetection: 0 of 3068 videos" in told
    assert "in a split file, but without a video: 1, 071" in told
    assert "fakes without their real clip: 4, c23/Deepfakes/071_054, " in told
    assert found["c23/Deepfakes/071_054"].pair == "c23/youtube/071"


def test_a_complete_dataset_says_nothing(tree, clips, caplog):
    ids = [f"{i:03}" for i in range(1000)]
    swaps = [f"{a}_{b}" for a, b in zip(ids, ids[1::-1] + ids[2:], strict=True)]
    files = [REAL.format("raw", i) for i in ids]
    root = tree(*files, *(FAKE.format("Deepfakes", "raw", s) for s in swaps))
    pairs = [list(p) for p in zip(ids[::2], ids[1::2], strict=True)]
    split_files(root, {"train": pairs[:360], "val": pairs[360:430], "test": pairs[430:]})
    found = clips(NAME, root, methods="Deepfakes", compression="raw")
    assert len(found) == 2000
    splits = [clip.split for clip in found.values()]
    assert (splits.count("train"), splits.count("final")) == (1440, 280)
    assert not caplog.records


def test_misnamed_and_extra_files_are_left_out_or_without_a_split(tree, clips, caplog):
    extra = ["c23/videos/071_054_1", "c23/videos/71_54", "c23/videos/800_801", "c23/videos/071_720"]
    root = tree(*names(), *(f"manipulated_sequences/FaceSwap/{e}.mp4" for e in extra))
    tree(
        "manipulated_sequences/FaceSwap/c23/videos/notes.txt",
        "original_sequences/youtube/c23/videos/._071.mp4",
    )
    split_files(root)
    found = clips(NAME, root, methods=["FaceSwap"])
    assert len(found) == 6 + 6 + 2
    assert found["c23/FaceSwap/800_801"].split == found["c23/FaceSwap/071_720"].split == ""
    assert "not named as FaceSwap are: 2, " in caplog.text
    assert "in no split file, and so without a split: 1, c23/FaceSwap/800_801" in caplog.text
    assert "of people of two splits, and so without one: 1, c23/FaceSwap/071_720" in caplog.text


def test_one_compression_is_read_and_the_others_are_told_if_it_is_not_there(tree, clips):
    root = tree(*names(compression="c40"), *names(compression="raw"))
    assert all(video.startswith("raw/") for video in clips(NAME, root, compression="raw"))
    with pytest.raises(MissingMedia, match=r"no c23 video .*; of compressions there is c40, raw; "):
        clips(NAME, root)


def test_nothing_at_all_is_an_error_that_tells_the_layout_and_where_access_is_given(tree, clips):
    root = tree("Deepfakes/000_003.mp4")
    with pytest.raises(MissingMedia) as error:
        clips(NAME, root)
    for words in (str(root), "has Deepfakes", "manipulated_sequences/METHOD", "ondyari/FaceFor"):
        assert words in str(error.value)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("[[", "is no JSON, line 1"),
        ('{"071": "054"}', "expected as a list of pairs"),
        ('[["071", 54]]', "expected as a list of pairs"),
        ('[["720", "054"]]', "names '720', which is of the split development already"),
    ],
)
def test_a_split_file_that_is_none_is_refused(tree, clips, content, told):
    root = tree(*names())
    split_files(root)
    (root / "test.json").write_text(content)
    with pytest.raises(InvalidManifest, match=told):
        clips(NAME, root)


def test_unknown_options_are_refused_with_the_known_ones(tree, clips):
    with pytest.raises(InvalidOption, match="'c22'; expected raw, c23, c40"):
        clips(NAME, tree(*names()), compression="c22")
    with pytest.raises(InvalidOption, match="no method 'DF'; there is Deepfakes, Face2Face"):
        clips(NAME, tree(*names()), methods=["DF"])
    with pytest.raises(InvalidOption, match="no method 5; there is"):
        clips(NAME, tree(*names()), methods=5)


def test_links_to_folders_on_other_disks_are_followed(tree, clips, tmp_path):
    root = tree(*(name for name in names() if name.startswith("original")))
    away = tmp_path / "disk" / "c23" / "videos"
    away.mkdir(parents=True)
    (away / "071_054.mp4").touch()
    (root / "manipulated_sequences").mkdir()
    (root / "manipulated_sequences/FaceSwap").symlink_to(tmp_path / "disk")
    fake = clips(NAME, root, methods="FaceSwap")["c23/FaceSwap/071_054"]
    assert fake.media == root / "manipulated_sequences/FaceSwap/c23/videos/071_054.mp4"


MASK = "manipulated_sequences/{}/masks/videos/{}.mp4"


def test_masks_are_brought_where_they_are_asked_for(tree, clips, caplog):
    there = [MASK.format("FaceSwap", "071_054"), MASK.format("Deepfakes", "071_054")]
    root = tree(*names(), *there)
    plain = clips(NAME, root)
    found = clips(NAME, root, masks=True)
    assert list(found) == list(plain)
    assert plain["c23/FaceSwap/071_054"].media == found["c23/FaceSwap/071_054"].media.video
    assert found["c23/FaceSwap/071_054"].media.masks == root / there[0]
    # A real clip has none of its own: it is the first of its fakes'.
    assert found["c23/youtube/071"].media.masks == root / there[1]
    assert found["c23/youtube/071"].media.video == plain["c23/youtube/071"].media
    assert found["c23/youtube/054"].media == plain["c23/youtube/054"].media
    absent = 5 * 6 - 2
    assert (
        f"fakes without a video in masks/videos: {absent}, c23/Deepfakes/054_071, " in caplog.text
    )


def test_masks_are_true_or_false(tree, clips):
    with pytest.raises(InvalidOption, match="masks is 'yes'; expected true or false"):
        clips(NAME, tree(*names()), masks="yes")
