"""`class-folders`: what a folder's name means, what is a clip, and what is refused."""

from __future__ import annotations

import hashlib
import json
import logging
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

import gendkit as gk
from gendkit.cli import gendkit
from gendkit.data.manifest import Manifest
from gendkit.errors import (
    GendkitError,
    InvalidLabels,
    InvalidOption,
    MissingMedia,
    UnreadableMedia,
)
from gendkit.plugin import Clip, Face, FaceExtractorSpec
from gendkit.testing.small import registered


def picture(path: Path, *, level: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((4, 5, 3), level, dtype=np.uint8)).save(path)
    return path


def tree(root: Path, *names: str) -> Path:
    """Make small pictures, and files of text where the name is no picture's."""
    for name in names:
        if name.endswith((".png", ".jpg")):
            picture(root / name)
        else:
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text("text")
    return root


def clips(root: Path, **options: object) -> list[Clip]:
    return list(gk.dataset("class-folders", root, **options).clips())


def seen(root: Path, **options: object) -> list[tuple[str, int, str]]:
    return [(clip.video, clip.label, clip.method) for clip in clips(root, **options)]


def test_known_words_say_the_label_whatever_their_case(tmp_path: Path) -> None:
    tree(tmp_path, "Real/b.png", "Real/a.png", "FAKE/sub/c.jpg")
    assert seen(tmp_path) == [
        ("FAKE/sub/c.jpg", 1, "FAKE"),
        ("Real/a.png", 0, ""),
        ("Real/b.png", 0, ""),
    ]
    for clip in clips(tmp_path):
        assert clip.dataset == tmp_path.name
        assert clip.licence == "not stated"
        assert clip.split == ""


@pytest.mark.parametrize("real", ["real", "original", "pristine", "genuine", "0"])
@pytest.mark.parametrize("fake", ["fake", "manipulated", "forged", "deepfake", "1"])
def test_each_word_of_the_table_is_known(tmp_path: Path, real: str, fake: str) -> None:
    tree(tmp_path, f"{real}/a.png", f"{fake}/a.png")
    assert {(video, label) for video, label, _ in seen(tmp_path)} == {
        (f"{real}/a.png", 0),
        (f"{fake}/a.png", 1),
    }


def test_a_word_within_a_name_is_not_guessed_from(tmp_path: Path) -> None:
    tree(tmp_path, "real/a.png", "real_videos/a.png", "fake1/a.png")
    with pytest.raises(InvalidLabels, match="fake1, real_videos mean no class: real is real, orig"):
        clips(tmp_path)


def test_with_real_folders_named_the_others_are_methods(tmp_path: Path) -> None:
    tree(tmp_path, "youtube/a.png", "Deep Swap/a.png", "real/a.png")
    digest = hashlib.sha256(b"Deep Swap/a.png").hexdigest()[:8]
    assert seen(tmp_path, real="youtube") == [
        (f"Deep_Swap/a.png-{digest}", 1, "Deep_Swap"),
        ("real/a.png", 1, "real"),
        ("youtube/a.png", 0, ""),
    ]
    assert [c[1] for c in seen(tmp_path, real=["YouTube", "real"])] == [1, 0, 0]
    with pytest.raises(InvalidLabels, match="Deep Swap mean no class"):
        clips(tmp_path, real=["youtube"], fake=["real"])


def test_with_fake_folders_named_the_real_ones_are_known_words(tmp_path: Path) -> None:
    tree(tmp_path, "real/a.png", "swap/a.png")
    assert [c[1:] for c in seen(tmp_path, fake="swap")] == [(0, ""), (1, "swap")]
    tree(tmp_path, "lips/a.png")
    with pytest.raises(InvalidLabels, match="lips mean no class"):
        clips(tmp_path, fake="swap")


def test_a_class_that_is_not_there_is_told_with_those_that_are(tmp_path: Path) -> None:
    tree(tmp_path, "real/a.png", "swap/a.png")
    with pytest.raises(InvalidLabels, match="has the folders real, swap, and none is named youtub"):
        clips(tmp_path, real="youtube")


