"""Seeded points on the sphere, and a detector and crops that are small enough to embed at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr

from gendkit.data.manifest import Manifest
from gendkit.manifold.schema import validate
from gendkit.model.adapter import Adapter, header_of
from gendkit.model.backbone import build_backbone, norms_of
from gendkit.model.detector import Detector
from gendkit.model.head import Head
from gendkit.model.tuning import copy_of
from gendkit.testing.small import DIM, registered, small_backbone, small_crops

Points = Callable[..., xr.Dataset]


@pytest.fixture
def points() -> Points:
    """A function from a number of points to a Dataset; columns are lists of one text a point."""

    def make(n: int, *, dim: int = 8, seed: int = 0, name: str = "p", **columns: Any) -> xr.Dataset:
        raw = np.random.default_rng(seed).normal(size=(n, dim))
        unit = (raw / np.linalg.norm(raw, axis=1, keepdims=True)).astype(np.float32)
        return validate(
            xr.Dataset(
                {
                    "embedding": (("sample", "feature"), unit),
                    **{key: ("sample", np.array(v, object)) for key, v in columns.items()},
                },
                coords={"sample": np.array([f"{name}{i}" for i in range(n)], object)},
            )
        )

    return make


@pytest.fixture(scope="session")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    """Eight crops of two people."""
    root = tmp_path_factory.mktemp("crops")
    return small_crops(root, identities=("ann", "bob"), frames=2, split="final")


@pytest.fixture
def detector() -> Iterator[Detector]:
    """The small backbone with the layer norms of its base and a random head."""
    spec = small_backbone()
    backbone = build_backbone(spec)
    header = header_of(
        backbone, spec, spec.preprocessing, source="gendkit.testing", recipe={"name": "by hand"}
    )
    head = Head(DIM, generator=torch.Generator().manual_seed(0)).folded()
    adapter = Adapter(header=header, norms=copy_of(norms_of(backbone, spec)), head=head)
    with registered(spec):
        yield Detector(backbone, spec=spec, adapter=adapter)
