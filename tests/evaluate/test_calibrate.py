"""A calibration: fitted on named clips, written, read strictly, and silent where it must be."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import gendkit as gk
from gendkit.data.manifest import Manifest
from gendkit.data.quality import Quality
from gendkit.errors import (
    InvalidArgument,
    InvalidCalibration,
    InvalidLabels,
    MissingMedia,
    UndefinedMetric,
)
from gendkit.evaluate.calibrate import Calibrated, calibrate
from gendkit.evaluate.calibration import FORMAT, Calibration, Person
from gendkit.evaluate.checked import checked
from gendkit.evaluate.clips import clips_of
from gendkit.evaluate.final import read_log, times_logged
from gendkit.evaluate.likeness import Likeness
from gendkit.model.detector import Detector
from gendkit.testing.small import registered, small_backbone, small_crops, small_detector
from gendkit.testing.telling import telling
from gendkit.train.record import describe

PEOPLE = 44
MADE: dict[str, Any] = {"dtype": "float32", "extraction": {}}


def _crops(folder: Path, count: int, *, split: str, seed: int = 0, **options: Any) -> Manifest:
    folder.mkdir()
    names = [f"{folder.name}-{i}" for i in range(count)]
    return small_crops(folder, identities=names, frames=2, split=split, seed=seed, **options)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("calibrate")


@pytest.fixture(scope="module")
def own(home: Path) -> Manifest:
    return _crops(home / "own", PEOPLE, split="development")


@pytest.fixture(scope="module")
def other(home: Path) -> Manifest:
    """Fewer people, and crops so small that they are not as sharp as any of the own ones."""
    return _crops(home / "other", 10, split="final", seed=7, size=12)


@pytest.fixture(scope="module")
def detector(own: Manifest) -> Iterator[Detector]:
    spec = small_backbone()
    with registered(spec):
        yield telling(small_detector(spec), own, strength=2)


@pytest.fixture(scope="module")
def made(own: Manifest, other: Manifest, detector: Detector, home: Path) -> Iterator[Calibrated]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GENDKIT_CACHE", str(home / "cache"))
        yield calibrate(own, detector, on={"other": other}, name="own:development")


@pytest.fixture
def person(made: Calibrated, own: Manifest, detector: Detector) -> Callable[..., Person]:
    """A function that makes a person of the calibration's own kind, but for what is said."""
    clips = clips_of(own, detector)
    row = clips.table.iloc[0]
    seen = Quality(eyes=row["eyes"], sharpness=row["sharpness"], brightness=row["brightness"])

    def make(**changes: Any) -> Person:
        usual = Person(track=0, score=0.9, crops=2, quality=seen, vector=clips.vectors[0])
        quality = {k: v for k, v in changes.items() if k in ("eyes", "sharpness", "brightness")}
        rest = {k: v for k, v in changes.items() if k not in quality}
        return replace(usual, quality=replace(seen, **quality), **rest)

    return make


def test_it_names_its_clips_and_its_detector(
    made: Calibrated, own: Manifest, detector: Detector
) -> None:
    found = made.calibration
    assert str(found.population) == (
        "44 real and 44 fake clips (grid 44) of 44 groups of people of small, split development"
    )
    assert found.population.name == "own:development"
    assert (found.population.groups, found.population.crops) == (PEOPLE, 4 * PEOPLE)
    assert found.made.adapter == detector.adapter.hash
    assert (found.likelihood.reals, found.likelihood.fakes) == (PEOPLE, PEOPLE)
    assert len(found.conformal.reals) == len(found.conformal.fakes) == PEOPLE
    assert 0 < found.likelihood.high <= np.log10(PEOPLE + 1)
    assert "adapter" in made._repr_html_()
    assert gk.calibrate is calibrate
    assert gk.Calibration is Calibration


def test_each_own_clip_was_judged_without_its_group(made: Calibrated) -> None:
    clips = made.clips[made.clips["set"] == "own:development"]
    inside = made.calibration.likelihood(clips["score"].to_numpy())
    assert not np.allclose(clips["log10_lr"].to_numpy(), inside)
    assert np.corrcoef(clips["log10_lr"].to_numpy(), inside)[0, 1] > 0.95
    assert clips["log10_lr"].abs().max() <= np.log10(PEOPLE + 1)
    check = made.calibration.checks[0]
    assert check.own
    assert check.outside_of_real is None
    assert check.cllr is not None
    assert check.cllr_interval is not None
    assert check.cllr_interval[0] <= check.cllr <= check.cllr_interval[1]
    assert check.cllr_min is not None
    assert check.cllr_min <= check.cllr < 0.5
    assert check.calibration_error["temperature"] < check.calibration_error["score"]


