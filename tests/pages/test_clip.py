"""The clip report: whole, escaped, blurred where it must be, and checked to the digit."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

import gendkit as gk
from gendkit.errors import (
    InvalidArgument,
    InvalidEmbeddings,
    InvalidReport,
    MissingMedia,
    OutputExists,
)
from gendkit.manifold.store import write_embeddings
from gendkit.model.detector import Detector
from gendkit.pages import clip as module
from gendkit.pages import clip_page
from gendkit.pages.clip import ClipReport, digest_of
from gendkit.pages.clip_reference import Reference, blurred
from gendkit.pages.clip_verify import _agreement
from gendkit.testing.small import registered, small_backbone, small_crops, small_detector

FEW: dict[str, Any] = {"frames": 4, "draws": 1, "k": 2}


@pytest.fixture(scope="module")
def detector() -> Iterator[Detector]:
    """One for all reports here, so that one report can serve several tests."""
    spec = small_backbone()
    with registered(spec):
        yield small_detector(spec)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("clip")


@pytest.fixture(scope="module")
def store(home: Path, detector: Detector) -> Path:
    """Crops of ten people, embedded; the reference of all reports here."""
    (home / "crops").mkdir()
    people = [f"person-{i}" for i in range(10)]
    manifest = small_crops(home / "crops", identities=people, frames=2, split="train")
    gk.embed(manifest, detector, home / "reference.zarr")
    return home / "reference.zarr"


@pytest.fixture(scope="module")
def media(home: Path, asset: Callable[[str], Path]) -> Path:
    """A real clip under a name that is markup."""
    asset("centerface")
    (home / "media").mkdir()
    return Path(shutil.copy(asset("carphone"), home / "media" / "<script>alert(1)&.mp4"))


@pytest.fixture(scope="module")
def adapter(home: Path, detector: Detector) -> Path:
    return detector.adapter.write(home / "adapter.safetensors")


@pytest.fixture(scope="module")
def made(media: Path, adapter: Path, store: Path) -> ClipReport:
    return gk.report(media, adapter, store, **FEW)


class Tags(HTMLParser):
    """Names of the elements of a page, and its text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.names: list[str] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.append(tag)

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_record_holds_what_the_numbers_rest_on(
    made: ClipReport, media: Path, detector: Detector, store: Path
) -> None:
    import hashlib

    record = made.record
    assert record["file"]["sha256"] == hashlib.sha256(media.read_bytes()).hexdigest()
    assert record["file"]["frames"] == 120
    assert record["detector"]["adapter_sha256"] == detector.adapter.hash
    assert record["reference"]["people"] == 10
    assert sum(row["crops"] for row in record["reference"]["population"]) == 40
    assert record["digest"] == digest_of(record)
    (track,) = record["tracks"]
    expected = detector.score(media, frames=4)
    assert track["score"] == pytest.approx(expected.score, abs=1e-6)
    assert [f["frame"] for f in record["frames"]] == [f.frame for f in expected.frames]
    assert all(len(f["crop_sha256"]) == 64 for f in record["frames"])
    assert all(np.shape(f["landmarks"]) == (5, 2) for f in record["frames"])
    assert json.loads(made.to_json()) == record


def test_reals_and_fakes_stand_side_by_side_one_a_person(made: ClipReport, store: Path) -> None:
    (track,) = made.record["tracks"]
    reference = gk.open_embeddings(store).load()
    of = dict(zip(reference["sample"].to_numpy(), reference["label"].to_numpy(), strict=True))
    person = dict(
        zip(reference["sample"].to_numpy(), reference["target_identity"].to_numpy(), strict=True)
    )
    for label, kind in enumerate(("real", "fake")):
        near = track["nearest"][kind]
        assert [n["rank"] for n in near] == [1, 2]
        assert {of[n["sample"]] for n in near} == {label}
        assert len({person[n["sample"]] for n in near}) == 2
        assert near[0]["similarity"] >= near[1]["similarity"]
        assert all(0 <= n[f"percentile_of_{kind}s"] <= 100 for n in near)
        assert all(n["licence"] == "CC0-1.0" and n["split"] == "train" for n in near)


def test_the_page_is_whole_and_a_hostile_name_is_text(made: ClipReport) -> None:
    page = made.page()
    tags = Tags(page)
    assert tags.names.count("script") == 1  # the record, as data
    assert "<script>alert(1)&.mp4" in tags.text
    assert "<script>alert" not in page
    assert not re.search(r'(src|href)="(?!data:|#)', page)
    assert "default-src &#x27;none&#x27;" in page
    for words in ("Two propositions", "Not examined", "Nearest reals", "Nearest fakes", "Votes"):
        assert words in tags.text
    assert "no probability that the clip is forged" in tags.text
    assert "iframe" in made._repr_html_()
    assert "person 1 score" in repr(made)


