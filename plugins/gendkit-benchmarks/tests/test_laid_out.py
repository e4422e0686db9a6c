"""The datasets of the table: what names and files of the owners say, and what is missing."""

from __future__ import annotations

import json
import os
import random
from pathlib import Path

import miniatures
import pytest
from miniatures import ANN, BOB, EVE

from gendkit.errors import InvalidManifest, InvalidOption, MissingMedia
from gendkit.testing.clips import manifest_of

NAMES = list(miniatures.TABLE)
KODF = "1.Training/원천데이터/train_변조"
FAKES = {
    "uadfv": {
        "fake/0001_fake": ("FakeApp", "face-swap", "real/0001", "", "", "", 2018),
    },
    "dfdm": {
        "crf23/IAE/id28_id20_0008":
            ("IAE", "face-swap", "Celeb-real/id28_0008", "id28", "id20", "", None),
        "crf0/Dfaker/id20_id28_0003":
            ("Dfaker", "face-swap", "Celeb-real/id20_0003", "id20", "id28", "", None),
    },
    "ffiw": {
        "target/train/train_00000001":
            ("unknown", "face-swap", "source/train/train_00000001", "", "", "train", None),
        "target/val/val_00000000":
            ("unknown", "face-swap", "source/val/val_00000000", "", "", "development", None),
    },
    "kodf": {
        f"dfl/{ANN}_{BOB}_1_0001":
            ("dfl", "face-swap", f"real/{ANN}_001", ANN, BOB, "train", None),
        f"fo/{EVE}_{EVE}_4_0003":
            ("fo", "reenactment", f"real/{EVE}_001", EVE, EVE, "development", 2019),
        f"audio-driven/{BOB}_{BOB}_5_0002":
            ("audio-driven", "talking-face", f"real/{BOB}_002", BOB, "", "train", None),
    },
    "polyglotfake": {
        "fake/es_1_to_ru_Xtts": ("Wav2Lip", "lip-sync", "real/es_1", "", "", "", 2020),
        "fake/es_2_to_ru_Bark": ("video_retalking", "lip-sync", "real/es_2", "", "", "", 2022),
    },
    "idforge": {
        "face_tts/id02/id02_07/id02_scene_0083_0_simswap":
            ("simswap", "face-swap", "", "", "id02", "final", 2020),
        "lip_tts_textgen/id01/id01_00/a": ("Wav2Lip", "lip-sync", "", "id01", "", "", 2020),
    },
    "deepspeak-v1-1": {
        "facefusion/0-1--4095-4931--0":
            ("facefusion", "face-swap", "real/1-4931", "1", "0", "train", 2023),
        "wav2lip/11-11--4897-4897--0":
            ("wav2lip", "lip-sync", "", "11", "", "final", 2020),
    },
    "deepspeak-v2": {
        "facefusion/4095-4931-real":
            ("facefusion", "face-swap", "real/1-4931", "1", "0", "train", 2023),
        "diff2lip/4100-4100-playht":
            ("diff2lip", "lip-sync", "", "10", "", "final", 2023),
        "memo/4897-4897-elevenlabs":
            ("memo", "talking-face", "", "11", "", "final", 2024),
    },
    "df40": {
        "simswap/ff/000_003":
            ("simswap", "face-swap", "real/ff/000", "ff-000", "ff-003", "train", 2020),
        "simswap/cdf/id0_id1_0000":
            ("simswap", "face-swap", "real/cdf/id0_0000", "id0", "id1", "", 2020),
        "sadtalker/ff/010": ("sadtalker", "reenactment", "real/ff/010", "ff-010", "", "", 2022),
        "ddim/ff/000": ("ddim", "entire-face-synthesis", "", "", "", "", 2020),
        "stargan/fake/c": ("stargan", "face-editing", "", "", "", "", 2017),
    },
}  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_a_fake_tells_its_method_pair_people_and_split(name, mini, clips):
    found = clips(name, mini(name))
    for video, expected in FAKES[name].items():
        clip = found[video]
        got = (clip.method, clip.family, clip.pair, clip.target_identity, clip.donor_identity)
        assert (*got, clip.split, clip.generator_year) == expected, video
        assert clip.label == 1
        assert not clip.pair or found[clip.pair].label == 0