def test_a_split_is_read_only_where_it_is_asked_for(tmp_path: Path) -> None:
    tree(tmp_path, "train/real/a.png", "val/fake/b.png", "Test/fake/c.png")
    with pytest.raises(InvalidLabels, match=r"if these are splits.* say split=folders"):
        clips(tmp_path)
    found = {c.video: (c.split, c.label) for c in clips(tmp_path, split="folders")}
    assert found == {
        "Test/fake/c.png": ("final", 1),
        "train/real/a.png": ("train", 0),
        "val/fake/b.png": ("development", 1),
    }
    tree(tmp_path, "extra/fake/d.png")
    with pytest.raises(InvalidLabels, match=r"extra has the split 'extra'.*splits="):
        clips(tmp_path, split="folders")
    more = clips(tmp_path, split="folders", splits={"extra": "train"})
    assert [c.split for c in more if c.video.startswith("extra")] == ["train"]


def test_all_clips_can_have_one_split(tmp_path: Path) -> None:
    tree(tmp_path, "real/a.png", "fake/b.png")
    assert {c.split for c in clips(tmp_path, split="final")} == {"final"}


def test_a_folder_of_pictures_is_one_clip_on_request(tmp_path: Path) -> None:
    for number in (10, 2, 1):
        picture(tmp_path / "real" / "ann" / f"frame{number}.png", level=number)
    tree(tmp_path, "fake/bob/1.png", "fake/cut.mp4")
    found = clips(tmp_path, clips="folders")
    assert [(c.video, c.label) for c in found] == [
        ("fake/bob", 1),
        ("fake/cut.mp4", 1),
        ("real/ann", 0),
    ]
    assert found[1].media == tmp_path / "fake" / "cut.mp4"
    again = pickle.loads(pickle.dumps(found[2]))
    for _ in range(2):
        frames = list(again.media())
        assert [f.index for f in frames] == [0, 1, 2]
        assert [f.image[0, 0, 0] for f in frames] == [1, 2, 10]
    tree(tmp_path, "real/loose.png")
    with pytest.raises(MissingMedia, match=r"loose\.png lies directly in a class folder"):
        clips(tmp_path, clips="folders")


def test_clips_come_always_in_one_order(tmp_path: Path) -> None:
    tree(tmp_path, *(f"{c}/{n}.png" for c in ("real", "fake") for n in "cab"))
    once = clips(tmp_path)
    assert once == clips(tmp_path)
    assert [c.video for c in once] == sorted(c.video for c in once)
    assert pickle.loads(pickle.dumps(once)) == once


def test_what_is_no_media_is_counted_in_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    tree(tmp_path, "real/a.png", "real/a.txt", "fake/b.png", "fake/c.TXT", "readme", "fake/.x.png")
    with caplog.at_level(logging.WARNING, logger="gendkit"):
        assert len(clips(tmp_path)) == 2
    (record,) = caplog.records
    assert "1 x .png, 2 x .txt, 1 x without a suffix" in record.getMessage()


def test_media_outside_of_a_class_folder_are_refused(tmp_path: Path) -> None:
    tree(tmp_path, "real/a.png", "b.png")
    with pytest.raises(MissingMedia, match=r"1 pictures or videos are not in a class folder.*b\.p"):
        clips(tmp_path)


def test_names_that_differ_only_in_special_characters_stay_apart(tmp_path: Path) -> None:
    tree(tmp_path, "real/a b.png", "real/a_b.png", "real/a+b.png", "real/ä.png")
    videos = [clip.video for clip in clips(tmp_path)]
    assert len(set(videos)) == 4
    assert all(v.isascii() and " " not in v for v in videos)


def test_links_that_lead_out_of_the_root_are_refused(tmp_path: Path) -> None:
    root = tree(tmp_path / "root", "real/a.png", "fake/b.png")
    outside = picture(tmp_path / "outside" / "c.png")
    link = root / "fake" / "c.png"
    link.symlink_to(outside)
    with pytest.raises(MissingMedia, match=r"c\.png leads to .* lies outside of"):
        clips(root)
    link.unlink()
    link.symlink_to(root / "real" / "a.png")
    assert len(clips(root)) == 3
    link.unlink()
    (root / "fake" / "more").symlink_to(outside.parent)
    with pytest.raises(MissingMedia, match="more is a link to a folder"):
        clips(root)


def test_a_root_that_is_a_link_is_followed(tmp_path: Path) -> None:
    tree(tmp_path / "there", "real/a.png")
    (tmp_path / "link").symlink_to(tmp_path / "there")
    assert [clip.dataset for clip in clips(tmp_path / "link")] == ["there"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"clips": "videos"}, "expected files or folders"),
        ({"split": "test"}, "expected train, development, final, or folders"),
        ({"splits": {"a": "b"}}, "expected train, development, final"),
        ({"splits": ["a"]}, "must map names to names"),
        ({"real": 1.5}, "must be a name or a list"),
        ({"real": "a", "fake": ["A"]}, "'a' is named as real and as fake"),
        ({"kind": "a"}, "kind"),
    ],
)
def test_an_option_that_cannot_be_is_refused(
    tmp_path: Path, options: dict[str, object], words: str
) -> None:
    with pytest.raises(InvalidOption, match=words):
        gk.dataset("class-folders", tmp_path, **options)