def test_a_value_in_the_record_cannot_end_its_block(made: ClipReport) -> None:
    file = {**made.record["file"], "problem": "</script><script>alert(2)</script>\u2028"}
    page = replace(made, record={**made.record, "file": file}).page()
    assert Tags(page).names.count("script") == 1
    assert "alert(2)" in page


def test_words_of_an_adapter_and_of_plugins_are_text_on_the_page(made: ClipReport) -> None:
    evil = "</style></script><script>alert(3)</script><img src=x onerror=alert(3)>\x1b[31m\u202e"

    def marked(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: marked(of) for key, of in value.items()}
        return f"{value}{evil}" if isinstance(value, str) else value

    detector = marked(made.record["detector"])
    assert evil in str(detector["backbone"])
    before, page = (
        replace(made, record={**made.record, "detector": of}).page()
        for of in (made.record["detector"], detector)
    )
    assert sorted(Tags(page).names) == sorted(Tags(before).names)
    assert "onerror=alert(3)" in Tags(page).text
    shown, _, _ = page.rpartition("<script")  # the record is data, and as it is
    assert not set("\x1b\u202e") & set(shown)


def test_files_are_written_and_never_over_others(made: ClipReport, tmp_path: Path) -> None:
    page, record = made.write(tmp_path / "new" / "a.html")
    assert page.read_text(encoding="utf-8") == made.page()
    assert json.loads(record.read_text(encoding="utf-8")) == made.record
    with pytest.raises(OutputExists):
        made.write(page)
    with pytest.raises(InvalidArgument, match=r"NAME\.html"):
        made.write(tmp_path / "a.pdf")


@pytest.fixture
def written(made: ClipReport, tmp_path: Path) -> tuple[Path, Path]:
    return made.write(tmp_path / "a.html")


def test_a_report_comes_out_again_and_its_page_too(written: tuple[Path, Path]) -> None:
    for file in written:
        found = gk.verify(file)
        assert found.holds, (found.tampered, found.differences)
        assert found.differences == ()


def test_a_changed_digit_is_found_where_it_is(written: tuple[Path, Path], tmp_path: Path) -> None:
    record = json.loads(written[1].read_text(encoding="utf-8"))
    record["tracks"][0]["score"] *= 1.001
    changed = tmp_path / "changed.json"
    changed.write_text(json.dumps(record), encoding="utf-8")
    found = gk.verify(changed)
    assert not found.holds
    assert "digest" in found.tampered[0]
    assert [d.where for d in found.failures] == ["tracks.0.score"]
    assert found.failures[0].digits == 2 or found.failures[0].digits == 3
    assert replace(found, digits=2).failures == ()
    record["digest"] = digest_of(record)  # whoever forges the digest, too, is caught all the same
    changed.write_text(json.dumps(record), encoding="utf-8")
    again = gk.verify(changed)
    assert again.tampered == ()
    assert not again.holds


def test_a_changed_page_is_found_though_its_record_is_right(written: tuple[Path, Path]) -> None:
    text = written[0].read_text(encoding="utf-8")
    written[0].write_text(text.replace("gives no verdict", "says: real"), encoding="utf-8")
    found = gk.verify(written[0])
    assert not found.holds
    assert "text was changed" in found.tampered[0]


def test_a_forged_page_is_found_behind_a_difference_that_does_not_count(
    made: ClipReport, tmp_path: Path
) -> None:
    """A last bit that differs, as on another machine, is no leave to write what one likes."""
    record = json.loads(made.to_json())
    record["tracks"][0]["score_lowest"] += 1e-12
    record["digest"] = digest_of(record)
    page = replace(made, record=record).page()
    file = tmp_path / "forged.html"
    file.write_text(page, encoding="utf-8")
    assert gk.verify(file).holds
    file.write_text(page.replace("gives no verdict", "says: real"), encoding="utf-8")
    assert not gk.verify(file).holds


def test_another_picture_is_found(made: ClipReport, tmp_path: Path) -> None:
    names = [n for n in made.pictures if n.startswith("frame/")]
    swapped = {**made.pictures, names[0]: 255 - np.asarray(made.pictures[names[0]])}
    file = tmp_path / "swapped.html"
    file.write_text(replace(made, pictures=swapped).page(), encoding="utf-8")
    found = gk.verify(file)
    assert not found.holds
    assert "picture" in found.tampered[0]


