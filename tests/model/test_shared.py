"""One backbone for many adapters: quickly on, exactly off, and never the wrong one."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

import gendkit as gk
from gendkit.errors import InvalidAdapter, InvalidArgument, UnknownPart, WrongBackbone
from gendkit.model import shared as module_under_test
from gendkit.model.adapter import Adapter
from gendkit.model.backbone import build_backbone, frozen_hash, norms_hash, norms_of
from gendkit.model.detector import Detector
from gendkit.model.shared import SharedBackbone
from gendkit.plugin.specs import BackboneSpec
from gendkit.testing.small import small_backbone


@pytest.fixture
def live(spec: BackboneSpec) -> SharedBackbone:
    return SharedBackbone.of("small")


@pytest.fixture
def other(adapter: Adapter) -> Adapter:
    """A second adapter of the same base."""
    return replace(adapter, norms={name: 1.5 * t for name, t in adapter.norms.items()})


@pytest.fixture
def crops() -> list[NDArray[np.uint8]]:
    return list(np.random.default_rng(0).integers(0, 256, (5, 40, 40, 3), dtype=np.uint8))


@pytest.fixture
def hashed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A list that grows whenever all frozen weights are hashed."""
    calls: list[str] = []

    def counting(module: nn.Module, spec: BackboneSpec) -> str:
        calls.append(spec.name)
        return frozen_hash(module, spec)

    monkeypatch.setattr(module_under_test, "frozen_hash", counting)
    return calls


def state(module: nn.Module) -> dict[str, Tensor]:
    return {name: t.clone() for name, t in module.state_dict().items()}


def is_same(module: nn.Module, before: dict[str, Tensor]) -> bool:
    return all(torch.equal(before[name], t) for name, t in module.state_dict().items())


def test_an_adapter_is_put_on_and_the_base_comes_back_bit_for_bit(
    live: SharedBackbone, adapter: Adapter, other: Adapter
):
    before = state(live.module)
    live.apply(adapter)
    live.apply(other)
    assert live.adapter is other
    own = norms_of(live.module, live.spec)
    assert all(torch.equal(own[name], t) for name, t in other.norms.items())
    live.remove()
    assert live.adapter is None
    assert is_same(live.module, before)


def test_a_block_puts_back_what_was_on_before_it(
    live: SharedBackbone, adapter: Adapter, other: Adapter
):
    before = state(live.module)
    with live.applied(adapter) as module:
        assert module is live.module
        with_adapter = state(module)
        with pytest.raises(RuntimeError, match="inside"), live.applied(other):
            raise RuntimeError("inside")
        assert live.adapter is adapter
        assert is_same(module, with_adapter)
    assert is_same(live.module, before)


def test_the_frozen_weights_are_hashed_once(
    hashed: list[str], live: SharedBackbone, adapter: Adapter, other: Adapter
):
    for one in (adapter, other, adapter):
        live.apply(one)
    live.remove()
    assert hashed == ["small"]


def _write(live: SharedBackbone) -> None:
    with torch.no_grad():
        next(live.module.parameters()).add_(1.0)


def _replace(live: SharedBackbone) -> None:
    layer = next(m for m in live.module.modules() if isinstance(m, nn.Linear))
    layer.weight = nn.Parameter(2 * layer.weight.detach())


def _assign(live: SharedBackbone) -> None:
    layer = next(m for m in live.module.modules() if isinstance(m, nn.Linear))
    layer.weight.data = 2 * layer.weight.detach()


def _load(live: SharedBackbone) -> None:
    live.module.load_state_dict(build_backbone(small_backbone(seed=1)).state_dict())


def _halve(live: SharedBackbone) -> None:
    live.module.to(torch.bfloat16)


@pytest.mark.parametrize("change", [_write, _replace, _assign, _load, _halve])
def test_weights_that_were_changed_are_noticed(
    live: SharedBackbone, adapter: Adapter, change: Callable[[SharedBackbone], None]
):
    live.apply(adapter)
    change(live)
    with pytest.raises(WrongBackbone, match="the adapter belongs to small"):
        live.apply(adapter)


def test_weights_that_were_only_moved_are_hashed_again_and_accepted(
    hashed: list[str], live: SharedBackbone, adapter: Adapter
):
    layer = next(m for m in live.module.modules() if isinstance(m, nn.Linear))
    layer.weight.data = layer.weight.detach().clone()
    live.apply(adapter)
    live.apply(adapter)
    assert hashed == ["small"] * 2


def test_verify_finds_what_was_written_past_the_counters(live: SharedBackbone, adapter: Adapter):
    next(live.module.parameters()).data.add_(1.0)
    live.apply(adapter)  # not seen, as documented
    assert live.verify() != adapter.header.backbone_hash
    with pytest.raises(WrongBackbone):
        live.apply(adapter)


def test_other_frozen_weights_are_refused(adapter: Adapter):
    other = small_backbone(seed=1)
    live = SharedBackbone(build_backbone(other), other)
    before = state(live.module)
    for operation in (live.apply, live.wearing):
        with pytest.raises(WrongBackbone, match="share the backbone that it was trained on"):
            operation(adapter)
    assert is_same(live.module, before)


def test_a_backbone_that_wears_an_adapter_is_no_base(
    spec: BackboneSpec, backbone: nn.Module, adapter: Adapter
):
    adapter.apply(backbone, spec)
    with pytest.raises(WrongBackbone, match="was an adapter applied to it before"):
        SharedBackbone(backbone, spec).apply(adapter)