def test_another_set_stands_beside_it_and_its_final_split_is_noted(
    made: Calibrated, home: Path, detector: Detector, other: Manifest
) -> None:
    own, shifted = made.calibration.checks
    assert (shifted.name, shifted.own) == ("other", False)
    assert (shifted.reals, shifted.fakes, shifted.groups) == (10, 10, 10)
    assert shifted.outside_of_real == 1, "no own crop is as soft as these"
    assert shifted.inside_fake_of_real is None
    assert shifted.fake_of_real is not None
    assert own.fake_of_real == 0
    assert own.fake_of_real_interval == pytest.approx((0, 1 - 0.025 ** (1 / PEOPLE)), abs=1e-9)
    clips = made.clips[made.clips["set"] == "other"]
    assert clips["reasons"].str.contains("eyes").all()
    (entry,) = read_log(home / "cache" / "final-evaluations.jsonl")
    assert entry["adapter"] == detector.adapter.hash
    assert entry["calibrated_on"] == made.calibration.population.digest
    assert entry["data"] == describe(other)["digest"]
    assert len(other) == 40
    assert shifted.linked == 0
    assert not shifted.limit


def test_a_set_that_holds_clips_of_the_own_is_no_test_and_its_final_rows_alone_are_logged(
    own: Manifest, other: Manifest, detector: Detector, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setenv("GENDKIT_CACHE", str(tmp_path))
    table = own.table.copy()
    table.loc[table["target_identity"] == "own-0", "split"] = "final"
    whole = replace(own, table=table)
    half = whole.where((table["split"] == "development").to_numpy())
    calibration = calibrate(half, detector, on={"whole": whole}, name="half").calibration
    check = calibration.checks[1]
    assert check.linked == check.reals + check.fakes - 2
    assert any(
        f"{check.linked} of {check.linked + 2} clips of whole" in x for x in calibration.limits
    )
    assert times_logged(whole.where((table["split"] == "final").to_numpy())) == 1


@pytest.mark.parametrize("seed", [-1, 1.5])
def test_a_seed_is_a_whole_number(own: Manifest, detector: Detector, seed: float) -> None:
    with pytest.raises(InvalidArgument, match="give a whole number from 0"):
        calibrate(own, detector, seed=seed)


def test_another_set_is_not_called_like_the_own(own: Manifest, detector: Detector) -> None:
    with pytest.raises(InvalidArgument, match="'own' is the calibration's own set"):
        calibrate(own, detector, on={"own": own})


def test_a_set_of_one_class_has_the_rates_of_that_class_alone(
    own: Manifest, detector: Detector
) -> None:
    reals = own.where((own.table["label"] == 0) & (own.table["target_identity"] < "own-3"))
    _, found = calibrate(own, detector, on={"reals": reals}).calibration.checks
    assert found.fakes == 0
    assert found.fake_of_real == 0
    assert found.cllr is found.auroc is found.cllr_min is found.real_of_fake is None
    assert found.real_of_fake_interval is found.inside_real_of_fake is None
    assert found.calibration_error == {}


def test_a_set_of_one_person_has_no_interval(made: Calibrated, tmp_path: Path) -> None:
    clips = made.clips[(made.clips["set"] == "own:development") & (made.clips["component"] == 0)]
    with pytest.warns(UndefinedMetric, match="one component"):
        found = checked(clips, name="one", own=False, seed=0)
    assert found.cllr is not None
    assert found.cllr_interval is None
    written = replace(made.calibration, checks=(found,)).write(tmp_path / "one.json")
    assert Calibration.read(written).checks == (found,)


def test_the_final_split_is_refused(own: Manifest, other: Manifest, detector: Detector) -> None:
    with pytest.raises(InvalidArgument, match=r"40 rows of the final split; .*--on"):
        calibrate(other, detector)
    with pytest.raises(InvalidArgument, match="alpha is 1"):
        calibrate(own, detector, alpha=1.0)


def test_too_few_people_are_not_estimable(own: Manifest, detector: Detector) -> None:
    few = own.where(own.table["target_identity"].isin([f"own-{i}" for i in range(9)]))
    with pytest.raises(InvalidLabels, match=r"not estimable \(9 independent groups"):
        calibrate(few, detector)
    with pytest.raises(InvalidLabels, match="of one class"):
        calibrate(own.where(own.table["label"] == 1), detector)


def test_clips_of_a_training_split_are_told(own: Manifest, detector: Detector) -> None:
    table = own.table.assign(split="train")
    found = calibrate(replace(own, table=table), detector).calibration
    assert "training split" in found.limits[0]


def test_clips_that_took_part_in_the_making_of_the_detector_are_told(
    own: Manifest, detector: Detector
) -> None:
    digest = describe(own)["digest"]
    for part, told in (("train", "trained on these very"), ("validation", "epoch was chosen by")):
        record = {"data": {part: {"digest": digest}}}
        found = calibrate(own, detector, name="own", record=record).calibration
        assert told in found.population.limit
        assert any(told in limit for limit in found.limits)
    other = {"data": {"train": {"digest": "of others"}}}
    assert calibrate(own, detector, record=other).calibration.population.took_part == ()


def test_it_comes_back_from_its_file(made: Calibrated, tmp_path: Path) -> None:
    file = made.calibration.write(tmp_path / "deep" / "calibration.json")
    assert Calibration.read(file) == made.calibration
    assert json.loads(file.read_text())["format"] == FORMAT


def _without(document: dict[str, Any]) -> None:
    del document["likelihood"]["slope"]


def _more(document: dict[str, Any]) -> None:
    document["conformal"]["gamma"] = 0.1


def _text(document: dict[str, Any]) -> None:
    document["likelihood"]["slope"] = "1.0"


def _changed(document: dict[str, Any]) -> None:
    document["likelihood"]["high"] = 6.0


def _later(document: dict[str, Any]) -> None:
    document["format"] = 3


def _points(document: dict[str, Any]) -> None:
    document["likeness"]["groups"].pop()


def _nan(document: dict[str, Any]) -> None:
    document["temperature"]["value"] = float("nan")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (_without, r"likelihood\.slope: field required"),
        (_more, r"conformal\.gamma: "),
        (_text, r"likelihood\.slope: input should be a valid number"),
        (_changed, "was changed since it was written"),
        (_later, "has the format 3; this one reads 2"),
        (_points, "points are not"),
        (_nan, r"temperature\.value"),
    ],
)
def test_what_is_not_as_it_was_written_is_refused(
    made: Calibrated, tmp_path: Path, change: Callable[[dict[str, Any]], None], told: str
) -> None:
    file = made.calibration.write(tmp_path / "calibration.json")
    document = json.loads(file.read_text())
    change(document)
    file.write_text(json.dumps(document))
    with pytest.raises(InvalidCalibration, match=told):
        Calibration.read(file)


