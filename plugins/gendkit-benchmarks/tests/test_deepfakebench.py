"""DeepfakeBench's JSON: labels by its table, pairs where names are known, frames in order."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

import gendkit as gk
from gendkit.errors import InvalidLabels, InvalidManifest, InvalidOption, MissingMedia
from gendkit_benchmarks.deepfakebench import LABELS

NAME = "deepfakebench"


def video(label, place, numbers=(10, 2)):
    return {"label": label, "frames": [f"{place}/frames/{n}.png" for n in numbers]}


def ff(pairs, *, split="train", compression="c23"):
    """One file's content: videos of FaceForensics++ by label and name."""
    content: dict = {}
    for label, name in pairs:
        row = {name: video(label, f"FF/{label}/{compression}/{name}")}
        content.setdefault(label, {}).setdefault(split, {}).setdefault(compression, {}).update(row)
    return content


CELEB = {
    "CelebDFv2_real": {
        "train": {"id0_0000": video("CelebDFv2_real", "C/id0_0000")},
        "val": {"id0_0000": video("CelebDFv2_real", "C/id0_0000")},
        "test": {"id0_0000": video("CelebDFv2_real", "C/id0_0000")},
    },
    "CelebDFv2_fake": {
        "train": {"id0_id1_0000": video("CelebDFv2_fake", "C/id0_id1_0000")},
        "test": {},
    },
}


def made(tree, without=(), **datasets):
    """Write JSON files, one a dataset, and the frames that they name."""

    def frames(node):
        if isinstance(node, dict) and "frames" in node:
            yield from node["frames"]
        elif isinstance(node, dict):
            for below in node.values():
                yield from frames(below)

    root = tree(*(f for f in frames(datasets) if f not in without))
    root.mkdir(exist_ok=True)
    for name, content in datasets.items():
        (root / f"{name}.json").write_text(json.dumps({name: content}))
    return root


def test_fakes_of_faceforensics_have_their_pair_and_people(tree, clips):
    root = made(tree, FF=ff([("FF-real", "071"), ("FF-DF", "071_054"), ("FF-NT", "054_071")]))
    found = clips(NAME, root)
    fake, real = found["c23/FF-DF/071_054"], found["c23/FF-real/071"]
    assert (fake.label, fake.method, fake.family) == (1, "Deepfakes", "face-swap")
    assert fake.pair == real.pair == "c23/FF-real/071"
    assert (fake.target_identity, fake.donor_identity) == ("071", "054")
    assert (real.label, real.method, real.split) == (0, "", "train")
    assert found["c23/FF-NT/054_071"].family == "reenactment"
    assert (fake.licence, fake.year) == ("FaceForensics Terms of Use", 2019)


def test_actors_and_celebrities_are_paired_by_their_own_rules(tree, clips):
    dfd = ff([("DFD_real", "01__kitchen_pan"), ("DFD_fake", "01_02__kitchen_pan__ABCD1234")])
    found = clips(NAME, made(tree, DFD=dfd, Celeb=CELEB))
    dfd_fake = found["c23/DFD_fake/01_02__kitchen_pan__ABCD1234"]
    assert dfd_fake.pair == "c23/DFD_real/01__kitchen_pan" == found[dfd_fake.pair].video
    celeb = found["CelebDFv2_fake/id0_id1_0000"]
    assert celeb.pair == "CelebDFv2_real/id0_0000" == found[celeb.pair].video
    assert (celeb.target_identity, celeb.donor_identity) == ("id0", "id1")


def test_a_video_under_several_splits_is_of_the_test_set_which_is_told(tree, clips, caplog):
    found = clips(NAME, made(tree, Celeb=CELEB))
    assert {v: c.split for v, c in found.items()} == {
        "CelebDFv2_fake/id0_id1_0000": "train",
        "CelebDFv2_real/id0_0000": "final",
    }
    assert "listed under several splits, of which test goes before val" in caplog.text


def test_one_compression_is_read_and_real_clips_of_several_files_come_once(tree, clips, caplog):
    real = ff([("FF-real", "071")], split="val")
    real["FF-real"]["val"] |= ff([("FF-real", "071")], compression="c40")["FF-real"]["train"]
    root = made(tree, A=real, B=ff([("FF-real", "071"), ("FF-FS", "071_054")], split="val"))
    assert {v: c.split for v, c in clips(NAME, root).items()} == {
        "c23/FF-FS/071_054": "development",
        "c23/FF-real/071": "development",
    }
    assert list(clips(NAME, root / "A.json", compression="c40")) == ["c40/FF-real/071"]
    assert not caplog.records
    with pytest.raises(InvalidOption, match="'c0'; expected raw, c23, c40"):
        clips(NAME, root, compression="c0")