@pytest.mark.parametrize("name", NAMES)
def test_a_real_clip_is_its_own_pair_and_comes_first(name, mini, clips):
    found = list(clips(name, mini(name)).values())
    labels = [clip.label for clip in found]
    assert labels == sorted(labels)
    assert set(labels) == {0, 1}
    for clip in found:
        if clip.label == 0:
            assert (clip.pair, clip.donor_identity, clip.generator_year) == (clip.video, "", None)
    assert len({clip.licence for clip in found}) == 1


@pytest.mark.parametrize("name", NAMES)
def test_clips_that_hang_together_are_never_of_two_splits(name, mini, clips):
    manifest_of(list(clips(name, mini(name)).values())).check_no_leak()


@pytest.mark.parametrize("name", NAMES)
def test_what_the_owners_files_would_say_is_told_if_they_are_gone(name, mini, clips, caplog):
    text = [k for k, v in miniatures.TABLE[name]().items() if v is not None]
    found = clips(name, mini(name, without=tuple(text)))
    told = caplog.text
    assert len(found) == len(clips(name, mini(name, root="whole")))
    wanted = {
        "kodf": "영상_{split}_메타데이터.csv, which gives target, donor, original",
        "polyglotfake": "no **/all_fake_video.json, which gives sync",
        "idforge": "IDForge_v1/test.csv, which gives what is final",
        "deepspeak-v1-1": "no **/annotations-split-def.csv, which gives the split of each person",
        "deepspeak-v2": "no **/annotations-fake.csv, which gives donor, target, recording",
        "df40": "no **/*.json, which gives the splits",
    }
    assert wanted.get(name, "") in told
    if text:
        assert {clip.split for clip in found.values()} == {""}


def test_without_the_metadata_a_name_alone_says_less(mini, clips):
    kodf = clips("kodf", mini("kodf", without=(".csv",)))
    fake = kodf[f"dfl/{ANN}_{BOB}_1_0001"]
    assert (fake.target_identity, fake.donor_identity, fake.pair) == (ANN, BOB, "")
    deepspeak = clips("deepspeak-v2", mini("deepspeak-v2", without=(".csv",), root="deepspeak"))
    fake = deepspeak["facefusion/4095-4931-real"]
    assert (fake.target_identity, fake.pair) == ("", "")
    dubbed = clips("polyglotfake", mini("polyglotfake", without=(".json",), root="dubbed"))
    assert dubbed["fake/es_1_to_ru_Xtts"].method == "unknown"


GONE = {
    "uadfv": ("fake/", "fake: 0 of 49 in fake/{video}_fake"),
    "dfdm": ("Celeb-real/", "real: 0 of 590 in Celeb-real/{target}_{index}"),
    "ffiw": ("source/", "real: 0 of 9988 in source/{split}/{video}"),
    "kodf": ("_원본/", "real: 0 of 62166"),
    "polyglotfake": ("real/es", "real: 0 of 766 in"),
    "idforge": ("face_tts", "face: 0 in main/{kind}/{person}/{session}/{name}_{swapper}"),
    "deepspeak-v1-1": ("wav2lip", "lip-sync: 0 in"),
    "deepspeak-v2": ("memo", "avatar: 0 in"),
    "df40": ("FaceForensics++", "real-ff: 0 in"),
}


@pytest.mark.parametrize("name", NAMES)
def test_a_folder_that_is_missing_is_told_in_one_warning(name, mini, clips, caplog):
    without, expected = GONE[name]
    assert clips(name, mini(name, without=(without,)))
    [record] = caplog.records
    assert expected in record.getMessage()
    if name in ("uadfv", "idforge", "deepspeak-v1-1", "deepspeak-v2"):
        return
    assert "fakes without their real clip: " in record.getMessage()


def test_names_of_another_case_suffix_or_level_are_left_out_and_counted(mini, clips, caplog):
    more = ("Real/0002.mp4", "real/0003.txt", "real/a/b/0004.mp4", "real/0005.mkv", "readme.txt")
    found = clips("uadfv", mini("uadfv", *more))
    assert "real/0005" in found
    assert len(found) == 5
    [record] = caplog.records
    told = record.getMessage()
    assert (
        "left out, as they are where no path of the layout fits: 4, Real/0002.mp4, readme.txt, "
        "real/0003.txt and others"
    ) in told
    assert "1 of these would fit if capitals did not count" in told


