"""The zarr store of a Dataset of embeddings: written whole or not at all, opened lazily."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import numpy as np
import xarray as xr

from gendkit.errors import InvalidEmbeddings, MissingMedia
from gendkit.manifold import accessor as accessor  # registers ds.gend
from gendkit.manifold.schema import validate
from gendkit.output import new_folder

CHUNK, SHARD = 1024, 16_384
MARKER = "zarr.json"
ROOT, ADAPTER = "crops", "adapter_hash"
"""Attributes: the folder of the crops, in a store relative to its place, and the adapter's hash."""


def write_embeddings(ds: xr.Dataset, path: str | Path, *, overwrite: bool = False) -> Path:
    """Write a Dataset as a zarr v3 store, whole or not at all.

    Raises
    ------
    OutputExists
        If `path` holds something else, or a store and `overwrite` is false.
    """
    with new_folder(path, overwrite=overwrite, marker=MARKER) as folder:
        write_into(folder, validate(ds), final=Path(path))
    return Path(path)


def open_embeddings(path: str | Path) -> xr.Dataset:
    """Open a store lazily.

    Raises
    ------
    MissingMedia
        If there is no store.
    InvalidEmbeddings
        If it is no store of embeddings.
    """
    path = Path(path)
    if not (path / MARKER).is_file():
        raise MissingMedia(f"no embeddings at {path}; `gendkit embed` writes them.")
    try:
        # Format 2 has a filter that unpickles; a group may also say so in format 3's own file.
        if json.loads((path / MARKER).read_bytes())["zarr_format"] != 3:
            raise ValueError("it is not of format 3")
        ds: xr.Dataset = xr.open_zarr(path, consolidated=False, chunks=None, zarr_format=3)
    except Exception as error:  # zarr and its codecs raise many kinds
        raise InvalidEmbeddings(f"{path} is no readable zarr store: {error}") from None
    if "embedding" not in ds:
        raise InvalidEmbeddings(f"{path} holds {', '.join(map(str, ds.data_vars))}, no embedding.")
    if ROOT in ds.attrs:
        ds.attrs[ROOT] = os.path.normpath(path.absolute().parent / ds.attrs[ROOT])
    return ds


def store_hash(ds: xr.Dataset) -> str:
    """Return the sha256 over sample ids and embeddings: neighbours name their reference by it."""
    digest = hashlib.sha256()
    for sample in ds["sample"].to_numpy():
        digest.update(f"{sample}\n".encode())
    for first in range(0, ds.sizes["sample"], SHARD):
        rows = ds["embedding"].isel(sample=slice(first, first + SHARD))
        digest.update(np.ascontiguousarray(rows.to_numpy(), dtype="<f4").data)
    return digest.hexdigest()


def write_into(folder: Path, ds: xr.Dataset, *, final: Path) -> None:
    """Write a store into an empty folder that will be moved to its final place."""
    ds = ds.drop_encoding()
    if ROOT in ds.attrs:
        ds.attrs[ROOT] = os.path.relpath(ds.attrs[ROOT], final.absolute().parent)
    encoding = {}
    for name, variable in ds.data_vars.items():
        if variable.dims and variable.dims[0] == "sample" and variable.dtype.kind not in "OTU":
            rest = variable.shape[1:]
            encoding[name] = {"chunks": (CHUNK, *rest), "shards": (SHARD, *rest)}
    ds.to_zarr(folder, mode="w", zarr_format=3, consolidated=False, encoding=encoding)
