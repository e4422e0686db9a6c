"""Runs that tune something else than layer norms: what moves, what is kept, what is refused."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from torch import Tensor

import gendkit as gk
from gendkit.errors import (
    Diverged,
    InvalidAdapter,
    InvalidArgument,
    InvalidSpec,
    MissingDependency,
    NothingToTune,
    WrongBackbone,
)
from gendkit.model.adapter import Adapter
from gendkit.model.backbone import build_backbone, frozen_hash, norms_hash
from gendkit.model.ensemble import Ensemble
from gendkit.model.hub import card, write_repo
from gendkit.model.kinds import WORDS
from gendkit.model.shared import SharedBackbone
from gendkit.plugin.manager import plugins
from gendkit.testing.small import DIM, small_backbone
from gendkit.train.engine import Run, run_over
from gendkit.train.recipe import Kind, Recipe

from .conftest import Fit, Sets, interrupted, trained

HELD = ("layer-norms", "bitfit", "lora")
OTHER: tuple[Kind, ...] = ("bitfit", "lora", "full")
HEAD = 2 * DIM + 2
NUMBERS = {"bitfit": 768, "lora": 2 * 8 * (DIM + 3 * DIM), "full": 32_224}
COUNTED = {"bitfit": "biases", "lora": "factors", "full": "weights"}


@pytest.fixture(scope="module")
def runs() -> dict[str, Run]:
    """Runs by kind; each is made once."""
    return {}


@pytest.fixture
def run_of(fit: Fit, runs: dict[str, Run]) -> Any:
    def run(kind: str) -> Run:
        if kind not in runs:
            runs[kind] = fit(tuning=kind, head_init="probe")
        return runs[kind]

    return run


@pytest.fixture(params=OTHER)
def run(request: pytest.FixtureRequest, run_of: Any) -> Run:
    result: Run = run_of(request.param)
    return result


def base() -> dict[str, Tensor]:
    return build_backbone("small").state_dict()


def logits(run: Run | Any, sets: Sets) -> np.ndarray:
    detector = run.detector if isinstance(run, Run) else run
    return run_over(detector, sets.validation).logit


def test_all_bias_terms_and_nothing_else_move_under_bitfit(run_of: Any) -> None:
    run, before = run_of("bitfit"), base()
    after = run.detector.backbone.state_dict()
    biases = {n for n in before if n.endswith(".bias")}
    assert {n for n in before if not torch.equal(before[n], after[n])} == biases
    assert set(run.adapter.weights) == biases
    assert all(torch.equal(run.adapter.weights[n], after[n]) for n in biases)


def test_every_weight_moves_under_full(run_of: Any) -> None:
    run, before = run_of("full"), base()
    assert set(run.adapter.weights) == set(before)
    assert not any(torch.equal(before[n], t) for n, t in run.adapter.weights.items())


def test_only_factors_move_under_lora(run_of: Any) -> None:
    run, before = run_of("lora"), base()
    after = {
        n.replace(".base_layer.", "."): t
        for n, t in run.detector.backbone.state_dict().items()
        if ".lora_" not in n
    }
    assert set(after) == set(before)
    assert all(torch.equal(before[n], t) for n, t in after.items())
    factors = run.adapter.weights
    assert set(factors) == {
        f"blocks.{i}.attn.qkv.lora_{f}.weight" for i in (0, 1) for f in ("A", "B")
    }
    assert all(bool(t.any()) for t in factors.values())  # B is 0 before the first step
    assert factors["blocks.0.attn.qkv.lora_B.weight"].shape == (3 * DIM, 8)


def test_the_record_and_the_header_name_the_kind_and_its_base(run: Run) -> None:
    kind, header = run.adapter.header.kind, run.adapter.header
    spec, module = plugins().spec("backbone", "small"), build_backbone("small")
    assert run.record["recipe"]["tuning"] == kind
    tuned = dict(run.record["tuned"])
    assert tuned.pop("of") >= 32_224
    assert tuned == {COUNTED[kind]: NUMBERS[kind], "head": HEAD}
    assert sum(t.numel() for t in run.adapter.weights.values()) == NUMBERS[kind]
    assert header.backbone_hash == frozen_hash(module, spec)
    assert header.norms_hash == norms_hash(module, spec)
    assert not run.adapter.norms


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("kind", OTHER)
def test_a_file_scores_as_the_live_detector_to_the_bit(
    fit: Fit, sets: Sets, tmp_path: Path, kind: str, dtype: str
) -> None:
    run = fit(out=tmp_path / "run", tuning=kind, dtype=dtype, epochs=1, warmup_epochs=0)
    loaded = gk.load(tmp_path / "run", device="cpu")
    assert np.array_equal(logits(run, sets), logits(loaded, sets))
    given = gk.load(run.adapter, device="cpu", backbone=build_backbone("small"))
    assert np.array_equal(logits(run, sets), logits(given, sets))
    with safe_open(tmp_path / "run/adapter.safetensors", framework="pt") as file:
        held = [file.get_tensor(n) for n in file.keys()]  # noqa: SIM118
    assert sum(t.numel() for t in held) == NUMBERS[kind] + HEAD
    assert {t.dtype for t in held} == {torch.float32}


def test_loading_any_kind_leaves_the_process_s_randomness_alone(run: Run) -> None:
    def build(*, pretrained: bool = True, image_size: int = 32) -> torch.nn.Module:
        torch.randn(3 if not pretrained else 0)  # what is not read from a file is drawn
        return build_backbone("small")

    spec = replace(plugins().spec("backbone", "small"), name="drawn", build=build)
    plugins().register([spec], name="drawn")
    adapter = replace(run.adapter, header=replace(run.adapter.header, backbone="drawn"))
    before = torch.random.get_rng_state()
    gk.load(adapter, device="cpu")
    assert torch.equal(before, torch.random.get_rng_state())


def test_the_probe_of_any_kind_is_an_adapter_of_the_base(run: Run, sets: Sets) -> None:
    assert run.probe is not None
    assert run.probe.header.kind == "layer-norms"
    own, before = run.probe.norms, base()
    assert all(torch.equal(t, before[n]) for n, t in own.items())
    assert run_over(gk.load(run.probe, device="cpu"), sets.train).logit.shape == (32, 2)


@pytest.mark.parametrize("kind", OTHER)
def test_a_run_of_any_kind_is_resumed_to_the_bit(
    fit: Fit, recipe: Recipe, sets: Sets, tmp_path: Path, kind: str
) -> None:
    changed, out = Recipe.of(recipe, tuning=kind, micro_batch=5), tmp_path / "run"
    assert interrupted(changed, sets, out, after=6, checkpoint_every=5).exists()
    resumed = trained(changed, sets, out=out, resume=True)
    assert resumed.record["resumed"] == [5]
    whole = fit(tuning=kind, micro_batch=5)
    assert resumed.adapter.hash == whole.adapter.hash
    assert np.array_equal(logits(resumed, sets), logits(whole, sets))


@pytest.mark.parametrize("kind", OTHER)
def test_a_run_of_any_kind_that_diverges_is_told_so(fit: Fit, kind: str) -> None:
    with pytest.raises(Diverged, match="lower learning_rate"):
        fit(tuning=kind, learning_rate=1e30, warmup_epochs=0, epochs=4)


def test_blocks_run_again_give_the_same_numbers(run_of: Any, fit: Fit) -> None:
    again = fit(tuning="lora", head_init="probe", recompute=True)
    for name, tensor in run_of("lora").adapter.weights.items():
        torch.testing.assert_close(again.adapter.weights[name], tensor, rtol=0, atol=1e-5)


def test_low_rank_factors_are_drawn_by_the_recipe_s_seed_alone(fit: Fit) -> None:
    before = torch.random.get_rng_state()
    one, same, other = (fit(tuning="lora", seed=seed, epochs=1) for seed in (3, 3, 4))
    assert torch.equal(before, torch.random.get_rng_state())
    assert one.adapter.hash == same.adapter.hash
    name = "blocks.0.attn.qkv.lora_A.weight"
    assert not torch.equal(one.adapter.weights[name], other.adapter.weights[name])


def test_rank_and_alpha_are_those_of_the_recipe(fit: Fit, sets: Sets) -> None:
    run = fit(tuning="lora", **{"lora.rank": 2, "lora.alpha": 3.0})
    assert run.adapter.weights["blocks.1.attn.qkv.lora_A.weight"].shape == (2, DIM)
    assert run.adapter.header.alpha == 3.0
    other = replace(run.adapter, header=replace(run.adapter.header, alpha=30.0))
    assert not np.array_equal(logits(run, sets), logits(gk.load(other, device="cpu"), sets))


REFUSED: dict[str, Any] = {
    "subtracted": lambda a, own: a - own,
    "subtracted from": lambda a, own: own - a,
    "added": lambda a, own: a + (own - own),
    "averaged": lambda a, own: Adapter.average([own, a]),
    "interpolated": lambda a, own: a.interpolate(own.norms, 0.5),
    "given a base": lambda a, own: a.with_base(own.norms),
    "a member of an ensemble": lambda a, own: Ensemble([own, a], device="cpu"),
    "put on a shared backbone": lambda a, own: SharedBackbone.of("small").apply(a),
    "loaded onto a shared one": lambda a, own: gk.load(
        a, device="cpu", backbone=SharedBackbone.of("small")
    ),
}


@pytest.mark.parametrize("act", REFUSED.values(), ids=REFUSED)
def test_what_only_layer_norms_can_is_refused_by_kind_in_one_line(run: Run, act: Any) -> None:
    kind, own = run.adapter.header.kind, run.probe
    words = rf"^a {kind} checkpoint of small cannot be .*only adapters of layer-norms can; load it"
    with pytest.raises(InvalidArgument, match=words) as caught:
        act(run.adapter, own)
    assert "\n" not in str(caught.value)


def test_a_checkpoint_is_not_put_on_weights_that_it_was_not_tuned_from(run: Run) -> None:
    spec = plugins().spec("backbone", "small")
    for name in ("norm.weight", "blocks.0.attn.qkv.weight"):
        module = build_backbone("small")
        with torch.no_grad():
            module.get_parameter(name).add_(1)
        with pytest.raises(WrongBackbone):
            run.adapter.apply(module, spec)


def test_a_checkpoint_with_a_tensor_too_few_is_refused(run: Run) -> None:
    name, *_ = run.adapter.weights
    fewer = {n: t for n, t in run.adapter.weights.items() if n != name}
    words = f"tensors of a {run.adapter.header.kind} checkpoint do not fit small: missing"
    with pytest.raises(InvalidAdapter, match=words):
        gk.load(replace(run.adapter, weights=fewer), device="cpu")


def test_factors_of_several_ranks_are_refused(run_of: Any) -> None:
    adapter = run_of("lora").adapter
    name = "blocks.0.attn.qkv.lora_A.weight"
    wrong = {**adapter.weights, name: torch.zeros(3, DIM)}
    with pytest.raises(InvalidAdapter, match=r"ranks \[3, 8\]; expected one of all"):
        gk.load(replace(adapter, weights=wrong), device="cpu")


def test_a_file_of_a_kind_that_is_not_known_is_refused(run: Run, tmp_path: Path) -> None:
    header = replace(run.adapter.header, kind="prefix")  # type: ignore[arg-type]
    file = replace(run.adapter, header=header).write(tmp_path / "a.safetensors")
    with pytest.raises(InvalidAdapter, match="is of kind 'prefix'; this gendkit knows layer-norms"):
        Adapter.read(file)


def test_the_card_of_any_kind_says_what_the_file_holds(run: Run) -> None:
    kind = run.adapter.header.kind
    text = card(run.adapter, name="me/it", licence="mit")
    assert WORDS[kind] in text
    assert f"| kind | {kind} |" in text
    assert f"{NUMBERS[kind] + HEAD:,} numbers" in text
    assert "layer-norm-tuning" not in text


def test_a_repository_of_any_kind_is_loaded(run: Run, sets: Sets, tmp_path: Path) -> None:
    folder = write_repo(run.adapter, tmp_path / "repo", name="me/it", licence="mit")
    assert np.array_equal(logits(run, sets), logits(gk.load(folder, device="cpu"), sets))


def test_lora_without_peft_says_what_to_install_before_weights_are_loaded(
    fit: Fit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "peft", None)
    monkeypatch.setattr("gendkit.train.build.build_backbone", None)
    with pytest.raises(MissingDependency, match=r'peft is not installed; run: .*"gendkit\[lora\]"'):
        fit(tuning="lora")


def test_factors_without_alpha_are_refused(run_of: Any) -> None:
    adapter = run_of("lora").adapter
    without = replace(adapter, header=replace(adapter.header, alpha=None))
    with pytest.raises(InvalidAdapter, match="of small lacks alpha in its header"):
        gk.load(without, device="cpu")


@pytest.mark.parametrize("kind", ["bitfit", "full"])
def test_tensors_are_kept_by_their_canonical_names(fit: Fit, sets: Sets, kind: str) -> None:
    def canonical(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return {f"vit/{name}": tensor for name, tensor in state.items()}

    plugins().register([replace(small_backbone("other"), canonical=canonical)], name="other")
    run = fit(tuning=kind, backbone="other")
    assert all(name.startswith("vit/") for name in run.adapter.weights)
    assert np.array_equal(logits(run, sets), logits(gk.load(run.adapter, device="cpu"), sets))


def test_canonical_names_that_join_tensors_are_refused(fit: Fit) -> None:
    def canonical(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return {n: t if "norm" in n else t.clone() for n, t in state.items()}

    plugins().register([replace(small_backbone("other"), canonical=canonical)], name="other")
    assert fit(backbone="other", epochs=1).adapter.norms
    with pytest.raises(InvalidSpec, match="canonical of backbone 'other' must pass these tensors"):
        fit(tuning="full", backbone="other")


def test_lora_needs_an_attention_that_it_knows(fit: Fit, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gendkit.model.lora._projections", dict)
    with pytest.raises(NothingToTune, match="has Attention, where lora knows"):
        fit(tuning="lora")


@pytest.mark.parametrize("kind", HELD)
def test_in_bfloat16_frozen_weights_are_held_once_with_the_same_result(
    kind: str, fit: Fit, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = fit(tuning=kind, dtype="bfloat16")
    monkeypatch.setattr("gendkit.train.build.hold_frozen", lambda *_, **__: None)
    other = fit(tuning=kind, dtype="bfloat16")
    narrow, wide = (
        [p for p in run.detector.backbone.parameters() if p.dtype == torch.bfloat16]
        for run in (one, other)
    )
    assert len(narrow) > 4
    assert not wide
    assert one.adapter.hash == other.adapter.hash
