import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest

from gendkit.evaluate.demo.result import ScoredClip
from gendkit.markup import DASH
from gendkit.pages.demo import demo_json, render_demo
from gendkit.testing.demo_result import fake_demo_result

EVIL = '<script>alert(\'x\')</script>" onload="y" &amp;'
NUMBERS = [f"{c}{e}" for c in ("probe", "tuned", "difference") for e in ("", "_low", "_high")]


class Reader(HTMLParser):
    """Keeps tags with their attributes, and checks that they close in order."""

    VOID = frozenset({"meta", "link", "img", "br"})

    def __init__(self, text):
        super().__init__()
        self.tags = []
        self.open = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def named(self, tag):
        return [attrs for name, attrs in self.tags if name == tag]


@pytest.fixture(scope="module")
def result():
    return fake_demo_result(0, samples=200)


@pytest.fixture(scope="module")
def text(result):
    return render_demo(result)


@pytest.fixture(scope="module")
def broken(result):
    """A result in which whatever may be missing is, and every name is hostile."""
    families = result.families.copy()
    families[NUMBERS] = np.nan
    families.loc[0, "family"] = EVIL
    groups = result.groups.copy()
    groups[NUMBERS] = np.nan
    clip = ScoredClip(
        name=EVIL,
        time=np.arange(4.0),
        score=np.full(4, np.nan),
        faces=(None,) * 4,
        clip_score=float("nan"),
    )
    near = replace(result.neighbourhood, reals=(), fakes=(), method=EVIL, score=float("nan"))
    layers = result.layers.assign(layer=EVIL, bias=np.inf)
    family = np.where(result.sphere["label"] == 1, EVIL, "").astype(object)
    return replace(
        result,
        facts={EVIL: {EVIL: EVIL}, "nothing": None, "nan": float("nan")},
        families=families,
        groups=groups,
        roc=result.roc.iloc[:0],
        curve=result.curve.iloc[:0].rename(columns={"loss": EVIL}),
        clip=clip,
        twin=clip,
        sphere=result.sphere.assign(family=("sample", family)),
        neighbourhood=near,
        layers=layers,
        seconds={EVIL: float("nan")},
    )


def test_the_page_asks_for_nothing_from_outside(text):
    page = Reader(text)
    for _, attributes in page.tags:
        for name in ("src", "href", "xlink:href", "srcset", "poster", "data"):
            if value := attributes.get(name):
                assert value.startswith(("data:", "#")), value[:80]
    assert not page.named("script")
    assert not re.search(r"url\((?!#)|@import", text)


def test_the_page_is_small_enough_to_send(text):
    assert len(text.encode()) < 4_000_000


def test_the_page_is_the_same_every_time(result, text):
    assert render_demo(result) == text


def test_ids_are_unique_and_every_link_leads_somewhere(text):
    page = Reader(text)
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    links = [attributes["href"][1:] for attributes in page.named("a")]
    assert len(links) >= 8
    assert set(links) <= set(ids)


def test_pictures_and_drawings_have_words(text):
    page = Reader(text)
    images = page.named("img")
    assert len(images) == 2 * 8 + 1 + 2 * 5
    assert all(attributes["alt"] for attributes in images)
    drawings = [a for _, a in page.tags if a.get("role") == "img"]
    assert len(drawings) == 1 + 2 + 1 + 2 + 2 + 4
    assert all(attributes["aria-label"] for attributes in drawings)


def test_there_is_one_first_heading_and_a_second_for_each_section(text):
    page = Reader(text)
    assert len(page.named("h1")) == 1
    assert len(page.named("h2")) == len(page.named("section")) == 8


def test_every_number_of_the_tables_is_on_the_page(result, text):
    for column in ("probe", "tuned", "difference"):
        for value in [*result.families[column], *result.groups[column]]:
            assert f"{abs(value):.3f}" in text


def test_every_class_on_the_page_has_a_rule(text, broken):
    style = re.search(r"<style>(.*?)</style>", text, re.DOTALL)
    assert style is not None
    rules = set(re.findall(r"\.([a-z][a-z-]*)", style[1]))
    for page in (Reader(text), Reader(render_demo(broken))):
        used = {c for _, a in page.tags for c in (a.get("class") or "").split()}
        assert len(used) > 20
        assert used - rules == set()


