"""`fit`: what it tunes, what it leaves alone, where it starts, and which epoch it keeps."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from torch import Tensor

import gendkit as gk
from gendkit.errors import InvalidRecipe
from gendkit.model.backbone import build_backbone, norms_of
from gendkit.model.head import Head
from gendkit.model.tuning import norm_parameters
from gendkit.plugin.manager import plugins
from gendkit.plugin.protocols import LossInputs
from gendkit.plugin.specs import LossSpec
from gendkit.progress import silent
from gendkit.testing.small import DIM
from gendkit.train.engine import Run, run_over
from gendkit.train.recipe import Recipe
from gendkit.train.trainer import columns_of

from .conftest import Fit, Sets

LEARNS = {
    "logit_scale": 10,
    "learning_rate": 0.05,
    "augmentation": "none",
    "epochs": 20,
    "cycle_epochs": 19,
}
RISES = {"logit_scale": 5, "augmentation": "none", "epochs": 5, "cycle_epochs": 9}
LAST = {"data": "none", "metric": "last"}


@pytest.fixture
def seen() -> list[LossInputs]:
    """What a loss of the name `spy`, which is always 0, was shown at each step."""
    inputs: list[LossInputs] = []

    def spy(given: LossInputs) -> Tensor:
        inputs.append(
            replace(
                given, logits=given.logits.detach().clone(), embeddings=given.embeddings.detach()
            )
        )
        return given.logits.sum() * 0

    plugins().register([LossSpec(name="spy", summary="looks", build=lambda: spy)], name="spies")
    return inputs


def tensors(run: Run) -> dict[str, Tensor]:
    return {**run.adapter.norms, **{f"head.{k}": t for k, t in run.adapter.head.items()}}


def margin(logit: np.ndarray) -> np.ndarray:
    """Sorted differences of the two logits: the same for crops in any order."""
    return np.sort(logit[:, 1] - logit[:, 0])


def test_one_seed_gives_one_detector_to_the_bit_and_another_another(
    fit: Fit,
) -> None:
    one, same, other = (fit(seed=seed) for seed in (3, 3, 4))
    history = one.history.drop(columns="seconds")
    assert one.adapter.hash == same.adapter.hash
    assert all(torch.equal(t, tensors(same)[name]) for name, t in tensors(one).items())
    pd.testing.assert_frame_equal(history, same.history.drop(columns="seconds"), check_exact=True)
    assert not any(torch.equal(t, tensors(other)[name]) for name, t in tensors(one).items())
    assert history["loss"].tolist() != other.history["loss"].tolist()


def test_training_leaves_the_process_s_own_randomness_alone(fit: Fit) -> None:
    before = torch.random.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    fit()
    assert torch.equal(before[0], torch.random.get_rng_state())
    assert np.array_equal(before[1], np.random.get_state()[1])  # noqa: NPY002


def test_the_loss_falls_and_people_never_seen_are_told_apart(fit: Fit) -> None:
    history = fit(**LEARNS).history
    assert history["epoch"].tolist() == list(range(20))
    assert history["loss"].iloc[-1] < history["loss"].iloc[0] - 0.5
    assert history["validation_frame-auroc"].iloc[-1] > 0.8
    assert history["validation_auroc"].iloc[-1] == 1
    assert history["validation_macro-ap"].iloc[-1] == 1


def test_nothing_but_layer_norms_and_head_changes(fit: Fit) -> None:
    run = fit()
    before, after = build_backbone("small").state_dict(), run.detector.backbone.state_dict()
    norms = set(norm_parameters(run.detector.backbone))
    assert len(norms) == 10
    assert {n for n in before if not torch.equal(before[n], after[n])} == norms
    assert set(run.adapter.norms) == norms
    head = Head(DIM, generator=torch.Generator().manual_seed(0)).state_dict()
    assert not any(torch.equal(head[n], run.adapter.head[n]) for n in head)


@pytest.mark.parametrize("micro_batch", [None, 3])
@pytest.mark.parametrize("last", [0, 1, 3, 5])
def test_only_the_last_layer_norms_are_tuned_on_request(
    fit: Fit, sets: Sets, last: int, micro_batch: int | None
) -> None:
    run = fit(tuned_norms=last, micro_batch=micro_batch, weight_decay=0.1)
    layers = [f"blocks.{i}.norm{j}" for i in (0, 1) for j in (1, 2)] + ["norm"]
    base = norms_of(build_backbone("small"), plugins().spec("backbone", "small"))
    moved = {n.rpartition(".")[0] for n, t in run.adapter.norms.items() if not t.equal(base[n])}
    assert moved == set(layers[5 - last :])
    assert set(run.adapter.norms) == set(base)
    assert run.record["tuned"] == {"layer_norms": 64 * last, "head": 66, "of": 32_224}
    loaded = run_over(gk.load(run.adapter, device="cpu"), sets.validation)
    assert np.array_equal(run_over(run.detector, sets.validation).logit, loaded.logit)


def test_all_layer_norms_by_number_are_all_layer_norms(fit: Fit) -> None:
    assert all(torch.equal(t, tensors(fit())[n]) for n, t in tensors(fit(tuned_norms=5)).items())


def test_more_layer_norms_than_there_are_cannot_be_tuned(fit: Fit) -> None:
    with pytest.raises(InvalidRecipe, match="tuned_norms is 6, but VisionTransformer has 5 layer"):
        fit(tuned_norms=6)


def test_the_layers_say_how_far_each_norm_moved(fit: Fit) -> None:
    layers = fit().layers
    assert layers["layer"].tolist() == [
        *(f"blocks.{i}.norm{j}" for i in (0, 1) for j in (1, 2)),
        "norm",
    ]
    assert layers["depth"].tolist() == [0, 0.25, 0.5, 0.75, 1]
    assert ((layers["weight"] > 0) & (layers["weight"] < 1)).all()


def test_the_loss_is_the_weighted_sum_of_its_terms(fit: Fit) -> None:
    history = fit().history
    total = history["cross-entropy"] + 0.5 * history["uniformity"] + 0.1 * history["alignment"]
    np.testing.assert_allclose(history["loss"], total, rtol=1e-6)


def test_the_history_has_the_rate_of_each_epoch_s_last_step(fit: Fit, recipe: Recipe) -> None:
    rates = fit(cycle_epochs=2, epochs=3).history["learning_rate"]
    expected = Recipe.of(recipe, cycle_epochs=2, epochs=3)
    assert rates.tolist() == [expected.rate(step, 4) for step in (3, 7, 11)]


def test_the_head_has_a_learning_rate_of_its_own(fit: Fit) -> None:
    run = fit(head_learning_rate=1e-30, seed=5)
    head = Head(DIM, generator=torch.Generator().manual_seed(5))
    assert all(torch.equal(t, run.adapter.head[n]) for n, t in head.state_dict().items())
    assert run.layers["weight"].min() > 1e-3


def test_a_loss_sees_unit_embeddings_and_what_is_known_of_the_crops(
    fit: Fit, seen: list[LossInputs], sets: Sets
) -> None:
    fit(losses={"cross-entropy": 1, "spy": 1}, batch_size=32, epochs=1)
    [inputs] = seen
    names = ("label", "pair", "target_identity", "donor_identity")
    found = zip(
        inputs.labels.tolist(),
        inputs.pair,
        inputs.target_identity,
        inputs.donor_identity,
        strict=True,
    )
    table = sets.train.table
    for name in names[1:]:
        known = table[name] != ""
        table = table.assign(**{name: (table["dataset"] + "/" + table[name]).where(known, "")})
    assert sorted(found) == sorted(table[list(names)].itertuples(index=False, name=None))
    assert "" in inputs.donor_identity
    assert inputs.embeddings.dtype == inputs.logits.dtype == torch.float32
    torch.testing.assert_close(inputs.embeddings.norm(dim=1), torch.ones(32), rtol=0, atol=1e-6)


def test_the_seed_draws_the_order_of_the_crops(fit: Fit, seen: list[LossInputs]) -> None:
    for seed in (0, 0, 1):
        fit(losses={"cross-entropy": 1, "spy": 1}, seed=seed)
    orders = [[inputs.pair for inputs in seen[i : i + 8]] for i in (0, 8, 16)]
    assert orders[0] == orders[1] != orders[2]


def test_names_of_two_data_sets_are_no_pair(sets: Sets) -> None:
    one = columns_of(sets.train)["pair"]
    other = columns_of(replace(sets.train, table=sets.train.table.assign(dataset="other")))["pair"]
    assert len(one) == len(other)
    assert set(one).isdisjoint(other)


@pytest.mark.parametrize("size", [1, 2])
def test_batches_of_one_class_or_one_crop_train(
    fit: Fit, seen: list[LossInputs], size: int
) -> None:
    losses = {"cross-entropy": 1, "uniformity": 0.5, "alignment": 0.1, "spy": 1}
    run = fit(losses=losses, batch_size=size, learning_rate=1e-3)
    assert any(len(set(inputs.labels.tolist())) == 1 for inputs in seen)
    assert all(torch.isfinite(t).all() for t in tensors(run).values())
    if size == 1:
        assert run.history[["uniformity", "alignment"]].to_numpy().tolist() == [[0, 0]] * 2


@pytest.mark.parametrize("batches", ["paired", "shuffled"])
def test_paired_batches_hold_a_target_clip_with_its_fake(
    fit: Fit, seen: list[LossInputs], batches: str
) -> None:
    run = fit(losses={"cross-entropy": 1, "spy": 1}, batches=batches)
    assert len(seen) == 8
    pairs = [
        sum(label and (0, pair) in zip(given.labels.tolist(), given.pair, strict=True)
            for label, pair in zip(given.labels.tolist(), given.pair, strict=True))
        for given in seen
    ]  # fmt: skip
    assert run.history["pairs"].tolist() == [sum(pairs[:4]) / 4, sum(pairs[4:]) / 4]
    assert run.record["batches"]["pairs"] == sum(pairs) / 8
    targets = [len(set(inputs.pair)) for inputs in seen]
    if batches == "paired":
        assert pairs == [4] * 8
        assert targets == [1] * 8
        assert all(sorted(inputs.labels.tolist()) == [0] * 4 + [1] * 4 for inputs in seen)
    else:
        assert min(targets) > 1


def test_the_logit_scale_is_folded_into_the_head_that_is_kept(
    fit: Fit, seen: list[LossInputs], sets: Sets
) -> None:
    """The second step of a run begins where a run of one step ended."""
    plain = {"losses": {"cross-entropy": 1, "spy": 1}, "batch_size": 32, "augmentation": "none"}
    options: dict[str, Any] = {**plain, "logit_scale": 7.5, "selection": LAST, "warmup_epochs": 0}
    one = fit(epochs=1, **options)
    seen.clear()
    fit(epochs=2, **options)
    kept = run_over(one.detector, sets.train)
    np.testing.assert_allclose(margin(seen[1].logits.numpy()), margin(kept.logit), atol=1e-5)
    again = one.detector.head(seen[1].embeddings)
    torch.testing.assert_close(again, seen[1].logits, rtol=0, atol=1e-5)
    assert not np.allclose(margin(seen[0].logits.numpy()), margin(kept.logit), atol=1e-2)


@pytest.mark.parametrize("scale", [1.0, 10.0])
def test_the_probe_is_scikit_learn_s_regression_on_frozen_embeddings(
    fit: Fit, sets: Sets, scale: float
) -> None:
    run = fit(head_init="probe", probe_c=30, logit_scale=scale)
    assert run.probe is not None
    base = norms_of(build_backbone("small"), plugins().spec("backbone", "small"))
    assert all(torch.equal(t, base[n]) for n, t in run.probe.norms.items())
    frozen = gk.load(run.probe, device="cpu")
    z = run_over(frozen, sets.train).embedding.astype(np.float64)
    expected = LogisticRegression(C=30, max_iter=2000).fit(z, sets.train.labels())
    held = run_over(frozen, sets.validation)
    probabilities = expected.predict_proba(held.embedding.astype(np.float64))
    np.testing.assert_allclose(held.score, probabilities[:, 1], atol=1e-5)
    assert run.probe.hash != run.adapter.hash


def test_a_run_from_the_probe_starts_at_its_loss(
    fit: Fit, seen: list[LossInputs], sets: Sets
) -> None:
    run = fit(
        head_init="probe",
        logit_scale=5,
        losses={"cross-entropy": 1, "spy": 1},
        batch_size=32,
        augmentation="none",
    )
    assert run.probe is not None
    kept = run_over(gk.load(run.probe, device="cpu"), sets.train)
    np.testing.assert_allclose(margin(seen[0].logits.numpy()), margin(kept.logit), atol=1e-5)


def test_a_random_start_has_no_probe(fit: Fit) -> None:
    assert fit().probe is None


@pytest.mark.parametrize("metric", ["auroc", "macro-ap"])
def test_the_first_epoch_with_the_best_metric_is_kept(fit: Fit, metric: str) -> None:
    run = fit(**RISES, selection={"data": "eve and fay", "metric": metric})
    values = run.history[f"validation_{metric}"].tolist()
    best = values.index(max(values))
    assert 0 < best < 4  # so neither the first nor the last epoch would do
    assert values.count(max(values)) > 1
    assert run.record["chosen_epoch"] == best
    shorter = fit(**{**RISES, "epochs": best + 1}, selection=LAST)
    assert run.adapter.hash == shorter.adapter.hash


def test_the_last_epoch_is_kept_on_request_and_only_it_is_validated(fit: Fit, sets: Sets) -> None:
    run = fit(epochs=3, selection=LAST)
    assert run.record["chosen_epoch"] == 2
    known = [column for column in run.history if column.startswith("validation")]
    assert known == [f"validation_{m}" for m in ("auroc", "macro-ap", "frame-auroc")]
    assert run.history[known].notna().all(axis=1).tolist() == [False, False, True]
    assert [set(known) <= set(row) for row in run.record["history"]] == [False, False, True]
    score = run_over(run.detector, sets.validation).score
    frame_auroc = gk.auroc(sets.validation.labels(), score)
    assert run.history["validation_frame-auroc"].iloc[-1] == frame_auroc


def test_the_detector_that_comes_back_is_the_chosen_one(fit: Fit, sets: Sets) -> None:
    run = fit(**RISES)
    assert run.record["chosen_epoch"] < 4
    expected = run_over(gk.load(run.adapter, device="cpu"), sets.validation)
    found = run_over(run.detector, sets.validation)
    assert np.array_equal(found.logit, expected.logit)
    row = run.history.iloc[run.record["chosen_epoch"]]
    assert gk.auroc(sets.validation.labels(), found.score) == row["validation_frame-auroc"]
    assert run.detector.adapter is run.adapter


def test_manifests_may_be_given_by_their_folders(recipe: Recipe, sets: Sets, fit: Fit) -> None:
    folders = sets.train.root, str(sets.validation.root)
    by_path = gk.fit(recipe, *folders, device="cpu", progress=silent)
    assert by_path.adapter.hash == fit().adapter.hash


@pytest.mark.slow
@pytest.mark.parametrize("recompute", [False, True])
def test_a_compiled_run_differs_in_the_last_bits_and_says_so(fit: Fit, recompute: bool) -> None:
    one = fit(recompute=recompute)
    other = fit(recompute=recompute, compile=True)
    assert (one.record["compiled"], other.record["compiled"]) == (False, True)
    for name, tensor in tensors(one).items():
        torch.testing.assert_close(tensors(other)[name], tensor, rtol=0, atol=1e-4)
    assert other.adapter.tuned.keys() == one.adapter.tuned.keys()


@pytest.mark.slow
def test_a_compiled_backbone_can_be_exported_and_loaded(fit: Fit, tmp_path: Path) -> None:
    run = fit(compile=True, out=tmp_path / "run")
    path = run.detector.export(tmp_path / "a.onnx", layout="onnx")
    assert path.stat().st_size > 1000
    assert gk.load(tmp_path / "run", device="cpu").adapter.hash == run.adapter.hash
