"""DFDC: labels, originals and splits by the tables, and files that the tables and folders lack."""

from __future__ import annotations

import json

import pytest

from gendkit.errors import InvalidLabels, InvalidManifest, MissingMedia
from gendkit.testing.clips import manifest_of

NAME = "dfdc"
ROWS = {
    "vudstovrck.mp4": {"label": "REAL", "split": "train"},
    "aagfhgtpmv.mp4": {"label": "FAKE", "split": "train", "original": "vudstovrck.mp4"},
    "abarnvbtwb.mp4": {"label": "REAL", "split": "train", "original": None},
}
PART = "dfdc_train_part_0"


def part(tree, rows=ROWS, *, folder=PART, without=(), extra=()):
    root = tree(
        *(f"{folder}/{n}" for n in [*rows, *extra] if n not in without), f"{folder}/.hidden"
    )
    (root / folder / "metadata.json").write_text(json.dumps(rows))
    return root


def test_a_fake_is_of_the_pair_of_its_original(tree, clips):
    found = clips(NAME, part(tree))
    fake, real = found["aagfhgtpmv"], found["vudstovrck"]
    assert (fake.label, fake.method, fake.split) == (1, "unknown", "train")
    assert fake.pair == real.pair == "vudstovrck"
    assert (real.label, real.method, real.target_identity) == (0, "", "")
    assert found["abarnvbtwb"].pair == "abarnvbtwb"


@pytest.mark.parametrize("folder", ["", "train", "dfdc_train_part_00/dfdc_train_part_0", "a/b/c"])
def test_parts_are_found_where_archives_unpack_them(tree, clips, folder):
    assert len(clips(NAME, part(tree, folder=folder or "."))) == 3


def test_the_labels_of_the_test_set_are_final_and_no_split_leaks(tree, clips, caplog):
    root = part(tree)
    tree("test/aalscayrfi.mp4", "test/aayrffkzxn.mp4")
    (root / "test/labels.csv").write_text("filename,label\naalscayrfi.mp4,0\naayrffkzxn.mp4,1\n")
    found = clips(NAME, root)
    assert (found["aalscayrfi"].label, found["aalscayrfi"].split) == (0, "final")
    assert (found["aayrffkzxn"].label, found["aayrffkzxn"].pair) == (1, "")
    manifest_of(list(found.values())).check_no_leak()
    assert not caplog.records


def test_what_tables_or_folders_lack_is_told_in_one_warning(tree, clips, caplog):
    root = part(tree, without=["vudstovrck.mp4"], extra=["zzzzzzzzzz.mp4"])
    part(tree, folder="train_sample_videos", without=["vudstovrck.mp4", "aagfhgtpmv.mp4"])
    found = clips(NAME, root)
    assert set(found) == {"aagfhgtpmv", "abarnvbtwb"}
    assert found["aagfhgtpmv"].pair == "vudstovrck"
    [record] = caplog.records
    told = record.getMessage()
    assert "no labels.csv or test/labels.csv" in told
    assert f"not in {PART}/metadata.json: 1, {PART}/zzzzzzzzzz.mp4" in told
    assert f"of 6 videos in the tables, without a file: 3, {PART}/vudstovrck.mp4" in told
    assert "there twice: 1, train_sample_videos/abarnvbtwb.mp4" in told
    assert "fakes without their real clip: 1, aagfhgtpmv" in told


def test_nothing_at_all_tells_the_layout_and_where_access_is_given(tree, clips):
    with pytest.raises(MissingMedia, match=r"has dfdc; dfdc is .*metadata\.json.*ai\.meta\.com"):
        clips(NAME, tree("dfdc/aagfhgtpmv.mp4"))


@pytest.mark.parametrize(
    ("rows", "error", "told"),
    [
        ([], InvalidManifest, 'is expected as {"NAME.mp4": '),
        ({"a.mp4": "FAKE"}, InvalidManifest, 'is expected as {"NAME.mp4": '),
        (
            {"a.mp4": {"label": "fake"}},
            InvalidLabels,
            "has the label 'fake' for a.mp4; expected REAL or",
        ),
        (
            {"a.mp4": {"label": ["FAKE"]}},
            InvalidLabels,
            "has the label ['FAKE'] for a.mp4; expected",
        ),
        ({"../a.mp4": {"label": "FAKE"}}, InvalidManifest, "expected the name of a video beside"),
    ],
)
def test_a_table_that_is_none_is_refused(tree, clips, rows, error, told):
    root = part(tree)
    (root / PART / "metadata.json").write_text(json.dumps(rows))
    with pytest.raises(error) as raised:
        clips(NAME, root)
    assert told in str(raised.value)


@pytest.mark.parametrize(
    ("text", "error", "told"),
    [
        ("name,label\n", InvalidManifest, "has the columns name, label; expected filename, label"),
        (
            "filename,label\na.mp4,REAL\n",
            InvalidLabels,
            "has the label 'REAL' for a.mp4; expected 0 or 1",
        ),
        ("label,filename\n1\n", InvalidManifest, "names None; expected the name of a video"),
    ],
)
def test_a_table_of_the_test_set_that_is_none_is_refused(tree, clips, text, error, told):
    root = part(tree)
    (root / "labels.csv").write_text(text)
    with pytest.raises(error, match=told):
        clips(NAME, root)


def test_a_broken_table_is_refused_with_its_line(tree, clips):
    root = part(tree)
    (root / PART / "metadata.json").write_text("{\n'a'")
    with pytest.raises(InvalidManifest, match=r"metadata\.json is no JSON, line 2"):
        clips(NAME, root)
