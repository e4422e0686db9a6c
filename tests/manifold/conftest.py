"""Seeded points on the sphere, and crops that are few enough to embed at once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

import gendkit as gk
from gendkit.data.manifest import Manifest
from gendkit.manifold.schema import validate
from gendkit.manifold.store import write_embeddings
from gendkit.testing.small import small_crops

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
def reopened(tmp_path: Path) -> Callable[[xr.Dataset], xr.Dataset]:
    """A function that writes a Dataset and opens it: strings are then of zarr's own type."""

    def write(ds: xr.Dataset) -> xr.Dataset:
        return gk.open_embeddings(write_embeddings(ds, tmp_path / "reopened.zarr", overwrite=True))

    return write
