"""A store of a million crops is opened without being read."""

from __future__ import annotations

import hashlib
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

import gendkit as gk
from gendkit.errors import InvalidEmbeddings
from gendkit.manifold.schema import check_unit
from gendkit.manifold.store import CHUNK, SHARD, store_hash, write_embeddings

from .conftest import Points

COUNT, DIM = 1_000_000, 1024


@pytest.fixture(scope="module")
def million(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of a million crops, of which only the second shard and the ids are written."""
    path = tmp_path_factory.mktemp("million") / "e.zarr"
    group = zarr.create_group(path)
    rows = group.create_array(
        "embedding", shape=(COUNT, DIM), chunks=(CHUNK, DIM), shards=(SHARD, DIM), dtype="float32",
        dimension_names=("sample", "feature"),
    )  # fmt: skip
    shard = np.zeros((SHARD, DIM), np.float32)
    shard[:, 0] = 1
    rows[SHARD : 2 * SHARD] = shard
    group.create_array(
        "score", shape=(COUNT,), chunks=(CHUNK,), shards=(SHARD,), dtype="float32",
        dimension_names=("sample",),
    )  # fmt: skip
    names = group.create_array(
        "sample", shape=(COUNT,), chunks=(COUNT,), dtype=str, dimension_names=("sample",)
    )
    names[:] = np.array([f"data/clip{i:07d}/0/0" for i in range(COUNT)], dtype=object)
    return path


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The keys that are asked of the store on disk."""
    keys: list[str] = []
    real = zarr.storage.LocalStore.get

    async def get(self: Any, key: str, *args: Any, **options: Any) -> Any:
        keys.append(key)
        return await real(self, key, *args, **options)

    monkeypatch.setattr(zarr.storage.LocalStore, "get", get)
    return keys


@pytest.mark.slow
def test_a_million_embeddings_are_opened_without_being_read(
    million: Path, asked: list[str]
) -> None:
    tracemalloc.start()
    ds = gk.open_embeddings(million)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert ds["embedding"].shape == (COUNT, DIM)
    assert not [key for key in asked if key.startswith(("embedding/c", "score/c"))]
    assert most < 400e6  # ids alone; the embeddings have 4.1 GB


@pytest.mark.slow
def test_rows_of_a_million_read_only_the_shard_that_they_are_in(
    million: Path, asked: list[str]
) -> None:
    ds = gk.open_embeddings(million)
    part = ds.isel(sample=slice(SHARD + 5, SHARD + 8)).load()
    assert set(asked) >= {"embedding/c/1/0"}
    assert {key for key in asked if key.startswith("embedding/c")} == {"embedding/c/1/0"}
    assert part["embedding"].to_numpy()[:, 0].tolist() == [1, 1, 1]
    assert part["sample"].to_numpy().tolist()[0] == f"data/clip{SHARD + 5:07d}/0/0"


def test_the_hash_of_a_store_is_the_same_before_and_after_it_is_read(
    points: Points, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gendkit.manifold.store.SHARD", 4)
    monkeypatch.setattr("gendkit.manifold.store.CHUNK", 2)
    ds = points(10)
    whole = "".join(f"{name}\n" for name in ds["sample"].to_numpy()).encode()
    whole += ds["embedding"].to_numpy().astype("<f4").tobytes()
    opened = gk.open_embeddings(write_embeddings(ds, tmp_path / "e.zarr"))
    assert store_hash(ds) == store_hash(opened) == hashlib.sha256(whole).hexdigest()


def test_looking_at_lengths_takes_no_second_copy() -> None:
    rows = np.zeros((20_000, 512), np.float32)
    rows[:, 3] = 1
    tracemalloc.start()
    check_unit(rows)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < rows.nbytes / 10
    rows[7, 3] = 1.01
    with pytest.raises(InvalidEmbeddings, match=r"row 7 has length 1\.01"):
        check_unit(rows)
