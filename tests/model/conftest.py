"""A small backbone known by its name, and a detector on it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import nn

from gendkit.model.adapter import Adapter, header_of
from gendkit.model.backbone import build_backbone, norms_of
from gendkit.model.detector import Detector
from gendkit.model.tuning import copy_of
from gendkit.plugin.specs import BackboneSpec
from gendkit.testing.small import DIM, registered, small_backbone


@pytest.fixture
def spec() -> Iterator[BackboneSpec]:
    """The small backbone, registered as `small`."""
    spec = small_backbone()
    with registered(spec):
        yield spec


@pytest.fixture
def backbone(spec: BackboneSpec) -> nn.Module:
    return build_backbone(spec)


@pytest.fixture
def adapter(spec: BackboneSpec) -> Adapter:
    """Layer norms that differ from the base's, and a head."""
    base = build_backbone(spec)
    header = header_of(
        base,
        spec,
        spec.preprocessing,
        source="gendkit.testing",
        extraction={"extractor": "centerface", "threshold": 0.6, "scale": 1.3},
        recipe={"name": "by hand", "learning_rate": 1e-3},
        dtype="float32",
    )
    generator = torch.Generator().manual_seed(1)
    norms = {
        name: tensor + 0.1 * torch.randn(tensor.shape, generator=generator)
        for name, tensor in copy_of(norms_of(base, spec)).items()
    }
    head = {
        "weight": torch.randn(2, DIM, generator=generator),
        "bias": torch.randn(2, generator=generator),
    }
    return Adapter(header=header, norms=norms, head=head)


@pytest.fixture
def detector(spec: BackboneSpec, adapter: Adapter) -> Detector:
    module = build_backbone(spec)
    adapter.apply(module, spec)
    return Detector(module, spec=spec, adapter=adapter)