def test_the_caveats_are_there(text):
    for words in (
        "not a probability",
        "synthetic",
        "data are few",
        "0.5 is best",
        "never evidence",
    ):
        assert words in text


@pytest.mark.parametrize(
    ("gain", "word"), [(0.6, "better than"), (-0.6, "worse than"), (0.0, "no clear effect")]
)
def test_the_headline_follows_the_numbers(gain, word):
    made = fake_demo_result(2, gain=gain, samples=50)
    heading = re.search(r"<h1>(.*?)</h1>", render_demo(made))
    assert heading is not None
    assert word in heading[1]
    assert demo_json(made)["headline"] == heading[1]


def test_the_training_panels_show_what_was_learnt_and_nothing_twice(result):
    curve = result.curve.assign(learning_rate=0.1, seconds=9.0, validation_auroc=0.7)
    said = render_demo(replace(result, curve=curve))
    for name in ("loss", "cross-entropy", "uniformity", "alignment", "validation auroc"):
        assert f"Training: {name} by epoch." in said
    assert "Training: learning" not in said
    assert "Training: seconds" not in said
    alone = curve.assign(loss=curve["cross-entropy"])
    assert "Training: cross-entropy" not in render_demo(replace(result, curve=alone))


def test_a_quick_run_claims_nothing(result):
    made = replace(result, quick=True)
    assert "a gain of" in render_demo(result)
    assert "a gain of" not in render_demo(made)
    assert "its numbers mean nothing" in render_demo(made)
    assert demo_json(made)["headline"].endswith("its numbers mean nothing")


def test_hostile_names_stay_text(broken):
    text = render_demo(broken)
    page = Reader(text)
    assert not page.named("script")
    assert not any("onload" in attributes for _, attributes in page.tags)
    assert "&lt;script&gt;" in text


def test_missing_numbers_are_dashes_and_never_nan(broken):
    text = render_demo(broken)
    assert not re.search(r">[^<]*\b(nan|inf)\b[^<]*<", text.replace(">nan<", "><"))
    rows = len(broken.families) + len(broken.groups)
    assert text.count(f'class="missing" title="could not be computed">{DASH}<') == 3 * rows
    assert "No face was found in this clip" in text


def test_a_face_is_shown_for_frames_that_have_one(result):
    faces = tuple(face if i in (3, 9) else None for i, face in enumerate(result.clip.faces))
    text = render_demo(replace(result, clip=replace(result.clip, faces=faces)))
    assert text.count(f'alt="{result.clip.name}, face at') == 2


def test_the_json_holds_the_tables_as_they_are(result):
    value = json.loads(json.dumps(demo_json(result), allow_nan=False))
    assert value["families"][0]["family"] == result.families["family"][0]
    assert value["families"][0]["tuned"] == pytest.approx(result.families["tuned"][0])
    assert len(value["roc"]) == len(result.roc)
    assert value["seconds"] == dict(result.seconds)
    assert value["facts"]["versions"] == dict(result.facts["versions"])


def test_the_json_has_null_where_there_is_no_number(result, broken):
    value = json.loads(json.dumps(demo_json(result), allow_nan=False))
    missing = np.flatnonzero(np.isnan(result.clip.score))
    assert len(missing)
    assert [i for i, s in enumerate(value["clip"]["score"]) if s is None] == list(missing)
    worse = json.loads(json.dumps(demo_json(broken), allow_nan=False))
    assert worse["clip"]["clip_score"] is None
    assert worse["families"][0]["tuned"] is None
    assert worse["layers"][0]["bias"] is None


def test_the_json_has_one_record_a_sample_and_no_image(result):
    value = demo_json(result)
    samples = value["sphere"]["samples"]
    assert len(samples) == result.sphere.sizes["sample"]
    assert samples[5]["sample"] == result.sphere["sample"].to_numpy()[5]
    assert samples[5]["projection"] == pytest.approx(result.sphere["projection"].to_numpy()[5])
    assert "embedding" not in samples[5]
    assert "faces" not in value["clip"]
    assert "face" not in value["neighbourhood"]["reals"][0]
