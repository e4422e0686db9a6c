from __future__ import annotations

import logging
import pickle
from pathlib import Path

import cv2
import numpy as np
import pytest

import gendkit as gk
from gendkit.builtin.datasets import SyntheticFaces
from gendkit.builtin.self_blended import SelfBlended
from gendkit.data.drawn import draw_face
from gendkit.data.manifest import Manifest
from gendkit.data.splits import split_of_identity
from gendkit.errors import InvalidOption, MissingMedia, UnknownPart
from gendkit.plugin import Clip
from gendkit.testing import Given, check
from gendkit.testing.clips import manifest_of


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("faces")
    for identity in range(6):
        image = draw_face(identity=identity, clip=0).image
        cv2.imwrite(str(root / f"Person {identity}.png"), image[..., ::-1])
    cv2.imwrite(str(root / "empty.png"), np.full((200, 200, 3), 127, np.uint8))
    return root


@pytest.fixture
def blended(folder, asset) -> SelfBlended:
    asset("centerface")
    return SelfBlended(folder, variants=2)


def real_faces(**options) -> SyntheticFaces:
    return SyntheticFaces(identities=10, clips=1, size=128, **options)


def check_pairs(clips: list[Clip], variants: int) -> None:
    assert [clip.label for clip in clips] == [0, 1] * (len(clips) // 2)
    for real, fake in zip(clips[::2], clips[1::2], strict=True):
        assert real.video == real.pair == fake.pair
        assert (real.family, fake.family, fake.method) == ("", "self-blended", "self-blended")
        assert real.target_identity == fake.target_identity != ""
        assert not fake.donor_identity
        (first,), (second,) = real.media(), pickle.loads(pickle.dumps(fake)).media()
        np.testing.assert_array_equal(first.landmarks, second.landmarks)
        assert (first.image != second.image).any()
        assert (first.image[:4] == second.image[:4]).all()
    assert len({clip.video for clip in clips}) == len(clips)
    assert variants == len(clips) // 2 // len({clip.target_identity for clip in clips})


def test_photos_are_paired_with_their_blends_and_split_as_by_photos(blended, caplog):
    with caplog.at_level(logging.WARNING):
        clips = list(blended.clips())
    check_pairs(clips, 2)
    assert blended.excluded == {"empty.png": "no face was found"}
    assert "self-blended: empty.png is left out" in caplog.text
    assert {c.target_identity for c in clips} == {f"Person {i}" for i in range(6)}
    assert all(c.split == split_of_identity("photos", c.target_identity) for c in clips)
    Manifest(table=manifest_of(clips).table, root=Path()).check_no_leak()


def test_real_clips_of_another_dataset_are_blended_and_keep_what_is_known():
    clips = list(gk.dataset("self-blended", over=real_faces(), variants=1, splits="final").clips())
    check_pairs(clips, 1)
    taken = [c for c in real_faces().clips() if c.split == "final" and not c.label]
    taken = [c for c in taken if not c.degradation]
    assert [c.video for c in clips[::2]] == [f"synthetic/{c.video}/0/real" for c in taken]
    for clip, source in zip(clips[::2], taken, strict=True):
        assert clip.target_identity == source.target_identity
        assert (clip.split, clip.licence, clip.dataset) == ("final", "CC0-1.0", "self-blended")


def test_of_a_film_some_frames_are_taken_and_each_is_blended_in_its_own_way():
    clips = list(SelfBlended(over=real_faces(motion=1.0, splits="train"), frames=3).clips())
    real, fake = (list(clip.media()) for clip in clips[:2])
    assert [f.index for f in real] == [f.index for f in fake] == [0, 24, 49]
    assert [f.time for f in fake] == pytest.approx([0, 0.96, 1.96])
    shares = [(a.image != b.image).any(-1).mean() for a, b in zip(real, fake, strict=True)]
    assert min(shares) > 0.02
    assert len(set(shares)) == 3


def test_faces_of_files_are_found(folder, asset):
    asset("centerface")
    paths = [folder / "Person 1.png", folder / "empty.png"]

    class Files:
        def clips(self):
            for path in paths:
                yield Clip(video=path.stem[-1], media=path, dataset="files", label=0)

    found, missing = list(SelfBlended(over=Files(), variants=1).clips())[::2]
    (frame,) = found.media()
    assert frame.landmarks.shape == (5, 2)
    assert found.video == "files/1/0/real"
    assert found.licence == "that of the faces"
    assert list(missing.media()) == []


@pytest.mark.slow
def test_every_rule_of_datasets_is_kept(folder, asset):
    asset("centerface")
    found = check("self-blended", given={"self-blended": Given(root=folder)})
    assert (found.broken, found.left_out) == ((), ())
    assert len(found.kept) == 15


def test_what_cannot_be_is_refused(tmp_path):
    with pytest.raises(MissingMedia, match="self-blended was given no folder"):
        gk.dataset("self-blended")
    with pytest.raises(InvalidOption, match="it was given both"):
        gk.dataset("self-blended", tmp_path, over=real_faces())
    with pytest.raises(InvalidOption, match="over must be a dataset, got 'synthetic'"):
        gk.dataset("self-blended", over="synthetic")
    with pytest.raises(InvalidOption, match="frames must be a whole number from 1 to 64, got 0"):
        SelfBlended(over=real_faces(), frames=0)
    with pytest.raises(InvalidOption, match="no option 'clips'; there is over, variants"):
        gk.dataset("self-blended", tmp_path, clips=3)
    with pytest.raises(UnknownPart, match="no split is named 'test'"):
        SelfBlended(over=real_faces(), splits="test")
    with pytest.raises(MissingMedia, match="`self-blended` looks for photos of one face"):
        SelfBlended(tmp_path / "none")
