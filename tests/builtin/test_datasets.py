from __future__ import annotations

import logging
import pickle
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

import gendkit as gk
from gendkit.builtin.datasets import Photos, SyntheticFaces
from gendkit.builtin.renderings import Rendering
from gendkit.data.controls import DEGRADATIONS
from gendkit.data.drawn import draw_face
from gendkit.data.manifest import Manifest
from gendkit.data.splits import SPLITS, rendered_families, split_of_identity
from gendkit.errors import InvalidOption, MissingMedia, UnknownPart
from gendkit.plugin import Clip, DatasetSpec, plugins
from gendkit.testing.small import registered

FIELDS = [
    *("video", "dataset", "label", "method", "family", "pair"),
    *("target_identity", "donor_identity", "split", "degradation"),
]


@pytest.fixture(scope="module")
def clips() -> list[Clip]:
    return list(SyntheticFaces(identities=20, clips=2, size=128).clips())


def picture(clip: Clip) -> np.ndarray:
    assert isinstance(clip.media, Rendering)
    (frame,) = clip.media()
    return frame.image


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Drawn faces as photos, besides one without a face, one too small, and one cut off."""
    root = tmp_path_factory.mktemp("photos")
    for identity in range(12):
        image = draw_face(identity=identity, clip=0).image
        cv2.imwrite(str(root / f"Person {identity}.png"), image[..., ::-1])
    cv2.imwrite(str(root / "empty.png"), np.full((200, 200, 3), 127, np.uint8))
    small = cv2.resize(draw_face(identity=1, clip=0).image, (96, 96))
    cv2.imwrite(str(root / "small.png"), small)
    (root / "broken.png").write_bytes((root / "Person 0.png").read_bytes()[:500])
    (root / "notes.txt").write_text("no picture")
    return root


@pytest.fixture
def photos(folder: Path, asset: Callable[[str], Path]) -> Photos:
    asset("centerface")
    return Photos(folder, variants=2)


def test_both_datasets_are_plugins_and_listing_them_imports_nothing_heavy():
    assert plugins().spec("dataset", "synthetic").build(None, identities=10, clips=1).clips()
    code = (
        "import sys; from gendkit.plugin import plugins; plugins().parts; "
        "sys.exit(bool({'cv2', 'torch', 'gendkit.builtin.datasets'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_every_person_and_variant_has_a_real_clip_and_the_families_of_its_split(clips):
    plain = [clip for clip in clips if not clip.degradation]
    for pair in {clip.pair for clip in plain}:
        group = [clip for clip in plain if clip.pair == pair]
        assert [clip.label for clip in group] == [0] + [1] * (len(group) - 1)
        assert group[0].video == pair
        assert tuple(c.family for c in group[1:]) == rendered_families(group[0].split)
        assert len({clip.target_identity for clip in group}) == 1
        assert len({clip.media.plan for clip in group}) == 1
    assert len({clip.pair for clip in plain}) == 40


def test_crossed_families_are_those_of_every_person_whatever_the_split():
    families = ["self-blend", "reenactment"]
    options = {"identities": 20, "clips": 1, "size": 128, "controls": False, "families": families}
    crossed = list(SyntheticFaces(**options, crossed=True).clips())
    by_person = Counter((clip.target_identity, clip.family) for clip in crossed)
    assert by_person == {(str(i), f): 1 for i in range(20) for f in ("", *families)}
    assert all(c.split == split_of_identity("synthetic", c.target_identity) for c in crossed)
    apart = {(c.split, c.family) for c in SyntheticFaces(**options).clips()}
    assert ("train", "reenactment") not in apart
    with pytest.raises(InvalidOption, match="crossed must be true or false"):
        SyntheticFaces(crossed=1)


def test_identities_are_in_the_committed_split(clips):
    for clip in clips:
        assert clip.split == split_of_identity("synthetic", clip.target_identity)


def test_clip_ids_are_unique_and_of_the_allowed_characters(clips):
    videos = [clip.video for clip in clips]
    assert len(set(videos)) == len(videos)
    assert all(c.isalnum() or c in "-_./" for video in videos for c in video)


def test_only_swaps_have_a_donor_who_is_another_person_of_the_split(clips):
    for clip in clips:
        assert bool(clip.donor_identity) == (clip.family == "landmark-swap")
        if clip.donor_identity:
            assert clip.donor_identity != clip.target_identity
            assert split_of_identity("synthetic", clip.donor_identity) == clip.split


def test_the_clips_as_a_manifest_leak_nothing(clips, tmp_path):
    rows = [
        {"sample": f"synthetic/{c.video}/0/0", **{f: getattr(c, f) for f in FIELDS}} for c in clips
    ]
    manifest = Manifest.from_rows(rows, tmp_path)
    manifest.check_no_leak()
    sizes = Counter(manifest.components().tolist())
    people = [
        len(
            {c.target_identity for c, k in zip(clips, manifest.components(), strict=True) if k == n}
        )
        for n in sizes
    ]
    assert max(people) <= 3


def test_controls_are_every_degradation_on_real_and_fake_of_development_and_final(clips):
    controls = [clip for clip in clips if clip.degradation]
    assert {clip.split for clip in controls} == {"development", "final"}
    people = {c.target_identity for c in clips if c.split != "train"}
    for person in people:
        mine = [clip for clip in controls if clip.target_identity == person]
        expected = Counter((d.name, label) for d in DEGRADATIONS for label in (0, 1))
        assert Counter((c.degradation, c.label) for c in mine) == expected
        assert {c.family for c in mine if c.label} == set(rendered_families(mine[0].split))
    without = SyntheticFaces(identities=20, clips=2, size=128, controls=False).clips()
    assert [c.video for c in without] == [c.video for c in clips if not c.degradation]


def test_a_clip_renders_the_same_bytes_after_pickling(clips):
    for clip in (clips[0], clips[1], clips[2], clips[-1]):
        again = pickle.loads(pickle.dumps(clip))
        np.testing.assert_array_equal(picture(clip), picture(again))


def test_a_pair_has_the_same_size_landmarks_and_background(clips):
    group = [c for c in clips if c.pair == clips[-1].pair and not c.degradation]
    frames = [next(iter(clip.media())) for clip in group]
    for clip, frame in zip(group[1:], frames[1:], strict=True):
        assert frame.image.shape == frames[0].image.shape
        np.testing.assert_array_equal(frame.landmarks, frames[0].landmarks)
        change = np.abs(frame.image.astype(int) - frames[0].image).mean(-1)
        x, y = frame.landmarks.mean(0).astype(int)
        assert change[y - 20 : y + 20, x - 20 : x + 20].mean() > 0.5, clip.family
        assert change[:8].mean() < 0.5


def test_a_control_is_the_degraded_clip(clips):
    control = next(c for c in clips if c.degradation == "blur" and c.label == 0)
    plain = next(c for c in clips if c.video == control.pair)
    soft, sharp = (cv2.Laplacian(picture(c), cv2.CV_64F).var() for c in (control, plain))
    assert soft < 0.7 * sharp


def test_a_subset_of_splits_gives_the_same_clips(clips):
    part = list(SyntheticFaces(identities=20, clips=2, size=128, splits=("development",)).clips())
    whole = [clip for clip in clips if clip.split == "development"]
    assert [c.video for c in part] == [c.video for c in whole]
    assert [c.media for c in part] == [c.media for c in whole]


def test_another_seed_gives_other_people_in_the_same_splits():
    first, second = (
        list(SyntheticFaces(identities=10, clips=1, size=128, seed=s, controls=False).clips())
        for s in (0, 1)
    )
    assert [c.video for c in first] == [c.video for c in second]
    assert np.abs(picture(first[0]).mean((0, 1)) - picture(second[0]).mean((0, 1))).max() > 1


def test_a_lone_person_has_no_swap_and_it_is_logged(caplog):
    with caplog.at_level(logging.WARNING):
        clips = list(SyntheticFaces(identities=1, clips=1, size=128).clips())
    assert [c.family for c in clips] == ["", "self-blend"]
    assert "no donor for landmark-swap" in caplog.text


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"identities": 0}, "identities must be a whole number of 1 or more, got 0"),
        ({"identities": "1e1"}, "identities must be a whole number of 1 or more, got '1e1'"),
        ({"identities": 2.5}, "identities must be a whole number of 1 or more, got 2.5"),
        ({"clips": True}, "clips must be a whole number of 1 or more, got True"),
        ({"clips": None}, "clips must be a whole number of 1 or more, got None"),
        ({"size": 10}, "size must be a whole number from 128 to 4096, got 10"),
        ({"size": 5000}, "size must be a whole number from 128 to 4096, got 5000"),
        ({"seed": -1}, "seed must be a whole number of 0 or more, got -1"),
        ({"controls": "maybe"}, "controls must be true or false, got 'maybe'"),
        ({"splits": 3}, "splits must be a name or a list of names, got 3"),
        ({"families": 3}, "families must be a text or a list of names, got 3; there is quick, all"),
        ({"families": ""}, "families names none; there is quick, all"),
        ({"motion": 1.5}, "motion must be a number from 0 to 1, got 1.5"),
        ({"motion": "half"}, "motion must be a number from 0 to 1, got 'half'"),
        ({"splits": ()}, "splits names none; there is train, development, final"),
        ({"splits": " , "}, "splits names none"),
    ],
)
def test_impossible_options_are_refused_in_one_line(options, words):
    with pytest.raises(InvalidOption) as raised:
        SyntheticFaces(**options)
    assert words in str(raised.value)
    assert "\n" not in str(raised.value)
    if not {"identities", "clips", "size"} & set(options):
        with pytest.raises(InvalidOption):
            Photos("nowhere", **options)


def test_a_whole_number_of_numpy_is_one():
    assert len(list(SyntheticFaces(identities=np.int64(1), clips=np.uint8(1)).clips())) == 2


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("train", ("train",)),
        ("final, train", ("final", "train")),
        (["development"], ("development",)),
    ],
)
def test_splits_may_be_a_text_or_a_list(text, names):
    options = {"identities": 10, "clips": 1, "controls": False}
    given = [c.video for c in SyntheticFaces(**options, splits=text).clips()]
    assert given == [c.video for c in SyntheticFaces(**options).clips() if c.split in names]


def test_unknown_options_and_splits_are_refused():
    known = "there is identities, clips, size, seed, controls, splits, families, motion"
    with pytest.raises(InvalidOption, match=f"synthetic has no option 'people'; {known}"):
        plugins().spec("dataset", "synthetic").build(None, people=3)
    with pytest.raises(InvalidOption, match="photos has no option 'clips'; there is variants"):
        gk.dataset("photos", "nowhere", clips=3)
    for splits in (("test",), "test", "train,test"):
        with pytest.raises(UnknownPart, match="no split is named 'test'"):
            SyntheticFaces(splits=splits)  # type: ignore[arg-type]


def test_photos_need_a_folder_and_drawn_faces_take_none():
    with pytest.raises(MissingMedia, match=r"photos was given no folder.*photos:FOLDER"):
        gk.dataset("photos")
    with pytest.raises(InvalidOption, match="synthetic draws its faces and takes no folder, got"):
        gk.dataset("synthetic", "portraits")


def test_an_option_that_a_dataset_of_a_plugin_does_not_have_is_an_error_of_ours():
    def build(root, *, people=1):
        return SyntheticFaces(identities=people, clips=1)

    spec = DatasetSpec(name="theirs", summary="for tests", licence="none", build=build)
    with registered(spec):
        assert list(gk.dataset("theirs", people=2).clips())
        with pytest.raises(InvalidOption, match="dataset theirs has no option 'persons'"):
            gk.dataset("theirs", persons=2)


def test_a_mistake_inside_a_dataset_is_seen_in_full():
    def build(root):
        return len(5)  # type: ignore[arg-type]

    spec = DatasetSpec(name="theirs", summary="for tests", licence="none", build=build)
    with registered(spec), pytest.raises(TypeError, match="has no len"):
        gk.dataset("theirs")


def test_photos_are_used_by_name_and_unusable_ones_are_reported(photos, caplog):
    with caplog.at_level(logging.WARNING):
        clips = list(photos.clips())
    assert set(photos.excluded) == {"empty.png", "small.png", "broken.png"}
    assert photos.excluded["empty.png"] == "no face was found"
    assert "are needed" in photos.excluded["small.png"]
    assert "cannot be read" in photos.excluded["broken.png"]
    assert caplog.text.count("is left out") == 3
    assert {c.target_identity for c in clips} == {f"Person {i}" for i in range(12)}
    for clip in clips:
        assert clip.split == split_of_identity("photos", clip.target_identity)
        assert all(c.isalnum() or c in "-_./" for c in clip.video)
    assert list(photos.clips()) == clips


def test_photo_clips_are_rendered_with_landmarks_and_vary(photos):
    clips = [c for c in photos.clips() if c.target_identity == "Person 3" and not c.label]
    clips = [c for c in clips if not c.degradation]
    first, second = (next(iter(clip.media())) for clip in clips)
    assert first.landmarks.shape == (5, 2)
    assert first.image.shape != second.image.shape or (first.image != second.image).any()


def test_a_second_photo_of_a_name_is_left_out(folder, tmp_path, asset):
    asset("centerface")
    for suffix in ("jpg", "png"):
        cv2.imwrite(str(tmp_path / f"a.{suffix}"), draw_face(identity=0, clip=0).image[..., ::-1])
    photos = Photos(tmp_path)
    assert len({clip.pair for clip in photos.clips()}) == 2
    assert photos.excluded == {"a.png": "there is already a photo of that name"}


def test_a_missing_or_empty_folder_says_what_is_sought(tmp_path):
    with pytest.raises(MissingMedia, match="is no folder; `photos` looks for photos of one face"):
        Photos(tmp_path / "none")
    with pytest.raises(MissingMedia, match="no photo in"):
        Photos(tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["photos", "synthetic"])
def test_trivial_probes_stay_at_chance(name, request, monkeypatch):
    """The bound that every family must keep, on the people of train and development.

    The families of final are rendered for these people too, so that final people stay unseen.
    """
    from gendkit.data.faces import align_face
    from gendkit.measure.probes import trivial_probes

    families = dict.fromkeys(f for split in SPLITS for f in rendered_families(split))
    monkeypatch.setattr("gendkit.builtin.datasets.rendered_families", lambda *_: tuple(families))
    people = {"controls": False, "splits": ("train", "development")}
    if name == "photos":
        request.getfixturevalue("asset")("centerface")
        portraits = request.getfixturevalue("shared") / "portraits"
        clips = list(Photos(portraits, variants=6, **people).clips())
    else:
        clips = list(SyntheticFaces(identities=200, **people).clips())
    frames = [next(iter(clip.media())) for clip in clips]
    results = trivial_probes(
        [align_face(frame.image, frame.landmarks) for frame in frames],
        [clip.label for clip in clips],
        [clip.family for clip in clips],
        [clip.target_identity for clip in clips],
        bootstraps=20,
    )
    assert {r.family for r in results} == set(families)
    assert len(families) == 5
    assert [(r.family, r.probe, r.auroc) for r in results if not r.passed] == []