MISNAMED = {
    "uadfv": ("fake/0000_fake.mp4", "Fake/0000_fake.mp4", "fake/extra/0000_fake.mp4"),
    "dfdm": (
        "DFDM_crf23/any/id28_id20_0008_3iae.mp4", "DFDM_crf23/any/id28_id20_0008_3IAE.mp4",
        "DFDM/DFDM_crf23/id28_id20_0008_3iae.mp4",
    ),
    "ffiw": (
        "target/train/train_00000000.mp4", "target/Train/train_00000000.mp4",
        "target/fake/train/train_00000000.mp4",
    ),
    "kodf": (
        f"{KODF}/dfl1/{ANN}/{ANN}_{BOB}_1_0001.mp4", f"{KODF}/DFL1/{ANN}/{ANN}_{BOB}_1_0001.mp4",
        f"{KODF}/extra/dfl1/{ANN}_{BOB}_1_0001.mp4",
    ),
    "polyglotfake": (
        "fake/to_ru/es_1_to_ru_Xtts.mp4", "fake/to_RU/es_1_to_RU_Xtts.mp4",
        "fake/to_ru/extra/es_1_to_ru_Xtts.mp4",
    ),
    "idforge": (
        "main/lip_tts_textgen/id01/id01_00/a.mp4", "main/Lip_tts_textgen/id01/id01_00/a.mp4",
        "main/extra/lip_tts_textgen/id01/id01_00/a.mp4",
    ),
    "deepspeak-v1-1": (
        "videos/wav2lip--11-11--4897-4897--0.mp4", "videos/Wav2Lip--11-11--4897-4897--0.mp4",
        "videos/wav2lip--11-11--4897-4897--0-extra.mp4",
    ),
    "deepspeak-v2": (
        "part-1/memo-4897-4897-elevenlabs.mp4", "part-1/MEMO-4897-4897-elevenlabs.mp4",
        "part-1/memo-4897-4897.mp4",
    ),
    "df40": (
        "DF40/stargan/fake/c.png", "DF40/StarGAN/fake/c.png", "DF40/stargan/c.png"
    ),
}  # fmt: skip
"""A file, and two names that it might have by mistake: in other capitals, and at another level."""


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("kind", ["capitals", "level", "suffix"])
def test_what_is_misnamed_is_left_out_and_named_and_never_guessed(name, kind, mini, clips, caplog):
    right, capitals, level = MISNAMED[name]
    wrong = {"capitals": capitals, "level": level, "suffix": f"{right}.part"}[kind]
    whole = clips(name, mini(name, root="whole"))
    caplog.clear()
    found = clips(name, mini(name, wrong, without=(right,)))
    assert set(found) < set(whole)
    assert len(found) == len(whole) - 1
    [record] = caplog.records
    told = record.getMessage()
    assert f"left out, as they are where no path of the layout fits: 1, {wrong}" in told
    assert ("would fit if capitals did not count" in told) == (kind == "capitals")


def test_a_tree_all_in_other_capitals_is_told_so(tree, clips):
    root = tree("Real/0000.mp4", "Fake/0000_fake.mp4", "Fake/notes.txt")
    with pytest.raises(MissingMedia, match=r"; 2 paths would fit if capitals did not count"):
        clips("uadfv", root)


def test_edits_of_df40_that_lie_in_one_folder_are_a_clip_each(tree, clips):
    """As the owners' issue 41 has it: pictures below cdf, a folder a video below ff."""
    root = tree(
        "DF40/e4e/cdf/Celeb-real/inversions/00001.jpg",
        "DF40/e4e/cdf/Celeb-real/inversions/00002.jpg",
        "DF40/e4e/cdf/Youtube-real/inversions/00001.jpg",
        "DF40/e4e/ff/000/00001.jpg",
        "DF40/e4e/ff/000/00002.jpg",
    )
    found = clips("df40", root)
    assert set(found) == {
        "e4e/cdf/Celeb-real/00001", "e4e/cdf/Celeb-real/00002", "e4e/cdf/Youtube-real/00001",
        "e4e/ff/000",
    }  # fmt: skip
    assert {(clip.method, clip.family) for clip in found.values()} == {("e4e", "face-editing")}