def test_frames_are_read_in_the_order_of_their_numbers(tmp_path, clips):
    folder = tmp_path / "FF/FF-real/c23/071/frames"
    folder.mkdir(parents=True)
    for number in (2, 10):
        Image.fromarray(np.full((4, 6, 3), number, dtype=np.uint8)).save(folder / f"{number}.png")
    (tmp_path / "FF.json").write_text(json.dumps({"FF": ff([("FF-real", "071")])}))
    [clip] = clips(NAME, tmp_path).values()
    frames = [(frame.index, int(frame.image[0, 0, 0])) for frame in clip.media()]
    assert frames == [(0, 2), (1, 10)]


@pytest.mark.parametrize("written", ["/data/rgb/", "D:\\data\\rgb\\", "../datasets/rgb/"])
def test_paths_of_another_computer_are_read_once_their_prefix_is_named(tree, clips, written):
    content = ff([("FF-real", "071")])
    root = made(tree, FF=content)
    frames = content["FF-real"]["train"]["c23"]["071"]["frames"]
    slash = "\\" if "\\" in written else "/"
    frames[:] = [written + frame.replace("/", slash) for frame in frames]
    (root / "FF.json").write_text(json.dumps({"FF": content}))
    with pytest.raises(MissingMedia, match=r"none of the frames .*see the options media and pref"):
        clips(NAME, root)
    [clip] = clips(NAME, root / "FF.json", media=root, prefix=written).values()
    assert clip.media.paths == tuple(root / f"FF/FF-real/c23/071/frames/{n}.png" for n in (2, 10))


def test_missing_frames_and_misnamed_videos_are_told_in_one_warning(tree, clips, caplog):
    content = ff([("FF-real", "071"), ("FF-DF", "071_054"), ("FF-DF", "71"), ("FF-DF", "054_071")])
    without = [f"FF/FF-DF/c23/054_071/frames/{n}.png" for n in (2, 10)]
    root = made(tree, [*without, "FF/FF-DF/c23/071_054/frames/2.png"], FF=content)
    assert set(clips(NAME, root)) == {"c23/FF-DF/071_054", "c23/FF-real/071"}
    [record] = caplog.records
    told = record.getMessage()
    assert "not named as those of their label are: 1, c23/FF-DF/71" in told
    assert "without any frame there: 1, c23/FF-DF/054_071" in told
    assert "1 frames of other videos are not there" in told


@pytest.mark.parametrize(
    ("content", "error", "told"),
    [
        ([], InvalidManifest, "has list where DATASET is expected"),
        ({"FF": {"FF-XX": {}}}, InvalidLabels, "has the label 'FF-XX'; DeepfakeBench has FF-real"),
        ({"FF": {"FF-DF": {"dev": {}}}}, InvalidManifest, "has the split 'dev'; expected train"),
        ({"FF": {"FF-DF": {"val": {"a": []}}}}, InvalidManifest, "expected to give each video as"),
        ({"FF": {"FF-DF": {"val": {"a": video("FF-real", "a")}}}}, InvalidLabels, "under 'FF-DF'"),
    ],
)
def test_a_file_of_another_layout_is_refused(tree, clips, content, error, told):
    root = made(tree, FF=ff([("FF-real", "071")]))
    (root / "FF.json").write_text(json.dumps(content))
    with pytest.raises(error, match=told):
        clips(NAME, root)


def test_without_files_the_layout_and_access_are_told(tree, tmp_path):
    with pytest.raises(MissingMedia, match=r"no JSON file in .*SCLBD/DeepfakeBench"):
        gk.dataset(NAME, tree("a.png")).clips()
    with pytest.raises(MissingMedia, match=r"media is .*, which is no folder"):
        gk.dataset(NAME, tree("a.png"), media=tmp_path / "absent")


def test_each_label_is_real_or_names_a_method():
    real = {name for name, (part, _) in LABELS.items() if not part.method}
    assert real == {name for name in LABELS if name.lower().endswith("real")}
    assert len(LABELS) == 24