def test_what_is_no_calibration_is_told(tmp_path: Path) -> None:
    with pytest.raises(MissingMedia, match="gendkit calibrate"):
        Calibration.read(tmp_path / "none.json")
    for text in ("", "[]", "{}", "null", "\x00", '{"format": 1}'):
        (tmp_path / "x.json").write_text(text)
        with pytest.raises(InvalidCalibration, match="is no calibration"):
            Calibration.read(tmp_path / "x.json")


def test_another_adapter_is_refused(made: Calibrated, own: Manifest, detector: Detector) -> None:
    made.calibration.check(detector)
    with pytest.raises(InvalidCalibration, match=detector.adapter.hash[:12]):
        made.calibration.check(telling(detector, own, strength=3))


def test_a_person_like_the_clips_has_a_ratio_and_a_decision(
    made: Calibrated, person: Callable[..., Person]
) -> None:
    (high,) = made.calibration.weigh([person(score=0.9)], **MADE)
    assert high.reasons == ()
    assert high.log10_lr == made.calibration.likelihood([0.9])[0]
    assert high.at_bound
    assert high.support == "moderate support for fake over real"
    assert high.decision == "fake"
    assert high.p_real == pytest.approx(1 / (PEOPLE + 1))
    assert high.temperature == made.calibration.temperature([0.9])[0]
    assert high.isotonic == made.calibration.isotonic([0.9])[0]
    (low,) = made.calibration.weigh([person(score=0.1)], **MADE)
    assert (low.decision, low.log10_lr) == ("real", made.calibration.likelihood.low)
    assert "how the calibration's crops were made is not recorded" in high.limits
    assert made.calibration.weigh([], **MADE) == ()


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"crops": 1}, "1 frames with the face, validated from 2"),
        ({"eyes": 8.0}, "eyes 8 px apart, validated from 20 to 20"),
        ({"eyes": None}, "the size of the face is not known"),
        ({"sharpness": -3.0}, "sharpness -3, validated from"),
        ({"brightness": 2.0}, "brightness 2, validated from"),
        ({"vector": -np.eye(32, dtype=np.float32)[0]}, "unlike the calibration's clips (novelty p"),
    ],
)
def test_outside_the_validated_range_no_number_is_given(
    made: Calibrated, person: Callable[..., Person], change: dict[str, Any], told: str
) -> None:
    (found,) = made.calibration.weigh([person(**change)], **MADE)
    assert told in "; ".join(found.reasons)
    assert found.support == found.decision == "not validated"
    assert found.log10_lr is found.p_real is found.p_fake is found.temperature is None
    assert found.isotonic is None
    assert not found.at_bound


