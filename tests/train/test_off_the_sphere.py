"""Runs whose head takes features as they are, and not their directions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

import gendkit as gk
from gendkit.model.backbone import build_backbone
from gendkit.train.engine import run_over
from gendkit.train.recipe import Recipe

from .conftest import Fit, Sets, interrupted, trained

OFF: dict[str, Any] = {"sphere": False, "augmentation": "none"}


def features(backbone: Any, sets: Sets, detector: gk.Detector) -> NDArray[np.float64]:
    from gendkit.data.loader import Loader

    loader = Loader(sets.train, detector.preprocessing, batch_size=64, device="cpu")
    with torch.inference_mode():
        parts = [backbone(batch.pixels) for batch in loader]
    return torch.cat(parts).double().numpy()


def test_the_head_that_is_kept_takes_features_as_they_are(fit: Fit, sets: Sets) -> None:
    detector = fit(**OFF).detector
    assert not detector.adapter.header.normalised
    assert detector.adapter.header.facts["head takes"] == "features as they are"
    seen = features(detector.backbone, sets, detector)
    head = {name: t.double().numpy() for name, t in detector.adapter.head.items()}
    said = run_over(detector, sets.train)
    np.testing.assert_allclose(said.logit, seen @ head["weight"].T + head["bias"], atol=1e-4)
    assert said.length is not None
    np.testing.assert_allclose(said.length, np.linalg.norm(seen, axis=1), rtol=1e-5)


def test_a_probe_is_fitted_on_features_in_units_of_their_mean_length(fit: Fit, sets: Sets) -> None:
    run = fit(**OFF, head_init="probe", probe_c=3.0)
    assert run.probe is not None
    seen = features(build_backbone("small").eval(), sets, run.detector)
    unit = np.sqrt((seen**2).sum(axis=1).mean())
    model = LogisticRegression(C=3.0, max_iter=2000).fit(seen / unit, sets.train.labels())
    weight = run.probe.head["weight"].double().numpy()
    np.testing.assert_allclose(weight[1] - weight[0], model.coef_[0] / unit, rtol=1e-3, atol=1e-6)


def test_a_longer_feature_of_the_same_direction_gets_another_score(fit: Fit) -> None:
    heads = {sphere: fit(sphere=sphere).detector for sphere in (True, False)}
    feature = torch.randn(1, 32, generator=torch.Generator().manual_seed(0))
    scores = {}
    for sphere, detector in heads.items():
        detector.backbone = torch.nn.Identity()
        scores[sphere] = [float(detector.forward(k * feature).score[0]) for k in (1.0, 3.0)]
    assert scores[True][0] == pytest.approx(scores[True][1], abs=1e-6)
    assert abs(scores[False][0] - scores[False][1]) > 1e-3


@pytest.mark.parametrize("start", ["random", "probe"])
def test_such_a_run_goes_on_to_the_bit(
    recipe: Recipe, sets: Sets, tmp_path: Path, start: str
) -> None:
    off = Recipe.of(recipe, sphere=False, head_init=start)
    whole = trained(off, sets, out=tmp_path / "whole")
    interrupted(off, sets, tmp_path / "broken", after=5)
    gone_on = trained(off, sets, out=tmp_path / "broken", resume=True)
    assert gone_on.detector.adapter.hash == whole.detector.adapter.hash


def test_a_checkpoint_of_before_there_was_the_choice_is_gone_on_with(
    recipe: Recipe, sets: Sets, tmp_path: Path
) -> None:
    from dataclasses import replace

    from gendkit.train.checkpoint import Checkpoint

    place = interrupted(recipe, sets, tmp_path / "run", after=5)
    older = Checkpoint.read(place)
    fields = {name: value for name, value in older.origin.recipe.items() if name != "sphere"}
    replace(older, origin=replace(older.origin, recipe=fields)).write(place)
    assert trained(recipe, sets, out=tmp_path / "run", resume=True).history["epoch"].size == 2