def test_df40_is_found_under_either_name_of_its_domains(tree, clips):
    root = tree("simswap/ffpp/frames/000_003/0.png", "tpsm/cdfv2/frames/id0_id1_0000/0.png")
    assert set(clips("df40", root)) == {"simswap/ff/000_003", "tpsm/cdf/id0_id1_0000"}


@pytest.mark.parametrize("name", ["uadfv", "ffiw"])
def test_a_folder_too_high_up_is_pointed_at(name, mini, clips):
    root = mini(name, root="above/inner")
    with pytest.raises(MissingMedia, match=r"has inner; inner in it looks like it; .*not verified"):
        clips(name, root.parent)


@pytest.mark.parametrize("name", ["kodf", "polyglotfake", "deepspeak-v2", "df40"])
def test_what_the_owners_pack_at_no_known_depth_is_found_at_any(name, mini, clips):
    root = mini(name, root="above/inner")
    assert list(clips(name, root.parent)) == list(clips(name, root))


@pytest.mark.parametrize("name", NAMES)
def test_nothing_at_all_tells_the_layout_and_where_access_is_given(name, tree, clips):
    root = tree("elsewhere/readme.txt")
    with pytest.raises(MissingMedia, match=r"has elsewhere.* is expected as .*Access: https://"):
        clips(name, root)


def test_links_are_followed_and_one_that_leads_back_ends(mini, clips, tmp_path):
    fakes = mini("uadfv", without=("real/",), root="fakes") / "fake"
    root = mini("uadfv", without=("fake/",))
    (root / "fake").symlink_to(fakes)
    os.symlink(root, root / "real" / "again")
    assert len(clips("uadfv", root)) == 4


def test_a_table_that_does_not_fit_the_files_is_told(mini, clips, caplog):
    root = mini("deepspeak-v1-1", "videos/retalking--10-10--1-2--0.mp4", without=("facefusion--",))
    clips("deepspeak-v1-1", root)
    told = caplog.text
    assert "in the table fake, but without a file: 1, facefusion--0-1--4095-4931--0" in told
    assert "not in the table fake: 1, videos/retalking--10-10--1-2--0" in told


def test_a_table_that_is_none_is_refused(mini, clips):
    root = mini("deepspeak-v1-1")
    table = root / "annotations-fake.csv"
    table.write_text("video-file,engine\na.mp4,x\n")
    with pytest.raises(InvalidManifest, match=r"no column identity-source, .*; it has video-file"):
        clips("deepspeak-v1-1", root)
    table.write_text("video-file,identity-source,identity-target,recording-target\na.mp4,1\n")
    with pytest.raises(InvalidManifest, match="line 2, has no identity-target"):
        clips("deepspeak-v1-1", root)
    dubbed = mini("polyglotfake", root="dubbed")
    file = dubbed / "json_file/fake_Json_file/all_fake_video.json"
    for text, match in (
        ("{", "is no JSON, line 1"),
        ("[]", "a list of videos under 'video'"),
        (json.dumps({"video": [{"filename": "a.mp4"}]}), "video 1, has no sync_tech"),
    ):
        file.write_text(text)
        with pytest.raises(InvalidManifest, match=match):
            clips("polyglotfake", dubbed)


def test_what_a_table_says_goes_over_a_name(mini, clips):
    root = mini("deepspeak-v1-1")
    table = root / "annotations-fake.csv"
    table.write_text(table.read_text().replace("facefusion,0,1,4095,4931", "facefusion,1,0,1,4095"))
    fake = clips("deepspeak-v1-1", root)["facefusion/0-1--4095-4931--0"]
    assert (fake.target_identity, fake.donor_identity, fake.pair) == ("0", "1", "real/0-4095")


def test_a_clip_under_several_splits_of_a_json_file_is_of_the_last(mini, clips):
    root = mini("df40")
    file = root / "dataset_json/simswap_ff.json"
    content = json.loads(file.read_text())
    of = content["simswap_ff"]["simswap_Real"]
    of["val"] = of["train"] | of["test"]
    file.write_text(json.dumps(content))
    found = clips("df40", root, splits="owners")
    assert [found[f"real/ff/{n}"].split for n in ("000", "010")] == ["development", "final"]


