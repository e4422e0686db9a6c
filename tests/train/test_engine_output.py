"""What a run leaves on disk, and what `fit` refuses before it begins."""

from __future__ import annotations

import hashlib
import json
import os
import stat
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gendkit as gk
from gendkit.data.manifest import Manifest
from gendkit.errors import Diverged, InvalidLabels, InvalidManifest, OutputExists, UnknownPart
from gendkit.plugin.manager import plugins
from gendkit.plugin.specs import BackboneSpec
from gendkit.train.course import HISTORY, MOVEMENT
from gendkit.train.engine import ADAPTER, RUN, run_over, versions
from gendkit.train.recipe import Recipe
from gendkit.train.record import digest

from .conftest import Fit, Sets, left

NORMS, HEAD = 320, 66
EXPLODES = {"learning_rate": 1e20}


def changed(manifest: Manifest, **columns: Any) -> Manifest:
    """The manifest with values of its first row replaced."""
    table = manifest.table.copy()
    for name, value in columns.items():
        table.loc[0, name] = value
    return replace(manifest, table=table)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_written_run_is_loaded_with_the_same_scores(
    fit: Fit, sets: Sets, tmp_path: Path, dtype: str
) -> None:
    run = fit(out=tmp_path / "run", dtype=dtype)
    loaded = gk.load(tmp_path / "run", device="cpu")
    assert loaded.dtype == dtype
    assert loaded.adapter.header == run.adapter.header
    one, other = (run_over(d, sets.validation) for d in (run.detector, loaded))
    for name in ("embedding", "logit", "score"):
        assert np.array_equal(getattr(one, name), getattr(other, name)), name


def test_the_record_says_what_the_run_rests_on(
    fit: Fit, recipe: Recipe, sets: Sets, tmp_path: Path
) -> None:
    run = fit(out=tmp_path / "run")
    assert sorted(p.name for p in (tmp_path / "run").iterdir()) == [ADAPTER, HISTORY, MOVEMENT, RUN]
    record = json.loads((tmp_path / "run" / RUN).read_text(encoding="utf-8"))
    assert record == run.record
    assert Recipe.model_validate(record["recipe"]) == recipe
    assert record["adapter"] == run.adapter.hash == gk.Adapter.read(tmp_path / "run" / ADAPTER).hash
    assert record["backbone"]["hash"] == run.adapter.header.backbone_hash
    assert record["tuned"] == {"layer_norms": NORMS, "head": HEAD, "of": 32_224}
    chosen_by = {"data": "eve and fay", "metric": "auroc", "datasets": None}
    assert record["chosen_by"] == chosen_by
    pairs = run.history["pairs"].mean()
    assert 0 < pairs < 4
    assert record["batches"] == {"crops": 8, "an_epoch": 4, "pairs": pairs}
    assert record["versions"] == versions()
    assert record["versions"]["gendkit"] == gk.__version__
    assert (record["device"], record["dtype"]) == ("cpu", "float32")
    lines = zip(sets.train.table["sample"], sets.train.table["label"], strict=True)
    text = "".join(f"{sample}\t{label}\n" for sample, label in lines)
    assert record["data"]["train"] == {
        "crops": 32,
        "real": 16,
        "fake": 16,
        "videos": 8,
        "identities": 4,
        "coverage": {"clips": 8, ">= 1": 8, ">= 8": 0, ">= 32": 0},
        "datasets": ["small"],
        "families": ["grid"],
        "licences": {"CC0-1.0": 32},
        "read": digest(sets.train),
        "digest": hashlib.sha256(text.encode()).hexdigest(),
    }
    assert record["data"]["validation"]["digest"] != record["data"]["train"]["digest"]
    assert record["data"]["validation"]["crops"] == 16
    assert len(record["history"]) == 2


def test_the_adapter_keeps_how_the_crops_were_made(recipe: Recipe, sets: Sets) -> None:
    meta = {"extractor": "centerface", "threshold": 0.6, "scale": 1.3, "size": None, "other": 1}
    run = gk.fit(recipe, replace(sets.train, meta=meta), sets.validation, device="cpu")
    header = run.adapter.header
    assert header.extraction == {"extractor": "centerface", "threshold": 0.6, "scale": 1.3}
    assert header.recipe == recipe.model_dump(mode="json")
    assert header.preprocessing == plugins().spec("backbone", "small").preprocessing


