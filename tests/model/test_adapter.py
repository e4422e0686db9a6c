"""The adapter file: whole, strict, small, and bound to the weights it was trained on."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import nn

import gendkit as gk
from gendkit.errors import InvalidAdapter, MissingMedia, WrongBackbone
from gendkit.model.adapter import Adapter, Header, header_of, load_norms, movement
from gendkit.model.backbone import build_backbone, frozen_hash, norms_hash, norms_of
from gendkit.model.detector import Detector
from gendkit.model.tuning import copy_of
from gendkit.plugin.specs import BackboneSpec, Preprocessing
from gendkit.testing.small import registered, small_backbone


@pytest.fixture
def file(adapter: Adapter, tmp_path: Path) -> Path:
    return adapter.write(tmp_path / "adapter.safetensors")


def test_an_adapter_comes_back_as_it_was_written(adapter: Adapter, file: Path) -> None:
    read = Adapter.read(file)
    assert read.header == adapter.header
    assert read.hash == adapter.hash
    for ours, theirs in ((adapter.norms, read.norms), (adapter.head, read.head)):
        assert ours.keys() == theirs.keys()
        assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert [p.name for p in file.parent.iterdir()] == ["adapter.safetensors"]


def test_the_header_says_what_the_numbers_belong_to(
    spec: BackboneSpec, backbone: nn.Module, file: Path
) -> None:
    with safe_open(file, framework="pt") as opened:
        header = json.loads(opened.metadata()["gendkit"])
        names = set(opened.keys())
    assert header["backbone"] == "small"
    assert header["backbone_hash"] == frozen_hash(backbone, spec)
    assert header["norms_hash"] == norms_hash(backbone, spec)
    assert header["classes"] == ["real", "fake"]
    assert header["dtype"] == "float32"
    assert header["extraction"] == {"extractor": "centerface", "threshold": 0.6, "scale": 1.3}
    assert header["recipe"]["name"] == "by hand"
    assert header["preprocessing"] == {
        **vars(spec.preprocessing),
        "mean": [0.5] * 3,
        "std": [0.5] * 3,
    }
    assert header["gendkit"] == gk.__version__
    assert header["source"] == "gendkit.testing"
    assert names == {
        *(f"backbone.{name}" for name in norms_of(backbone, spec)),
        "head.weight",
        "head.bias",
    }


@pytest.mark.parametrize("numbers", [102_400, 104_448])
def test_the_file_of_a_large_backbone_is_under_half_a_megabyte(
    adapter: Adapter, tmp_path: Path, numbers: int
) -> None:
    norms = {f"n{i}": torch.randn(1024) for i in range(numbers // 1024)}
    head = {"weight": torch.randn(2, 1024), "bias": torch.randn(2)}
    file = replace(adapter, norms=norms, head=head).write(tmp_path / "a.safetensors")
    assert file.stat().st_size < 500_000


def test_no_single_byte_can_be_flipped(file: Path, tmp_path: Path) -> None:
    whole = file.read_bytes()
    header = 8 + int.from_bytes(whole[:8], "little")
    places = [*range(8), *range(8, header, 3), *range(header, len(whole), 29), len(whole) - 1]
    flipped = tmp_path / "flipped.safetensors"
    for place in places:
        for bit in (0, 5):
            data = bytearray(whole)
            data[place] ^= 1 << bit
            flipped.write_bytes(data)
            with pytest.raises(InvalidAdapter):
                Adapter.read(flipped)


def test_numbers_that_are_not_finite_are_refused(file: Path, tmp_path: Path) -> None:
    adapter = Adapter.read(file)
    head = {**adapter.head, "bias": adapter.head["bias"] * float("nan")}
    broken = replace(adapter, head=head).write(tmp_path / "nan.safetensors")
    with pytest.raises(InvalidAdapter, match="numbers that are not finite"):
        Adapter.read(broken)


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9, 0.999])
def test_a_truncated_file_is_refused(file: Path, share: float) -> None:
    data = file.read_bytes()
    file.write_bytes(data[: int(share * len(data))])
    with pytest.raises(InvalidAdapter, match="no adapter, or damaged"):
        Adapter.read(file)


def test_a_text_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "adapter.safetensors"
    path.write_text("# not an adapter\n" * 10)
    with pytest.raises(InvalidAdapter, match="no adapter, or damaged"):
        Adapter.read(path)


@pytest.mark.parametrize("metadata", [None, {"format": "pt"}])
def test_another_safetensors_file_is_refused(tmp_path: Path, metadata: Any) -> None:
    path = tmp_path / "model.safetensors"
    save_file({"weight": torch.ones(2)}, path, metadata=metadata)
    with pytest.raises(InvalidAdapter, match="not one of gendkit's adapters"):
        Adapter.read(path)


@pytest.mark.parametrize("header", ["[]", "{}", "3", "null", '{"format": 1}', "{"])
def test_a_header_that_is_none_is_refused(tmp_path: Path, header: str) -> None:
    path = tmp_path / "adapter.safetensors"
    save_file({"head.weight": torch.ones(2, 2)}, path, metadata={"gendkit": header})
    with pytest.raises(InvalidAdapter, match="damaged header"):
        Adapter.read(path)


def test_a_file_of_the_first_format_is_one_of_layer_norms(file: Path, adapter: Adapter) -> None:
    with safe_open(file, framework="pt") as opened:
        header = json.loads(opened.metadata()["gendkit"])
        tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
    for name in ("kind", "alpha", "format", "digest"):
        header.pop(name)
    digest = hashlib.sha256(json.dumps(header, sort_keys=True).encode()).hexdigest()
    header |= {"format": 1, "digest": digest}
    save_file(tensors, file, metadata={"gendkit": json.dumps(header)})
    read = Adapter.read(file)
    assert read.header == adapter.header
    assert read.header.kind == "layer-norms"
    assert read.hash == adapter.hash


def test_a_later_format_is_told_so(file: Path, adapter: Adapter) -> None:
    with safe_open(file, framework="pt") as opened:
        header = json.loads(opened.metadata()["gendkit"])
    header["format"] = 3
    save_file({"head.weight": torch.ones(1)}, file, metadata={"gendkit": json.dumps(header)})
    with pytest.raises(InvalidAdapter, match="format 3; this gendkit reads 1 and 2: upgrade"):
        Adapter.read(file)


def test_other_classes_are_refused(adapter: Adapter, tmp_path: Path) -> None:
    turned = replace(adapter, header=replace(adapter.header, classes=("fake", "real")))
    path = turned.write(tmp_path / "a.safetensors")
    with pytest.raises(InvalidAdapter, match="orders its classes"):
        Adapter.read(path)


def test_a_head_without_bias_is_refused(adapter: Adapter, tmp_path: Path) -> None:
    headless = replace(adapter, head={"weight": adapter.head["weight"]})
    with pytest.raises(InvalidAdapter, match="a head with weight and bias"):
        Adapter.read(headless.write(tmp_path / "a.safetensors"))


def test_a_missing_file_is_told_so(tmp_path: Path) -> None:
    with pytest.raises(MissingMedia, match="gendkit train"):
        Adapter.read(tmp_path / "none.safetensors")


def test_an_adapter_for_other_weights_is_refused_by_hash(adapter: Adapter) -> None:
    other = small_backbone(seed=1)
    with pytest.raises(WrongBackbone, match=r"the adapter belongs to small.* check small --pretr"):
        adapter.apply(build_backbone(other), other)
    other = small_backbone("larger", seed=1)
    with pytest.raises(WrongBackbone, match="load it with the backbone that it was trained on"):
        adapter.apply(build_backbone(other), other)


def test_a_file_for_other_weights_is_refused_when_loaded(file: Path) -> None:
    with registered(small_backbone(seed=1)), pytest.raises(WrongBackbone):
        gk.load(file, device="cpu")


def test_a_refused_adapter_leaves_the_backbone_as_it_was(adapter: Adapter) -> None:
    other = small_backbone(seed=1)
    module = build_backbone(other)
    before = {k: v.clone() for k, v in module.state_dict().items()}
    with pytest.raises(WrongBackbone):
        adapter.apply(module, other)
    assert all(torch.equal(before[k], v) for k, v in module.state_dict().items())


@pytest.mark.parametrize("change", ["missing", "unknown", "shape"])
def test_layer_norms_are_loaded_strictly(
    spec: BackboneSpec, backbone: nn.Module, adapter: Adapter, change: str
) -> None:
    norms = dict(adapter.norms)
    first = next(iter(norms))
    if change == "missing":
        del norms[first]
    elif change == "unknown":
        norms["more.weight"] = torch.ones(3)
    else:
        norms[first] = torch.ones(3)
    with pytest.raises(InvalidAdapter, match="layer norms do not fit small"):
        load_norms(backbone, spec, norms)


def test_applying_sets_the_layer_norms_and_nothing_else(
    spec: BackboneSpec, backbone: nn.Module, adapter: Adapter
) -> None:
    before = {k: v.clone() for k, v in backbone.state_dict().items()}
    adapter.apply(backbone, spec)
    for name, tensor in backbone.state_dict().items():
        assert torch.equal(tensor, adapter.norms.get(name, before[name]))


def test_two_layouts_of_the_same_weights_share_adapters(
    spec: BackboneSpec, detector: Detector, file: Path
) -> None:
    class Wrapped(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = build_backbone(small_backbone())

        def forward(self, pixels: torch.Tensor) -> torch.Tensor:
            features: torch.Tensor = self.inner(pixels)
            return features

    layout = replace(
        spec,
        build=lambda **_: Wrapped(),
        canonical=lambda state: {k.removeprefix("inner."): v for k, v in state.items()},
    )
    crops = [np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8)]
    with registered(layout):
        other = gk.load(file, device="cpu")
    assert isinstance(other.backbone, Wrapped)
    assert np.array_equal(other.predict(crops), detector.predict(crops))


def test_a_header_is_made_of_the_base(spec: BackboneSpec, backbone: nn.Module) -> None:
    header = header_of(backbone, spec, spec.preprocessing, source="here", dtype="bfloat16")
    assert isinstance(header, Header)
    assert isinstance(header.preprocessing, Preprocessing)
    assert (header.source, header.dtype) == ("here", "bfloat16")


def test_movement_is_relative_and_by_layer(spec: BackboneSpec, backbone: nn.Module) -> None:
    before = copy_of(norms_of(backbone, spec))
    after = {**before, "norm.weight": 1.5 * before["norm.weight"]}
    table = movement(before, after)
    assert table["layer"].tolist() == [
        *("blocks.0.norm1", "blocks.0.norm2", "blocks.1.norm1", "blocks.1.norm2", "norm")
    ]
    assert table["depth"].tolist() == [0, 0.25, 0.5, 0.75, 1]
    assert table["weight"].tolist() == pytest.approx([0, 0, 0, 0, 0.5])
    assert table["bias"].isna().all()  # they were 0, so that no ratio says how far they moved
