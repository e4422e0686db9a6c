"""Embeddings of crops that are on disk, with a map."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import gendkit as gk
from gendkit.manifold.store import ROOT, write_embeddings
from gendkit.testing.small import small_crops


@pytest.fixture
def embedded(tmp_path: Path) -> Callable[..., xr.Dataset]:
    """A function that makes 32 crops of four people, with random embeddings and a map of them."""

    def make(*, axes: int = 2, seed: int = 0) -> xr.Dataset:
        crops = tmp_path / "crops"
        crops.mkdir()
        table = small_crops(crops, split="final").table
        rng = np.random.default_rng(seed)
        points = rng.normal(size=(len(table), 8)).astype(np.float32)
        places = rng.normal(size=(len(table), axes)).astype(np.float32)
        if axes == 3:
            places /= np.linalg.norm(places, axis=1, keepdims=True)
        columns = [c for c in table.columns if c not in ("sample", "box", "landmarks")]
        ds = xr.Dataset(
            {
                "embedding": (
                    ("sample", "feature"),
                    points / np.linalg.norm(points, axis=1, keepdims=True),
                ),
                "projection": (("sample", "axis"), places),
                "score": ("sample", rng.random(len(table)).astype(np.float32)),
                **{name: ("sample", table[name].to_numpy()) for name in columns},
            },
            coords={"sample": table["sample"].to_numpy(object)},
            attrs={ROOT: str(crops)},
        )
        ds["projection"].attrs.update(method="umap", trustworthiness=0.912, seed_overlap=0.5)
        return gk.open_embeddings(write_embeddings(ds, tmp_path / "embeddings.zarr"))

    return make
