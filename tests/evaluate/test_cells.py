from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from filelock import FileLock

from gendkit.data.manifest import Manifest
from gendkit.errors import InvalidManifest
from gendkit.evaluate.study import cells as module
from gendkit.evaluate.study.cells import Cell, Cells, by_clip
from gendkit.measure.metrics import video_level
from gendkit.testing.small import registered, small_backbone, small_families
from gendkit.train.engine import fit
from gendkit.train.outputs import run_over
from gendkit.train.recipe import Recipe
from gendkit.train.record import versions


@pytest.fixture(scope="module")
def manifest(tmp_path_factory) -> Manifest:
    return small_families(tmp_path_factory.mktemp("crops"), frames=2)


@pytest.fixture(autouse=True)
def backbone():
    with registered(small_backbone()):
        yield


RECIPE = Recipe.of(
    "small-data", backbone="small", image_size=None, epochs=2, batch_size=8, cycle_epochs=1,
    dtype="float32",
)  # fmt: skip


def rows(manifest: Manifest, split: str) -> np.ndarray:
    return ((manifest.table["split"] == split) & (manifest.table["degradation"] == "")).to_numpy()


def placed(manifest: Manifest, out) -> Cells:
    scored = (manifest.table["split"] == "final").to_numpy()
    return Cells(manifest, scored=scored, validation=rows(manifest, "development"), out=out)


def asked(manifest: Manifest, *, seeds=(0, 1)) -> list[Cell]:
    train = rows(manifest, "train")
    return [
        Cell(at={"kind": kind, "seed": s}, recipe=Recipe.of(RECIPE, seed=s), train=train,
             probe=kind == "probe")
        for kind in ("probe", "tuned") for s in seeds
    ]  # fmt: skip


@pytest.fixture(scope="module")
def whole(manifest, tmp_path_factory):
    """The result of a study that nobody stopped, and where it was computed."""
    out = tmp_path_factory.mktemp("study")
    with registered(small_backbone()):
        return placed(manifest, out).run(asked(manifest)), out


def test_margins_are_those_of_a_run_and_of_its_probe(manifest, whole, tmp_path):
    ds, _ = whole
    assert ds["margin"].dims == ("kind", "seed", "sample")
    train, val = (manifest.where(rows(manifest, s)) for s in ("train", "development"))
    run = fit(Recipe.of(RECIPE, seed=1, **{"selection.metric": "last"}), train, val)
    final = manifest.where((manifest.table["split"] == "final").to_numpy())
    logit = run_over(run.detector, final).logit
    np.testing.assert_array_equal(ds["margin"].sel(kind="tuned", seed=1), logit[:, 1] - logit[:, 0])
    z = run_over(run.detector, final).embedding  # of the tuned backbone: not the probe's
    assert run.probe is not None
    head = {name: t.numpy() for name, t in run.probe.head.items()}
    probe = placed(manifest, tmp_path).features(RECIPE)[
        (manifest.table["split"] == "final").to_numpy()
    ]
    weight, bias = head["weight"][1] - head["weight"][0], head["bias"][1] - head["bias"][0]
    found = ds["margin"].sel(kind="probe", seed=1).to_numpy()
    np.testing.assert_allclose(found, probe @ weight + bias, atol=1e-5)
    assert not np.allclose(z, probe, atol=1e-3)
    assert ds["sample"].to_numpy().tolist() == final.table["sample"].tolist()
    assert ds["component"].to_numpy().tolist() == manifest.components()[
        (manifest.table["split"] == "final").to_numpy()
    ].tolist()  # fmt: skip


def test_what_is_there_is_not_computed_again_and_a_seed_more_is(manifest, whole, monkeypatch):
    ds, out = whole
    trained: list[int] = []

    def counting(recipe, *args, **kwargs):
        trained.append(recipe.seed)
        return fit(recipe, *args, **kwargs)

    monkeypatch.setattr(module, "fit", counting)
    again = placed(manifest, out)
    assert again.missing(asked(manifest)) == 0
    assert again.run(asked(manifest)).identical(ds)
    assert trained == []
    assert again.missing(asked(manifest, seeds=(0, 1, 2))) == 1  # its probe has no seed
    more = again.run(asked(manifest, seeds=(0, 1, 2)))
    assert trained == [2]
    assert more.sel(seed=[0, 1]).identical(ds)