def test_people_of_two_splits_and_people_of_none_are_told(mini, clips, caplog):
    root = mini("deepspeak-v1-1", "videos/facefusion--0-10--4095-4100--0.mp4", "videos/99-1.mp4")
    found = clips("deepspeak-v1-1", root, splits="owners")
    assert found["facefusion/0-10--4095-4100--0"].split == found["real/99-1"].split == ""
    assert "of people of two splits, and so without a split: 1, " in caplog.text


def test_owners_splits_that_share_people_keep_only_the_last_unless_asked_for(mini, clips, caplog):
    root = mini("idforge")
    assert {c.split for c in clips("idforge", root).values()} == {"", "final"}
    assert "3 clips have no split, since they share people or videos with" in caplog.text
    kept = list(clips("idforge", root, splits="owners").values())
    assert {c.split for c in kept} == {"train", "development", "final"}
    with pytest.raises(InvalidManifest, match="linked by a target or donor"):
        manifest_of(kept).check_no_leak()


def test_a_real_video_with_a_fake_voice_is_left_out_or_real(mini, clips):
    voice = "tts_textgen/id02/id02_06/b.mp3"
    assert voice not in clips("idforge", mini("idforge"))
    clip = clips("idforge", mini("idforge"), voices="real")[voice]
    assert (clip.label, clip.method, clip.family, clip.target_identity) == (0, "", "", "id02")
    with pytest.raises(InvalidOption, match="uadfv has no videos of which only the voice is fake"):
        clips("uadfv", mini("uadfv"), voices="real")
    with pytest.raises(InvalidOption, match="voices is 'fake'; expected real, or nothing"):
        clips("idforge", mini("idforge"), voices="fake")
    with pytest.raises(InvalidOption, match="splits is 'mine'; expected owners, or nothing"):
        clips("idforge", mini("idforge"), splits="mine")


def test_only_voices_is_nothing_to_look_at(mini, clips):
    root = mini("idforge", without=("pristine", "face_tts/", "lip_tts_textgen/"))
    with pytest.raises(MissingMedia, match=r"of 1 clips under .* none can be taken"):
        clips("idforge", root)


def test_frames_of_a_folder_are_one_clip_in_natural_order(mini, clips):
    clip = clips("df40", mini("df40"))["simswap/ff/000_003"]
    assert [path.name for path in clip.media.paths] == ["2.png", "10.png"]
    assert isinstance(clips("df40", mini("df40"))["heygen/fake/a"].media, Path)


def test_the_release_of_kodf_and_other_depths_are_read_too(tree, clips):
    root = tree(
        f"original_videos/{ANN}/{ANN}_001.mp4",
        f"synthesized_videos/fsgan/20200101/{ANN}/{ANN}_{BOB}_3_0001.mp4",
        f"synthesized_videos/audio-driven/x/{ANN}_{ANN}_5_0002.mp4",
    )
    assert list(clips("kodf", root)) == [
        f"real/{ANN}_001", f"audio-driven/{ANN}_{ANN}_5_0002", f"fsgan/{ANN}_{BOB}_3_0001"
    ]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("seed", range(4))
def test_a_damaged_copy_gives_clips_or_an_error_of_ours_and_never_a_leak(
    name, seed, clips, tmp_path
):
    draw = random.Random(f"{name} {seed}")
    files = {}
    for place, text in miniatures.TABLE[name]().items():
        pieces = place.split("/")
        if draw.random() < 0.2:
            number = draw.randrange(len(pieces))
            pieces[number] = draw.choice(
                [pieces[number].swapcase(), f"{pieces[number]} x", "é.mp4"]
            )
        if text and draw.random() < 0.3:
            text = draw.choice(
                ["", text[: len(text) // 2], text.replace(",", ";"), "[]", text + ","]
            )
        if draw.random() > 0.15:
            files["/".join(pieces)] = text
    root = miniatures.built(tmp_path / "root", files, lambda path: path.write_text(""))
    try:
        found = list(clips(name, root).values())
    except (InvalidManifest, MissingMedia):
        return
    manifest_of(found).check_no_leak()
