"""Embeds a manifest's crops into one xarray Dataset, and keeps it as a zarr store."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from gendkit.data.manifest import COLUMNS, Manifest
from gendkit.errors import InvalidEmbeddings, InvalidManifest, MissingMedia
from gendkit.manifold.schema import attributed, validate
from gendkit.model.detector import Detector, Outputs, check_positive, load
from gendkit.model.head import CLASSES
from gendkit.output import new_folder
from gendkit.progress import Bars, Progress
from gendkit.train.engine import run_over

CHUNK, SHARD = 1024, 16_384
MARKER = "zarr.json"
ROOT, ADAPTER = "crops", "adapter_hash"


def embed(
    manifest: Manifest | str | Path,
    detector: Detector | str | Path,
    out: str | Path | None = None,
    *,
    overwrite: bool = False,
    batch_size: int = 32,
    progress: Progress | None = None,
) -> xr.Dataset:
    """Embed and score all face crops of a manifest.

    Parameters
    ----------
    manifest
        Or its folder. Rows without a crop are left out.
    detector
        Gives embeddings (sample, feature), logits (sample, class) and scores (sample); or its
        adapter's file or folder, for `gk.load`.
    out
        A new zarr store to write.
    overwrite
        Replace `out` if it is a store.
    batch_size
        Crops that are run at once.
    progress
        Told after each batch; by default a progress bar.

    Returns
    -------
    xarray.Dataset
        See `gendkit.manifold.schema`; its attributes are the chain of custody.

    Raises
    ------
    InvalidManifest
        If there is no crop.
    InvalidArgument
        If `batch_size` is less than 1.
    OutputExists
        If `out` holds something else.
    """
    check_positive("batch_size", batch_size)
    if not isinstance(manifest, Manifest):
        manifest = Manifest.read(manifest)
    manifest = manifest.faces()
    if not len(manifest):
        raise InvalidManifest("the manifest has no face crop to embed.")
    target = new_folder(out, overwrite=overwrite, marker=MARKER) if out is not None else None
    if not isinstance(detector, Detector):
        detector = load(detector)
    outputs = run_over(detector, manifest, batch_size=batch_size, progress=progress or Bars())
    ds = from_outputs(manifest, outputs, detector)
    if target is not None:
        with target as folder:
            _write(ds, folder, final=Path(out or folder))
    return ds


def from_outputs(manifest: Manifest, outputs: Outputs, detector: Detector) -> xr.Dataset:
    """Make the Dataset of crops whose outputs are already there, in the manifest's order."""
    ds = xr.Dataset(
        {
            "embedding": (("sample", "feature"), outputs.embedding),
            "logit": (("sample", "class"), outputs.logit),
            "score": (("sample",), outputs.score),
            **_columns(manifest),
        },
        coords={
            "sample": ("sample", _strings(manifest.table["sample"])),
            "class": ("class", _strings(CLASSES)),
        },
        attrs={**custody(manifest, detector), ROOT: str(manifest.root)},
    )
    return attributed(validate(ds))


def write_embeddings(ds: xr.Dataset, path: str | Path, *, overwrite: bool = False) -> Path:
    """Write a Dataset as a zarr v3 store, whole or not at all.

    Raises
    ------
    OutputExists
        If `path` holds something else, or a store and `overwrite` is false.
    """
    with new_folder(path, overwrite=overwrite, marker=MARKER) as folder:
        _write(validate(ds), folder, final=Path(path))
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
        ds: xr.Dataset = xr.open_zarr(path, consolidated=False, chunks=None)
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
    digest.update(np.ascontiguousarray(ds["embedding"].to_numpy(), dtype="<f4").tobytes())
    return digest.hexdigest()


def custody(manifest: Manifest, detector: Detector) -> dict[str, Any]:
    """Return what the numbers rest on, as flat attributes; nested ones are JSON."""
    from gendkit import __version__

    header = detector.adapter.header
    return {
        "gendkit": __version__,
        "backbone": header.backbone,
        "backbone_hash": header.backbone_hash,
        ADAPTER: detector.adapter.hash,
        "preprocessing": _json(vars(header.preprocessing)),
        "preprocessing_digest": header.preprocessing.digest,
        "recipe": _json(header.recipe),
        "compute_dtype": detector.dtype,
        "plugins": _json({"backbone": header.source}),
        "extraction": _json(manifest.meta),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _columns(manifest: Manifest) -> dict[str, Any]:
    columns: dict[str, Any] = {}
    for column in COLUMNS:
        values = manifest.table[column.name]
        if column.name == "sample":
            continue
        if column.dtype == "string":
            columns[column.name] = ("sample", _strings(values))
        elif column.dtype == "list":
            continue
        else:
            columns[column.name] = ("sample", values.to_numpy())
    columns["box"] = (("sample", "side"), _stacked(manifest.table["box"], (4,)))
    columns["landmarks"] = (
        ("sample", "landmark", "xy"),
        _stacked(manifest.table["landmarks"], (5, 2)),
    )
    return columns


def _stacked(values: Any, shape: tuple[int, ...]) -> np.ndarray:
    out = np.full((len(values), *shape), np.nan, dtype=np.float32)
    for i, value in enumerate(values):
        if value is not None and np.size(value) == np.prod(shape):
            out[i] = np.asarray(value, dtype=np.float32).reshape(shape)
    return out


def _strings(values: Any) -> np.ndarray:
    return np.asarray([str(v) for v in values], dtype=object)


def _json(value: Mapping[str, Any]) -> str:
    return json.dumps(dict(value), sort_keys=True, default=str)


def _write(ds: xr.Dataset, folder: Path, *, final: Path) -> None:
    ds = ds.drop_encoding()
    if ROOT in ds.attrs:
        ds.attrs[ROOT] = os.path.relpath(ds.attrs[ROOT], final.absolute().parent)
    encoding = {}
    for name, variable in ds.data_vars.items():
        if variable.dims and variable.dims[0] == "sample" and variable.dtype.kind not in "OTU":
            rest = variable.shape[1:]
            encoding[name] = {"chunks": (CHUNK, *rest), "shards": (SHARD, *rest)}
    ds.to_zarr(folder, mode="w", zarr_format=3, consolidated=False, encoding=encoding)
