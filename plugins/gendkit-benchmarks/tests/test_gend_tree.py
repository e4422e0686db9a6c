"""GenD's tree of crops and its lists of files."""

from __future__ import annotations

from pathlib import Path

import miniatures
import pytest

from gendkit.errors import InvalidManifest, MissingMedia

NAME = "gend-tree"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return miniatures.built(tmp_path / "GenD", miniatures.gend_tree(), lambda p: p.write_text(""))


def test_the_four_levels_tell_dataset_method_video_and_frame(root, clips):
    found = clips(NAME, root, train="lists/train", final="lists/final")
    fake, real = found["FF/DF/000_003"], found["FF/real/000"]
    assert (fake.label, fake.method, fake.family) == (1, "Deepfakes", "face-swap")
    assert (fake.target_identity, fake.donor_identity) == ("000", "003")
    assert fake.pair == real.pair == "FF/real/000"
    assert (fake.split, fake.generator_year, fake.year) == ("train", 2017, 2019)
    fake = found["CDFv2/Celeb-synthesis/id0_id1_0000"]
    assert (fake.pair, fake.target_identity) == ("CDFv2/Celeb-real/id0_0000", "id0")
    assert fake.split == "final"
    assert {clip.dataset for clip in found.values()} == {NAME}


def test_of_another_dataset_real_in_the_name_of_the_method_is_real_as_gend_says(root, clips):
    found = clips(NAME, root)
    assert [found[f"KoDF/{v}"].label for v in ("real/b", "fake-dfl/a")] == [0, 1]
    assert found["KoDF/fake-dfl/a"].method == "fake-dfl"
    assert found["KoDF/fake-dfl/a"].pair == ""


def test_real_anywhere_in_the_name_of_a_method_is_real(tree, clips):
    found = clips(NAME, tree("PolyGlotFake/real-ar/a/1.png", "PolyGlotFake/ar2en_Wav2Lip/b/1.png"))
    assert {video.split("/")[1]: clip.label for video, clip in found.items()} == {
        "real-ar": 0, "ar2en_Wav2Lip": 1
    }  # fmt: skip


def test_only_frames_of_a_list_are_taken_and_they_keep_their_numbers(root, clips):
    one = root / "one.txt"
    one.write_text("datasets/FF/DF/000_003/012.png\n\n")
    found = clips(NAME, root, train=[str(one), "lists/train/FF-real-000.txt"])
    assert list(found) == ["FF/DF/000_003", "FF/real/000"]
    media = found["FF/DF/000_003"].media
    assert [path.name for path in media.paths] == ["012.png"]
    assert media.numbers == (12,)


def test_a_line_may_start_at_the_folder_of_its_list_as_for_gend(root, clips):
    beside = root / "datasets/FF/one.txt"
    beside.write_text("real/000/000.png\n")
    assert list(clips(NAME, root, final=str(beside))) == ["FF/real/000"]


def test_two_folders_of_one_name_are_not_mixed_into_one_clip(tree, clips, caplog):
    root = tree("a/FF/real/000/0.png", "b/FF/real/000/0.png", "b/FF/real/000/1.png")
    media = clips(NAME, root)["FF/real/000"].media
    assert media.paths == (root / "a/FF/real/000/0.png",)
    assert "left out, as they are a video that another folder has as well: 1, b/FF" in caplog.text


def test_variants_of_a_dataset_are_known_by_the_start_of_their_name(tree, clips):
    root = tree("FF-x1.3-th0.5-all/F2F/000_003/7.png", "CDFv3/GHOST/anything/a.png")
    found = clips(NAME, root)
    assert found["FF-x1.3-th0.5-all/F2F/000_003"].pair == "FF-x1.3-th0.5-all/real/000"
    ghost = found["CDFv3/GHOST/anything"]
    assert (ghost.family, ghost.pair, ghost.generator_year) == ("face-swap", "", 2022)
    assert ghost.media.numbers == ()


def test_without_a_list_no_clip_has_a_split_and_what_is_odd_is_told(root, clips, caplog):
    more = root / "datasets/FF/DF"
    (more / "0-3").mkdir()
    (more / "0-3" / "1.png").write_text("")
    (more / "loose.txt").write_text("")
    found = clips(NAME, root)
    assert {clip.split for clip in found.values()} == {""}
    [record] = caplog.records
    told = record.getMessage()
    assert "no list was given, so that no clip has a split" in told
    assert "left out, as they are not named as those of their method are: 1, FF/DF/0-3" in told


def test_what_a_list_names_and_is_not_there_is_counted(root, clips, caplog):
    one = root / "one.txt"
    one.write_text("datasets/FF/DF/000_003/000.png\ndatasets/FF/DF/000_003/999.png\n")
    clips(NAME, root, final=str(one))
    assert "in a list, but without a file: 1, datasets/FF/DF/000_003/999.png" in caplog.text
    assert "fakes without their real clip: 1, FF/DF/000_003" in caplog.text
    one.write_text("datasets/FF/DF/000_003/999.png\n")
    with pytest.raises(MissingMedia, match="none of the frames in the lists is under"):
        clips(NAME, root, final=str(one))


def test_lists_that_share_a_video_are_refused_and_that_share_people_are_told(root, clips, caplog):
    with pytest.raises(InvalidManifest, match=r"FF/real/000, which a list of train names already"):
        clips(NAME, root, train="lists/train", final="lists/train/FF-real-000.txt")
    clips(NAME, root, train="lists/train/FF-real-003.txt", final="lists/train/FF-DF-000_003.txt")
    assert "2 clips share people or videos across the splits of these lists" in caplog.text


def test_a_list_that_is_none_or_leads_elsewhere_is_refused(root, clips):
    with pytest.raises(MissingMedia, match="train is nowhere, where there is no list; expected a"):
        clips(NAME, root, train="nowhere")
    with pytest.raises(MissingMedia, match="train is 5, where there is no list"):
        clips(NAME, root, train=5)
    one = root / "one.txt"
    for line in ("/etc/a/b/c.png", "../a/b/c/d.png"):
        one.write_text(line)
        with pytest.raises(InvalidManifest, match="expected paths below the root or below the li"):
            clips(NAME, root, train=str(one))