def test_another_file_or_place_is_told(
    written: tuple[Path, Path], media: Path, tmp_path: Path, shared: Path
) -> None:
    moved = Path(shutil.copy(media, tmp_path / "moved.mp4"))
    record = json.loads(written[1].read_text(encoding="utf-8"))
    record["inputs"]["media"] = str(tmp_path / "gone.mp4")
    record["digest"] = digest_of(record)
    written[1].write_text(json.dumps(record), encoding="utf-8")
    with pytest.raises(MissingMedia, match="media is not at"):
        gk.verify(written[1])
    assert gk.verify(written[1], media=moved).holds
    other = gk.verify(written[1], media=shared / "media" / "face_noface.mov")
    assert "file.sha256" in {d.where for d in other.failures}


def test_a_file_without_a_face_is_not_examined(
    tmp_path: Path, detector: Detector, store: Path, asset: Callable[[str], Path]
) -> None:
    from PIL import Image

    asset("centerface")
    Image.fromarray(np.full((80, 80, 3), 128, np.uint8)).save(tmp_path / "grey.png")
    made = gk.report(tmp_path / "grey.png", detector, store, **FEW)
    assert made.record["tracks"] == []
    assert made.record["frames"][0]["reason"] == "no face found"
    assert "not the same as real" in Tags(made.page()).text
    assert "not examined" in repr(made)


def test_faces_are_blurred_unless_their_licence_allows(detector: Detector, store: Path) -> None:
    ds = gk.open_embeddings(store).load()
    samples = [str(s) for s in ds["sample"].to_numpy()[:2]]
    shown = Reference.of(ds, k=2, seed=0, showable={"CC0-1.0"}).faces(samples)
    hidden = Reference.of(ds, k=2, seed=0, showable=set()).faces(samples)
    for sample in samples:
        np.testing.assert_array_equal(hidden[sample], blurred(shown[sample]))
        assert not np.array_equal(hidden[sample], shown[sample])


def test_of_a_blurred_face_only_cells_are_left() -> None:
    """Two faces with the same mean in each cell are the same when blurred."""
    rng = np.random.default_rng(0)
    one = np.full((64, 64, 3), 100, np.uint8)
    other = one.copy()
    for y in range(0, 64, 8):
        for x in range(0, 64, 8):
            cell = rng.permutation(np.repeat([80, 120], 32)).reshape(8, 8, 1)
            other[y : y + 8, x : x + 8] = cell
    np.testing.assert_array_equal(blurred(one), blurred(other))


def test_crops_that_are_gone_leave_a_reason(media: Path, detector: Detector, store: Path) -> None:
    ds = gk.open_embeddings(store).load().assign_attrs(crops="/nowhere")
    made = gk.report(media, detector, ds, **FEW)
    told = [p for n, p in made.pictures.items() if n.startswith("reference/")]
    assert told
    assert all(isinstance(p, str) and p.startswith("no crops") for p in told)
    assert "no manifest" in Tags(made.page()).text


def test_what_is_known_of_the_clip_is_left_out_of_the_reference(
    media: Path, detector: Detector, store: Path, made: ClipReport
) -> None:
    nearest = made.record["tracks"][0]["nearest"]["real"][0]["sample"]
    person = nearest.split("/")[1].removeprefix("real-")
    known = {"dataset": "small", "target_identity": person}
    with pytest.raises(InvalidArgument, match="no dataset"):
        gk.report(media, detector, store, known={"target_identity": person}, **FEW)
    other = gk.report(media, detector, store, known=known, **FEW)
    near = [n["sample"] for side in other.record["tracks"][0]["nearest"].values() for n in side]
    assert not [sample for sample in near if sample.split("/")[1].endswith(person)]
    people = gk.open_embeddings(store)["target_identity"].to_numpy().tolist()
    of_person = people.count(person)
    assert other.record["reference"]["left_out"] == of_person > 0
    text = Tags(other.page()).text
    assert f"{of_person} of its crops are of this clip or its people, and are left out" in text
    nobody = gk.report(media, detector, store, known={**known, "target_identity": "x"}, **FEW)
    assert nobody.record["reference"]["left_out"] == 0
    assert "none of its crops is of it or of its people" in Tags(nobody.page()).text
    assert "left_out" not in made.record["reference"]