def test_what_cells_were_made_with_is_kept_beside_them(manifest, whole, tmp_path, monkeypatch):
    _, out = whole
    asked_for = asked(manifest, seeds=(0,))
    (made,) = placed(manifest, out).made_with(asked_for)
    assert made == {**versions(), "device": "cpu", "backbone": "registered here"}
    cells = placed(manifest, tmp_path)
    cells.run(asked_for[:1])
    monkeypatch.setattr(module, "versions", lambda: {**versions(), "torch": "0.1"})
    cells.run(asked_for)
    assert {m["torch"] for m in cells.made_with(asked_for)} == {versions()["torch"], "0.1"}
    half = rows(manifest, "train") & (np.arange(len(manifest)) % 3 > 0)
    later = [replace(asked_for[0], train=half)]  # of features that are there
    cells.run(later)
    assert [m["torch"] for m in cells.made_with(later)] == [versions()["torch"]]


def test_a_study_that_was_stopped_goes_on_to_the_same_bits(manifest, whole, tmp_path, monkeypatch):
    calls = []

    def stopped(recipe, *args, **kwargs):
        calls.append(recipe.seed)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return fit(recipe, *args, **kwargs)

    monkeypatch.setattr(module, "fit", stopped)
    with pytest.raises(KeyboardInterrupt):
        placed(manifest, tmp_path).run(asked(manifest))
    ds = placed(manifest, tmp_path).run(asked(manifest))
    assert calls == [0, 1, 1]
    assert ds.identical(whole[0])


def test_another_recipe_training_set_or_scored_set_is_another_cell(manifest, tmp_path):
    cells, cell = placed(manifest, tmp_path), asked(manifest)[-1]
    fewer = cell.train.copy()
    fewer[np.flatnonzero(fewer)[0]] = False
    others = [
        Cell(at=cell.at, recipe=Recipe.of(cell.recipe, epochs=3), train=cell.train),
        Cell(at=cell.at, recipe=cell.recipe, train=fewer),
        Cell(at=cell.at, recipe=cell.recipe, train=cell.train, probe=True),
    ]
    keys = [cells.key(c) for c in (cell, *others)]
    here = Cells(
        manifest, scored=rows(manifest, "final"), validation=cells.validation, out=tmp_path
    )
    assert len({*keys, here.key(cell)}) == 5
    named = Cell(at={"x": 1}, recipe=Recipe.of(cell.recipe, name="other"), train=cell.train)
    assert cells.key(named) == cells.key(cell)


def test_a_cell_that_another_process_is_at_is_waited_for(manifest, whole, tmp_path, monkeypatch):
    ds, out = whole
    cells, one = placed(manifest, tmp_path), asked(manifest)[-1:]
    lock = FileLock(tmp_path / "cells" / f"{cells.key(one[0])}.lock")
    (tmp_path / "cells").mkdir()
    lock.acquire()
    looks = []

    class Held(FileLock):
        """Lets the other process end at the second look."""

        def acquire(self, timeout=None, *args, **kwargs):
            looks.append(self._context.timeout)
            if len(looks) == 2:
                done = (out / "cells" / f"{cells.key(one[0])}.npy").read_bytes()
                (tmp_path / "cells" / f"{cells.key(one[0])}.npy").write_bytes(done)
                lock.release()
            return super().acquire(timeout, *args, **kwargs)

    monkeypatch.setattr(module, "FileLock", Held)
    monkeypatch.setattr(module, "fit", None)  # nothing is trained here
    found = cells.run(one)
    assert looks == [0.0, module.POLL]
    np.testing.assert_array_equal(
        found["margin"].to_numpy().squeeze(), ds["margin"].sel(kind="tuned", seed=1)
    )


def test_one_class_is_told_with_the_place_of_the_cell(manifest, tmp_path):
    cell = asked(manifest)[0]
    reals = cell.train & (manifest.table["label"] == 0).to_numpy()
    with pytest.raises(InvalidManifest, match="at kind probe, seed 0 there are not both"):
        placed(manifest, tmp_path).run(
            [Cell(at=cell.at, recipe=cell.recipe, train=reals, probe=True)]
        )


def test_clips_have_the_mean_score_of_their_crops(whole):
    ds, _ = whole
    clips = by_clip(ds)
    margin = ds["margin"].sel(kind="tuned", seed=0).to_numpy().astype(np.float64)
    labels, means = video_level(
        ds["video"].to_numpy().tolist(), ds["label"].to_numpy(), 1 / (1 + np.exp(-margin))
    )
    at = [ds["video"].to_numpy().tolist().index(v) for v in clips["video"].to_numpy()]
    assert sorted(at) == at
    np.testing.assert_allclose(clips["score"].sel(kind="tuned", seed=0), means, atol=1e-12)
    np.testing.assert_array_equal(clips["label"], labels)
    assert set(clips["crops"].to_numpy().tolist()) == {2}


def test_a_degraded_copy_of_a_clip_is_another_clip(whole):
    ds, _ = whole
    plain = [video.removesuffix("bright") for video in ds["video"].to_numpy()]
    same = ds.assign_coords(video=("sample", plain))
    np.testing.assert_array_equal(by_clip(same)["score"], by_clip(ds)["score"])