def test_files_are_written_with_the_user_s_own_permissions(fit: Fit, tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        fit(out=tmp_path / "run")
    finally:
        os.umask(before)
    modes = {p.name: stat.S_IMODE(p.stat().st_mode) for p in (tmp_path / "run").iterdir()}
    assert modes == dict.fromkeys((ADAPTER, HISTORY, MOVEMENT, RUN), 0o640)


def test_progress_is_told_after_each_step(recipe: Recipe, sets: Sets) -> None:
    told: list[tuple[int, int, str]] = []
    gk.fit(recipe, sets.train, sets.validation, progress=lambda *a: told.append(a))
    assert told == [(step, 8, "train tiny") for step in range(1, 9)]


def test_frames_without_a_crop_are_left_out(recipe: Recipe, sets: Sets) -> None:
    run = gk.fit(recipe, changed(sets.train, path="", label=-1), sets.validation, device="cpu")
    assert run.record["data"]["train"]["crops"] == 31
    assert run.record["data"]["train"]["real"] == 15


def test_a_loss_that_explodes_names_the_step_and_its_crops(fit: Fit, sets: Sets) -> None:
    with pytest.raises(Diverged, match=r"^step \d+ has loss .*nan.*; lower learning_rate") as error:
        fit(**EXPLODES)
    named = str(error.value).partition("begins with ")[2].partition(";")[0].split(", ")
    assert len(named) == 4
    assert set(named) <= set(sets.train.table["sample"])


def test_a_run_that_fails_leaves_nothing_behind(fit: Fit, tmp_path: Path) -> None:
    with pytest.raises(Diverged):
        fit(out=tmp_path / "run", **EXPLODES)
    assert left(tmp_path) == []


def test_a_run_that_fails_leaves_the_one_that_it_was_to_replace(fit: Fit, tmp_path: Path) -> None:
    kept = fit(out=tmp_path / "run").adapter.hash
    with pytest.raises(Diverged):
        fit(out=tmp_path / "run", overwrite=True, **EXPLODES)
    assert gk.load(tmp_path / "run", device="cpu").adapter.hash == kept
    assert left(tmp_path) == ["run"]


def test_an_earlier_run_is_replaced_only_on_request(fit: Fit, tmp_path: Path) -> None:
    out = tmp_path / "run"
    first = fit(out=out)
    with pytest.raises(OutputExists, match="already holds a run"):
        fit(out=out, seed=1)
    assert gk.Adapter.read(out / ADAPTER).hash == first.adapter.hash
    (out / "notes.txt").write_text("of the first run")
    second = fit(out=out, seed=1, overwrite=True)
    assert gk.Adapter.read(out / ADAPTER).hash == second.adapter.hash != first.adapter.hash
    assert sorted(p.name for p in out.iterdir()) == [ADAPTER, HISTORY, MOVEMENT, RUN]
    assert left(tmp_path) == ["run"]


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_folder_of_something_else_is_refused_before_training(
    recipe: Recipe, sets: Sets, tmp_path: Path, overwrite: bool
) -> None:
    (tmp_path / "thesis.txt").write_text("four years")
    with pytest.raises(OutputExists, match="never replaced"):
        gk.fit(
            recipe,
            sets.train,
            sets.validation,
            out=tmp_path,
            overwrite=overwrite,
            progress=lambda *_: pytest.fail("it trains"),
        )
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.txt"]


@pytest.mark.parametrize(
    "link",
    [
        {"target_identity": "ann"},
        {"pair": "real-ann"},
        {"donor_identity": "ann"},
        {"video": "fake-bob"},
    ],
    ids=lambda link: next(iter(link)),
)
def test_a_link_between_training_and_validation_is_refused(
    recipe: Recipe, sets: Sets, link: dict[str, str]
) -> None:
    with pytest.raises(InvalidManifest, match=r"\(train\) and .*\(validation\) are linked"):
        gk.fit(recipe, sets.train, changed(sets.validation, **link))


def test_a_donor_in_both_sets_is_refused(recipe: Recipe, sets: Sets) -> None:
    """One who is seen in neither lends a face to clips of both."""
    train, validation = (changed(m, donor_identity="gus") for m in (sets.train, sets.validation))
    with pytest.raises(InvalidManifest, match="linked by a target or donor"):
        gk.fit(recipe, train, validation)


@pytest.mark.parametrize("which", ["train", "validation"])
@pytest.mark.parametrize("label", [0, 1])
def test_one_class_only_is_refused(recipe: Recipe, sets: Sets, which: str, label: int) -> None:
    manifest = getattr(sets, which)
    one = replace(sets, **{which: manifest.where(manifest.table["label"] == label)})
    with pytest.raises(InvalidManifest, match=f"the {which} manifest has crops of one class only"):
        gk.fit(recipe, one.train, one.validation)


@pytest.mark.parametrize("which", ["train", "validation"])
def test_an_unknown_label_is_refused(recipe: Recipe, sets: Sets, which: str) -> None:
    one = replace(sets, **{which: changed(getattr(sets, which), label=-1)})
    with pytest.raises(InvalidLabels, match="has no label; training"):
        gk.fit(recipe, one.train, one.validation)


@pytest.mark.parametrize("which", ["train", "validation"])
def test_a_manifest_without_a_crop_is_refused(recipe: Recipe, sets: Sets, which: str) -> None:
    manifest = getattr(sets, which)
    empty = replace(manifest, table=manifest.table.assign(path="", reason="no face found"))
    one = replace(sets, **{which: empty})
    with pytest.raises(InvalidManifest, match=f"the {which} manifest has no face crop"):
        gk.fit(recipe, one.train, one.validation)


def test_an_unknown_loss_is_told_before_weights_are_loaded(fit: Fit) -> None:
    heavy = BackboneSpec(
        name="heavy",
        summary="cannot be built",
        licence="MIT",
        dim=8,
        image_size=32,
        build=lambda **_: pytest.fail("weights are loaded"),
    )
    plugins().register([heavy], name="heavy")
    with pytest.raises(UnknownPart, match="cross-entropi"):
        fit(backbone="heavy", losses={"cross-entropi": 1})
