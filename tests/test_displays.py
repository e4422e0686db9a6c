"""Whatever returns a score, a table or a result shows itself, and hostile names stay text."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import gendkit as gk
from gendkit.data.assets import find_asset
from gendkit.data.examine import Crop, Examined
from gendkit.data.validation import Finding
from gendkit.evaluate.demo.families import Comparison
from gendkit.evaluate.reproduce import COLUMNS, Reproduction
from gendkit.manifold.index import SphereIndex
from gendkit.measure.delong import delong
from gendkit.measure.intervals import Interval
from gendkit.measure.leaks import Leak
from gendkit.measure.manifest_check import ManifestCheck
from gendkit.model.adapter import Adapter
from gendkit.model.detector import Detector
from gendkit.model.ensemble import Opinions
from gendkit.model.score import FrameScore, Score
from gendkit.plugin.manager import Plugins
from gendkit.plugin.parts import Broken, Source
from gendkit.testing.demo_result import fake_demo_result
from gendkit.testing.rules import Outcome, Outcomes
from gendkit.testing.small import small_crops
from gendkit.train.bench import Bench
from gendkit.train.recipe import Recipe
from gendkit.train.run import Run

EVIL = "<script>alert(1)</script>\"'\x1b[31m"
RECIPE = Recipe(name=EVIL, backbone="small", selection={"data": EVIL})
ROW = {"epoch": 0, "loss": 0.5, EVIL: 1.0}
RECORD = {
    "recipe": RECIPE.model_dump(mode="json"),
    "backbone": {"name": EVIL},
    "chosen_epoch": 0,
    "chosen_by": {"data": EVIL, "metric": "auroc"},
    "history": [ROW],
    "seconds": 1.0,
}
SCORE = Score(
    path=EVIL,
    frames_total=2,
    frames=(FrameScore(frame=0, time=0.0, score=None, box=None, reason=EVIL),),
    problem=EVIL,
    seconds=1.0,
    adapter="a",
    dtype="float32",
    extractor="centerface",
    threshold=0.5,
    scale=1.3,
    order="spread",
    frames_asked=2,
)


def hostile(adapter: Adapter) -> Adapter:
    header = replace(adapter.header, backbone=EVIL, recipe={"name": EVIL}, gendkit=EVIL)
    return replace(adapter, header=header)


def manifest(detector: Detector, folder: Path) -> gk.Manifest:
    faces = small_crops(folder, identities=("ann",))
    return replace(faces, table=faces.table.assign(sample=EVIL), root=Path(EVIL))


def plugins(*_: object) -> Plugins:
    found = Plugins(discover=False)
    source = Source(plugin=EVIL, distribution=EVIL, version="1")
    found._broken.append(Broken(source=source, reason=EVIL))
    return found


def outcomes(*_: object) -> Outcomes:
    outcome = Outcome(
        rule=EVIL, kind=EVIL, part=EVIL, text=EVIL, verdict="broken", reason=EVIL, seconds=0.0
    )
    return Outcomes((outcome,))


def bench(*_: object) -> Bench:
    words = ("recipe", "backbone", "tuning", "dtype", "augmentation", "device", "device_name")
    counts = ("image_size", "batch_size", "threads", "workers", "steps")
    rates = ("images_per_second", "loader_images_per_second", "waiting", "flops_per_image")
    return Bench(
        **dict.fromkeys((*words, "crops"), EVIL),
        **dict.fromkeys(counts, 1),
        **dict.fromkeys((*rates, "flops", "machine_flops"), 0.5),
        **dict.fromkeys(("compiled", "drawn", "packed"), False),
        peak_bytes=None,
        milliseconds={EVIL: 1.0},
    )


def comparison(*_: object) -> Comparison:
    found = fake_demo_result(0, samples=20)
    families = found.families.assign(family=EVIL)
    return Comparison(families=families, groups=found.groups, roc=found.roc)


def index(*_: object) -> SphereIndex:
    return SphereIndex(
        kind="flat",
        factory=EVIL,
        searched=None,
        points=np.eye(2, dtype=np.float32),
        ids=np.array(["a", "b"], dtype=object),
        reference_hash="abc",
        adapter_hash="",
        recall=1.0,
    )


def run(detector: Detector, _: Path) -> Run:
    return Run(
        detector=Detector(detector.backbone, spec=detector.spec, adapter=hostile(detector.adapter)),
        probe=None,
        history=pd.DataFrame([ROW]),
        layers=pd.DataFrame(),
        record=RECORD,
    )


def examined(*_: object) -> Examined:
    crops = (Crop(frame=0, time=None, reason=EVIL),)
    return Examined(crops=crops, frames_total=1, frames_looked_at=1, problem=EVIL)


def checked(*_: object) -> ManifestCheck:
    finding = Finding(check=EVIL, text=EVIL, verdict="error", count=1, examples=(EVIL,))
    leak = Leak(
        fact=EVIL, kind="number", auroc=0.5, low=0.4, high=0.6, real=1, fake=1, people=1.0,
        tells=EVIL,
    )  # fmt: skip
    cover = pd.DataFrame([{"dataset": EVIL, "method": EVIL, "label": 0, "clips": 1}])
    return ManifestCheck(about=EVIL, findings=(finding,), leaks=(leak,), coverage=cover)


def reproduction(detector: Detector, folder: Path) -> Reproduction:
    return Reproduction(
        differences=pd.DataFrame([(EVIL, EVIL, EVIL, None)], columns=list(COLUMNS)),
        compared=1,
        around=pd.DataFrame([(EVIL, EVIL, EVIL)], columns=list(COLUMNS[:3])),
        run=run(detector, folder),
    )


NAMED: dict[str, Callable[[Detector, Path], Any]] = {
    "Adapter": lambda detector, _: hostile(detector.adapter),
    "Bench": bench,
    "Card": lambda detector, _: gk.model_card(hostile(detector.adapter), name=EVIL),
    "Comparison": comparison,
    "DemoResult": lambda *_: replace(fake_demo_result(0, samples=20), facts={EVIL: EVIL}),
    "Detector": lambda detector, folder: run(detector, folder).detector,
    "Difference": lambda detector, _: hostile(detector.adapter) - hostile(detector.adapter),
    "Examined": examined,
    "ManifestCheck": checked,
    "Header": lambda detector, _: hostile(detector.adapter).header,
    "Manifest": manifest,
    "Outcomes": outcomes,
    "Plugins": plugins,
    "Recipe": lambda *_: RECIPE,
    "Reproduction": reproduction,
    "Run": run,
    "Score": lambda *_: SCORE,
    "ScoredClip": lambda *_: replace(fake_demo_result(0, samples=20).clip, name=EVIL),
    "SphereIndex": index,
}
HARMLESS: dict[str, Callable[[Detector], Any]] = {
    "Asset": lambda _: find_asset("centerface"),
    "DeLong": lambda _: delong([0, 0, 1, 1], [0.1, 0.4, 0.3, 0.8], range(4)),
    "Interval": lambda _: Interval(value=0.5, low=0.25, high=0.75),
    "Opinions": lambda _: Opinions(
        score=np.array([0.5], np.float32),
        deviation=np.array([0.1], np.float32),
        members=np.array([[0.4], [0.6]], np.float32),
    ),
    "Outputs": lambda detector: detector.outputs([]),
    "Ensemble": lambda detector: gk.Ensemble([detector.adapter, detector.adapter], device="cpu"),
    "Summary": lambda _: gk.summary([0, 0, 1, 1], [0.1, 0.4, 0.3, 0.8]),
    "SharedBackbone": lambda detector: gk.SharedBackbone.of(detector.spec.name),
}


@pytest.mark.parametrize("name", NAMED)
def test_hostile_names_are_text_in_the_notebook_and_in_the_terminal(
    name: str, detector: Detector, tmp_path: Path
):
    thing = NAMED[name](detector, tmp_path)
    shown = thing._repr_html_()
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in shown
    assert "<script" not in shown
    assert "\x1b" not in shown
    assert not re.search(r"<style|\b(class|id)=", shown)
    assert repr(thing).startswith(f"{name}(")
    for text in (repr(thing), str(thing)):
        assert text.isprintable()
        assert len(text) < 600


@pytest.mark.parametrize("name", HARMLESS)
def test_a_result_has_a_plain_and_a_rich_form(name: str, detector: Detector):
    thing = HARMLESS[name](detector)
    assert repr(thing).startswith(f"{name}(")
    assert repr(thing).isprintable()
    assert thing._repr_html_().startswith("<div")


@pytest.mark.parametrize(
    "table",
    [SCORE.to_frame(), pd.DataFrame({"shared": [1]}, index=pd.Index([EVIL], name=EVIL))],
)
def test_tables_escape_what_is_in_them(table: pd.DataFrame):
    assert "<script" not in table._repr_html_()
    assert "&lt;script&gt;" in table._repr_html_()


def test_a_dataset_escapes_what_is_in_it():
    ds = fake_demo_result(0, samples=3).sphere
    ds = ds.assign(video=("sample", np.array([EVIL] * 3, dtype=object))).assign_attrs(evil=EVIL)
    assert "<script" not in ds._repr_html_()
    assert "&lt;script&gt;" in ds._repr_html_()


def test_a_manifest_says_how_much_it_does_not_show(tmp_path: Path):
    faces = small_crops(tmp_path, identities=("ann", "bob"))
    assert "8 rows more" in faces._repr_html_()
    assert "rows more" not in replace(faces, table=faces.table.head(8))._repr_html_()


def test_a_recipe_says_in_a_line_what_is_not_as_by_default():
    recipe = Recipe.of("small-data", epochs=3)
    assert "epochs=3" in repr(recipe)
    assert "weight_decay" not in repr(recipe)
    assert "weight_decay" in recipe._repr_html_()