def test_what_was_made_otherwise_is_not_validated(
    made: Calibrated, person: Callable[..., Person]
) -> None:
    (found,) = made.calibration.weigh([person()], dtype="bfloat16", extraction={})
    assert found.reasons == ("computed in bfloat16, validated in float32",)
    recorded = {"extractor": "centerface", "scale": 1.3}
    population = replace(made.calibration.population, extraction=recorded)
    known = replace(made.calibration, population=population)
    cut = {"extractor": "yunet", "scale": 1.3}
    (found,) = known.weigh([person()], dtype="float32", extraction=cut)
    assert found.reasons == ("extractor yunet, validated with centerface",)
    (found,) = known.weigh([person()], dtype="float32", extraction=recorded)
    assert found.reasons == ()
    assert not any("not recorded" in limit for limit in found.limits)


def test_of_several_people_each_stands_alone(
    made: Calibrated, person: Callable[..., Person]
) -> None:
    found = made.calibration.weigh(
        [person(track=t, score=s) for t, s in ((0, 0.9), (1, 0.1), (3, 0.9))], **MADE
    )
    assert [e.track for e in found] == [0, 1, 3]
    assert [e.decision for e in found] == ["cannot tell", "real", "cannot tell"], (
        "one in 45 is not rare among three people"
    )


def test_few_people_cannot_show_that_a_clip_is_unlike_them() -> None:
    rng = np.random.default_rng(0)
    points = rng.normal(size=(20, 8)).astype(np.float32)
    assert (
        "cannot be told from 20 groups of people; it takes 38"
        in Likeness.of(points, np.arange(20)).limit
    )
    many = Likeness.of(rng.normal(size=(400, 8)).astype(np.float32), np.arange(400), seed=1)
    assert many.limit == ""
    near = many.p_values(rng.normal(size=(200, 8)).astype(np.float32))
    assert many.unlike(near).mean() == pytest.approx(0.05, abs=0.05)
    assert many.p_values(np.zeros((0, 8), np.float32)).shape == (0,)


def test_one_row_a_person_of_a_clip_is_scored(own: Manifest, detector: Detector) -> None:
    clips = clips_of(own, detector)
    assert len(clips.table) == 2 * PEOPLE
    first = own.where(own.table["video"] == "real-own-0")
    scores = detector.predict([first.crop(i) for i in range(len(first))])
    assert clips.table["score"].iloc[0] == pytest.approx(scores.astype(float).mean(), abs=1e-6)
    assert clips.table["eyes"].unique().tolist() == [20.0]
    np.testing.assert_allclose(np.linalg.norm(clips.vectors, axis=1), 1, rtol=1e-5)
    whole = own.table.assign(video="real", label=0, track=0)
    (longest,) = clips_of(replace(own, table=whole), detector).table.to_dict("records")
    assert longest["crops"] == 4 * PEOPLE
    assert longest["brightness"] == pytest.approx(clips.table["brightness"].median(), abs=25)
    mixed = own.table.assign(video="same", label=[0, 1] * (len(own) // 2))
    with pytest.raises(InvalidLabels, match="labelled real and crops labelled fake"):
        clips_of(replace(own, table=pd.DataFrame(mixed)), detector)


def test_the_card_of_its_detector_says_of_which_clips_a_score_is_known(
    made: Calibrated, detector: Detector, tmp_path: Path
) -> None:
    path = made.calibration.write(tmp_path / "calibration.json")
    limits = " ".join(gk.model_card(detector.adapter, results=[path]).limits)
    assert f"is known of {made.calibration.population} (own:development) alone" in limits
    assert f"to {made.calibration.likelihood.high:.2f}, and nothing beyond" in limits
    assert "no calibration was given" not in limits
    other = replace(detector.adapter, head={n: -t for n, t in detector.adapter.head.items()})
    with pytest.raises(InvalidArgument, match="is of adapter"):
        gk.model_card(other, results=[path])