def test_nonsense_is_refused(media: Path, detector: Detector, store: Path, tmp_path: Path) -> None:
    with pytest.raises(MissingMedia):
        gk.report(tmp_path / "none.mp4", detector, store)
    with pytest.raises(InvalidArgument, match="k is 21"):
        gk.report(media, detector, store, k=21)
    with pytest.raises(InvalidArgument, match="known has age"):
        gk.report(media, detector, store, known={"age": "7"})
    ds = gk.open_embeddings(store).load()
    with pytest.raises(InvalidEmbeddings, match="no labels"):
        gk.report(media, detector, ds.drop_vars("label"), **FEW)
    other = ds.assign_attrs(adapter_hash="0" * 64)
    with pytest.raises(InvalidEmbeddings, match="adapter"):
        gk.report(media, detector, other, **FEW)
    for name, text in (("a.html", "<p>a page</p>"), ("a.json", "{}"), ("b.json", "nonsense")):
        (tmp_path / name).write_text(text)
        with pytest.raises(InvalidReport, match="no clip report"):
            gk.verify(tmp_path / name)
    with pytest.raises(MissingMedia, match="no report"):
        gk.verify(tmp_path / "none.html")


def test_an_unknown_format_is_refused(
    written: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    record = json.loads(written[1].read_text(encoding="utf-8"))
    written[1].write_text(json.dumps({**record, "format": 99}), encoding="utf-8")
    with pytest.raises(InvalidReport, match="format 99"):
        gk.verify(written[1])
    assert module.FORMAT == 1


def test_a_crop_of_the_reference_that_is_the_clip_itself_is_pointed_out(
    media: Path, detector: Detector, store: Path, tmp_path: Path
) -> None:
    """Else its own copy would be its nearest real, and look like evidence."""
    crops = detector.examine(media, frames=1).faces
    ds = gk.open_embeddings(store).load()
    embedding = ds["embedding"].to_numpy().copy()
    embedding[0] = detector.embed([crops[0].image])[0]
    planted = write_embeddings(
        ds.assign(embedding=(("sample", "feature"), embedding)), tmp_path / "planted.zarr"
    )
    made = gk.report(media, detector, planted, **FEW)
    assert made.record["tracks"][0]["equal"][0]["sample"] == str(ds["sample"].to_numpy()[0])
    assert "all but equal" in Tags(made.page()).text


@pytest.mark.parametrize(
    ("one", "other", "digits"),
    [
        (1.0, 1.0011, 2), (0.5, 0.50002, 4), (1.0, -1.0, 0), (1, 2, 0), ("a", "b", 0),
        (None, 1.0, 0), (0.0, 3e-9, 8), (3.003e-4, 3.0e-4, 6), (1e6, 1e6 + 2, 5),
    ],
)  # fmt: skip
def test_agreement_is_counted_in_digits_or_decimal_places(
    one: Any, other: Any, digits: int
) -> None:
    assert _agreement(one, other) == digits


def test_a_dataset_in_memory_is_a_reference_too(
    media: Path, detector: Detector, store: Path, made: ClipReport
) -> None:
    ds: xr.Dataset = gk.open_embeddings(store)
    again = gk.report(media, detector, ds, **FEW)
    assert again.record["reference"] == made.record["reference"]
    assert again.record["inputs"]["reference"] == ""


def test_the_codecs_of_the_reference_are_told_where_they_are_known(store: Path) -> None:
    ds = gk.open_embeddings(store).load()
    unknown = Reference.of(ds, k=2, seed=0, showable=()).facts()
    assert "codecs" not in unknown  # so that a report from before they were kept stays as it was
    codec = ["h264" if video.endswith("0") else "" for video in ds["video"].to_numpy()]
    known = ds.assign(source_codec=("sample", np.array(codec, dtype=object)))
    counts = Reference.of(known, k=2, seed=0, showable=()).facts()["codecs"]
    assert sum(counts.values()) == unknown["clips"]
    assert set(counts) == {"", "h264"}
    words = clip_page._codecs(counts)
    assert f"h264 ({counts['h264']})" in words
    assert f"not known ({counts['']})" in words
    assert "not recorded" in clip_page._codecs(None)


@pytest.mark.slow
def test_a_report_of_whole_pictures_says_so_and_is_recomputed(
    media: Path, detector: Detector, store: Path, tmp_path: Path
) -> None:
    """Nothing was sought in them: there are no landmarks, no confidence, and nothing is moved."""
    extraction = {"extractor": "whole-frame", "threshold": 0.0}
    header = replace(detector.adapter.header, extraction=extraction)
    adapter = replace(detector.adapter, header=header).write(tmp_path / "whole.safetensors")
    made = gk.report(media, adapter, store, **FEW)
    frame = made.record["frames"][0]
    assert frame["box"] == [0, 0, 175, 143]
    assert (frame["landmarks"], frame["confidence"]) == (None, None)
    text = Tags(made.page()).text
    assert "whole pictures have no landmarks to move" in text
    assert "No face was sought: whole-frame takes each picture, whole, for one." in text
    assert "Faces are found by" not in text
    page, _ = made.write(tmp_path / "whole.html")
    assert gk.verify(page).holds