def test_an_imported_adapter_is_put_on(live: SharedBackbone, adapter: Adapter):
    imported = replace(adapter, header=replace(adapter.header, norms_hash="unknown"))
    live.apply(imported)
    assert live.adapter is imported
    assert imported.with_base(live.base_norms).header == adapter.header


@pytest.mark.parametrize("name", ["apply", "wearing"])
def test_other_layers_are_refused_and_change_nothing(
    live: SharedBackbone, adapter: Adapter, name: str
):
    before = state(live.module)
    wrong = replace(adapter, norms={**adapter.norms, "more": torch.ones(3)})
    with pytest.raises(InvalidAdapter, match=r"unknown \['more'\]"):
        getattr(live, name)(wrong)
    assert is_same(live.module, before)


def test_the_base_norms_are_copies_with_the_hash_in_the_header(
    live: SharedBackbone, adapter: Adapter
):
    live.apply(adapter)
    base = live.base_norms
    assert adapter.interpolate(base, 1).hash == adapter.hash
    for tensor in base.values():
        tensor.zero_()
    live.remove()
    assert norms_hash(live.module, live.spec) == adapter.header.norms_hash


def test_detectors_share_the_weights_and_keep_their_own_scores(
    live: SharedBackbone, adapter: Adapter, other: Adapter, crops: list[NDArray[np.uint8]]
):
    alone = [gk.load(a, device="cpu").predict(crops) for a in (adapter, other)]
    one, two = (gk.load(a, device="cpu", backbone=live) for a in (adapter, other))
    pointers = [{p.data_ptr() for p in d.backbone.parameters()} for d in (one, two)]
    assert pointers[0] == pointers[1] == {p.data_ptr() for p in live.module.parameters()}
    before = state(live.module)
    for _ in range(2):
        assert np.array_equal(one.predict(crops), alone[0])
        assert np.array_equal(two.predict(crops), alone[1])
    assert is_same(live.module, before)


def test_threads_do_not_see_each_others_adapters(
    live: SharedBackbone, adapter: Adapter, other: Adapter, crops: list[NDArray[np.uint8]]
):
    detectors = [gk.load(a, device="cpu", backbone=live) for a in (adapter, other)]
    expected = [d.predict(crops) for d in detectors]
    wrong: list[int] = []

    def score(number: int) -> None:
        for _ in range(10):
            if not np.array_equal(detectors[number].predict(crops), expected[number]):
                wrong.append(number)

    threads = [threading.Thread(target=score, args=(n,)) for n in (0, 1, 0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_gradients_are_taken_inside_the_block(live: SharedBackbone, adapter: Adapter):
    pixels = torch.randn(1, 3, 32, 32, requires_grad=True)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        live.wearing(adapter)(pixels).sum().backward()
    with live.applied(adapter) as module:
        module(pixels).sum().backward()
    assert pixels.grad is not None


def test_a_shared_detector_is_exported_with_its_own_layer_norms(shared: Path, tmp_path: Path):
    alone = gk.load(shared / "golden" / "gend_clip_tiny", device="cpu")
    alone.export(tmp_path / "alone")
    with torch.no_grad():
        for parameter in norms_of(alone.backbone, alone.spec).values():
            parameter.mul_(2)
    backbone = SharedBackbone(alone.backbone, alone.spec)
    view = backbone.wearing(alone.adapter)
    Detector(view, spec=alone.spec, adapter=alone.adapter).export(tmp_path / "shared")
    files = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("alone", "shared")]
    assert files[0] == files[1]


def test_a_model_in_the_layout_of_gend_shares_a_backbone_too(
    shared: Path, crops: list[NDArray[np.uint8]]
):
    golden = shared / "golden" / "gend_clip_tiny"
    alone = gk.load(golden, device="cpu")
    expected = alone.predict(crops)
    live = SharedBackbone(alone.backbone, alone.spec)
    with torch.no_grad():
        for parameter in norms_of(live.module, live.spec).values():
            parameter.zero_()
    detector = gk.load(golden, device="cpu", backbone=live)
    assert next(detector.backbone.parameters()) is next(live.module.parameters())
    assert np.array_equal(detector.predict(crops), expected)


def test_weights_that_cannot_be_watched_are_refused(spec: BackboneSpec):
    with torch.inference_mode():
        module = build_backbone(spec)
    with pytest.raises(InvalidArgument, match="build it outside"):
        SharedBackbone(module, spec)


def test_an_unknown_backbone_is_told_so():
    with pytest.raises(UnknownPart):
        SharedBackbone.of("nowhere")


def test_it_says_what_is_on(live: SharedBackbone, adapter: Adapter):
    assert repr(live) == f"SharedBackbone(small, {live.hash[:12]}, with the base)"
    live.apply(adapter)
    assert f"with adapter {adapter.hash[:12]}" in repr(live)


@pytest.mark.gpu
def test_a_shared_backbone_moves_to_the_gpu(
    live: SharedBackbone, adapter: Adapter, crops: list[NDArray[np.uint8]]
):
    expected = gk.load(adapter, device="cpu").predict(crops)
    detector = gk.load(adapter, device="cuda", backbone=live)
    assert next(live.module.parameters()).is_cuda
    np.testing.assert_allclose(detector.predict(crops), expected, atol=1e-3)
    live.remove()
    assert norms_hash(live.module, live.spec) == adapter.header.norms_hash
