"""Backbones by name, and the hash that names their frozen weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from gendkit.errors import InvalidSpec, UnknownPart
from gendkit.model.backbone import (
    build_backbone,
    frozen_hash,
    norms_hash,
    norms_of,
    tensors_hash,
)
from gendkit.plugin.specs import BackboneSpec


def other_names(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {f"theirs.{name}": tensor for name, tensor in state.items()}


def back(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix("inner."): tensor for name, tensor in state.items()}


class Wrapped(nn.Module):
    """Another layout of the same weights."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, pixels: Tensor) -> Tensor:
        features: Tensor = self.inner(pixels)
        return features


def test_a_backbone_is_built_in_evaluation_mode(spec: BackboneSpec) -> None:
    assert not build_backbone("small").training


def test_an_unknown_name_is_told_so(spec: BackboneSpec) -> None:
    with pytest.raises(UnknownPart, match="no backbone is named 'smal'"):
        build_backbone("smal")


def test_an_option_that_the_builder_does_not_take_is_refused(spec: BackboneSpec) -> None:
    rigid = replace(spec, build=lambda *, pretrained=True: nn.Identity())
    with pytest.raises(InvalidSpec, match=r"takes no 'image_size'; it is 32 px always: .*=null"):
        build_backbone(rigid, image_size=16)
    with pytest.raises(InvalidSpec, match="takes no 'depth'"):
        build_backbone(rigid, depth=1)
    with pytest.raises(InvalidSpec, match=r"takes no 'pretrained'; write it as build\("):
        build_backbone(replace(spec, build=lambda: nn.Identity()))


def test_the_declared_image_size_is_not_passed_on(spec: BackboneSpec) -> None:
    rigid = replace(spec, build=lambda *, pretrained=True: nn.Identity())
    assert isinstance(build_backbone(rigid, image_size=spec.image_size), nn.Identity)


def test_the_hash_does_not_change_with_the_layer_norms(
    spec: BackboneSpec, backbone: nn.Module
) -> None:
    before = frozen_hash(backbone, spec), norms_hash(backbone, spec)
    with torch.no_grad():
        for parameter in norms_of(backbone, spec).values():
            parameter.add_(1)
    after = frozen_hash(backbone, spec), norms_hash(backbone, spec)
    assert before[0] == after[0]
    assert before[1] != after[1]


def test_the_hash_changes_with_any_frozen_number(spec: BackboneSpec, backbone: nn.Module) -> None:
    hashes = {frozen_hash(backbone, spec)}
    frozen = set(backbone.state_dict()) - set(norms_of(backbone, spec))
    for name in frozen:
        changed = build_backbone(spec)
        with torch.no_grad():
            changed.state_dict()[name].flatten()[-1].add_(1e-3)
        hashes.add(frozen_hash(changed, spec))
    assert len(hashes) == 1 + len(frozen)


def test_two_layouts_of_the_same_weights_share_their_hashes(
    spec: BackboneSpec, backbone: nn.Module
) -> None:
    wrapped = Wrapped(build_backbone(spec))
    layout = replace(spec, name="wrapped", canonical=back)
    assert frozen_hash(wrapped, layout) == frozen_hash(backbone, spec)
    assert norms_hash(wrapped, layout) == norms_hash(backbone, spec)
    assert list(norms_of(wrapped, layout)) == list(norms_of(backbone, spec))
    renamed = replace(spec, canonical=other_names)
    assert frozen_hash(backbone, renamed) != frozen_hash(backbone, spec)


def test_a_mapping_that_copies_layer_norms_is_refused(
    spec: BackboneSpec, backbone: nn.Module
) -> None:
    copying = replace(spec, canonical=lambda state: {k: v * 1 for k, v in state.items()})
    with pytest.raises(InvalidSpec, match="must pass layer norms on as they are"):
        norms_of(backbone, copying)


def test_a_hash_says_name_shape_and_number() -> None:
    tensor = torch.arange(6.0)
    hashes = {
        tensors_hash({"a": tensor}),
        tensors_hash({"b": tensor}),
        tensors_hash({"a": tensor.reshape(2, 3)}),
        tensors_hash({"a": tensor + 1}),
    }
    assert len(hashes) == 4


def test_a_hash_does_not_depend_on_order_dtype_or_memory() -> None:
    one, other = torch.arange(6.0).reshape(2, 3), torch.ones(2)
    assert tensors_hash({"a": one, "b": other}) == tensors_hash({"b": other, "a": one})
    assert tensors_hash({"a": one}) == tensors_hash({"a": one.double()})
    assert tensors_hash({"a": one.T}) == tensors_hash({"a": one.T.contiguous()})


def test_a_hash_is_of_name_shape_and_little_endian_float32() -> None:
    """Spelt out once, as others have to be able to compute it."""
    import hashlib
    import struct

    expected = hashlib.sha256(b"a(2,)" + struct.pack("<2f", 1, 2) + b"b()" + struct.pack("<f", 3))
    tensors = {"b": torch.tensor(3.0), "a": torch.tensor([1.0, 2.0])}
    assert tensors_hash(tensors) == expected.hexdigest()