def test_a_root_that_is_missing_or_empty_says_what_was_sought(tmp_path: Path) -> None:
    tree(tmp_path, "some.txt")
    with pytest.raises(MissingMedia, match=r"nowhere; class-folders expects .*: some\.txt"):
        clips(tmp_path / "nowhere")
    with pytest.raises(MissingMedia, match=r"no picture or video under .* In it: some\.txt"):
        clips(tmp_path)
    with pytest.raises(MissingMedia, match="is a file"):
        clips(tmp_path / "some.txt")
    with pytest.raises(MissingMedia, match="write class-folders:PLACE"):
        gk.dataset("class-folders")


def test_an_unreadable_picture_is_an_error_of_its_clip(tmp_path: Path) -> None:
    tree(tmp_path, "real/ann/1.png")
    (tmp_path / "real" / "ann" / "2.png").write_text("no picture")
    (clip,) = clips(tmp_path, clips="folders")
    frames = iter(clip.media())
    next(frames)
    with pytest.raises(UnreadableMedia, match=r"2\.png"):
        next(frames)


def test_the_command_line_shows_what_is_left_out(tmp_path: Path) -> None:
    tree(tmp_path / "mine", "real/a.png", "real/a.txt")
    command = [sys.executable, "-m", "gendkit", "extract", f"class-folders:{tmp_path / 'mine'}"]
    done = subprocess.run([*command, str(tmp_path / "out")], capture_output=True, text=True)
    assert "gendkit: warning: class-folders: left out as hidden, or neither" in done.stderr


def faces(root: Path) -> Path:
    """Draw faces of two people into class folders."""
    for clip in gk.dataset("synthetic", identities=2, clips=1, controls=False).clips():
        (frame,) = clip.media()
        name = f"{'original' if clip.label == 0 else clip.family}/{clip.video.replace('/', '-')}"
        path = root / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(frame.image).save(path)
    return root


class Middle:
    """Sees a face in the middle of each picture."""

    threshold = 0.5

    def __call__(self, image: np.ndarray, /) -> list[Face]:
        height, width = image.shape[:2]
        points = np.array([(0.4, 0.4), (0.6, 0.4), (0.5, 0.5), (0.42, 0.62), (0.58, 0.62)])
        box = (0.3 * width, 0.3 * height, 0.7 * width, 0.7 * height)
        landmarks = (points * (width, height)).astype(np.float32)
        return [Face(box=box, landmarks=landmarks, confidence=0.9)]


def test_faces_in_class_folders_become_labelled_crops(tmp_path: Path) -> None:
    root = faces(tmp_path / "mine")
    source = gk.dataset("class-folders", root, real="original", split="train")
    table = gk.extract(source, tmp_path / "crops", extractor=Middle(), time_limit=None).table
    assert len(table) == len(list(root.rglob("*.png"))) > 4
    assert (table["path"] != "").all()
    assert set(table["label"]) == {0, 1}
    assert set(table[table["label"] == 0]["method"]) == {""}
    assert set(table["method"]) == {"", *(p.name for p in root.iterdir())} - {"original"}
    assert set(table["split"]) == {"train"}
    assert set(table["dataset"]) == {"mine"}


def test_the_command_line_takes_the_folder_behind_the_name(tmp_path: Path) -> None:
    root = faces(tmp_path / "mine")
    spec = FaceExtractorSpec(
        name="middle", summary="for tests", licence="MIT", threshold=0.5,
        build=lambda *, threshold=0.5: Middle(),
    )  # fmt: skip
    out = tmp_path / "crops"
    command = ["extract", f"class-folders:{root}", str(out), "--extractor", "middle", "--json"]
    command += ["--time-limit", "0"]  # another process has no such extractor
    with registered(spec):
        done = CliRunner().invoke(gendkit, [*command, "-o", "real=[original]"])
        assert done.exit_code == 0, done.output
        asked = CliRunner().invoke(gendkit, ["extract", f"class-folders:{root}", f"{out}2"])
    assert json.loads(done.output)["crops"] == len(Manifest.read(out).faces()) > 4
    assert isinstance(asked.exception, GendkitError)
    assert "mean no class" in str(asked.exception)
