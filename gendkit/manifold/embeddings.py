"""Embeds a manifest's crops into one xarray Dataset."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from gendkit.data.columns import COLUMNS
from gendkit.data.manifest import Manifest
from gendkit.errors import InvalidArgument, InvalidManifest
from gendkit.manifold.cluster import embed_shards
from gendkit.manifold.schema import attributed, validate
from gendkit.manifold.shards import MADE, Job, Unfinished, embed_shard
from gendkit.manifold.store import ADAPTER, MARKER, ROOT, open_embeddings
from gendkit.model.batches import check_positive
from gendkit.model.detector import Detector, Outputs, load
from gendkit.model.head import CLASSES
from gendkit.output import new_folder
from gendkit.processes import check_workers
from gendkit.progress import Bars, Progress
from gendkit.train.outputs import run_over
from gendkit.train.record import digest


def embed(
    manifest: Manifest | str | Path,
    detector: Detector | str | Path,
    out: str | Path | None = None,
    *,
    overwrite: bool = False,
    resume: bool = False,
    batch_size: int = 32,
    workers: int | None = None,
    scheduler: str | None = None,
    progress: Progress | None = None,
) -> xr.Dataset:
    """Embed and score all face crops of a manifest.

    A store is written shard by shard (16,384 crops) beside its place, and takes it when all are
    there; a run that was interrupted is gone on with by `resume`.

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
        Replace `out` if it is a store, and what an interrupted run left.
    resume
        Go on with an interrupted run to `out`; without one, begin.
    batch_size
        Crops that are run at once.
    workers
        Processes on this machine that share the shards; by default this one does all. They load
        the detector from its adapter, so that its backbone must come from an installed plugin.
    scheduler
        Address of a cluster of dask.distributed whose workers see the same files, instead.
    progress
        Told after each batch, or each shard of several workers; by default a progress bar.

    Returns
    -------
    xarray.Dataset
        See `gendkit.manifold.schema`; its attributes are the chain of custody. With `out` it is
        the opened store.

    Raises
    ------
    InvalidManifest
        If there is no crop, or a run is resumed with others.
    InvalidArgument
        If `batch_size` or `workers` is less than 1, there are `workers` and a `scheduler`, a run is
        resumed with another detector or batch size, or something is asked for that needs `out`, and
        there is none.
    OutputExists
        If `out` holds something else, or there is an interrupted run that neither `resume` nor
        `overwrite` asks for.
    MissingDependency
        If there are to be workers, and dask.distributed is not installed.
    WorkerLost
        If workers end again and again, or the scheduler is not to be reached.
    """
    check_positive("batch_size", batch_size)
    check_workers(workers, scheduler)
    if out is None and (resume or workers is not None or scheduler is not None):
        raise InvalidArgument("only what is written can be resumed or shared out; give out.")
    if not isinstance(manifest, Manifest):
        manifest = Manifest.read(manifest)
    manifest = manifest.faces()
    if not len(manifest):
        raise InvalidManifest("the manifest has no face crop to embed.")
    target = new_folder(out, overwrite=overwrite, marker=MARKER) if out is not None else None
    if not isinstance(detector, Detector):
        detector = load(detector)
    progress = progress or Bars()
    if out is None or target is None:
        outputs = run_over(detector, manifest, batch_size=batch_size, progress=progress)
        return from_outputs(manifest, outputs, detector)
    job = Job(
        manifest=manifest,
        adapter=detector.adapter,
        device=detector.device,
        dtype=detector.dtype,
        batch_size=batch_size,
    )
    unfinished = Unfinished(Path(out), len(manifest), dim=detector.spec.dim)
    origin = {
        "crops": digest(manifest),
        "adapter": detector.adapter.hash,
        "dtype": detector.dtype,
        "batch_size": batch_size,
    }
    unfinished.begin(_described(manifest, detector), origin, resume=resume, overwrite=overwrite)
    if workers is None and scheduler is None:
        for number in unfinished.todo():
            part = job.of(unfinished.rows(number))
            embed_shard(part, unfinished, number, detector=detector, progress=progress)
    else:
        embed_shards(job, unfinished, workers=workers, scheduler=scheduler, progress=progress)
    with target as folder:
        unfinished.finish(folder)
    unfinished.remove()
    return open_embeddings(out)


def from_outputs(manifest: Manifest, outputs: Outputs, detector: Detector) -> xr.Dataset:
    """Make the Dataset of crops whose outputs are already there, in the manifest's order."""
    made = {name: (dims, getattr(outputs, name)) for name, dims in MADE.items()}
    described = _described(manifest, detector)
    ds = xr.Dataset({**made, **described.data_vars}, coords=described.coords, attrs=described.attrs)
    return attributed(validate(ds))


def _described(manifest: Manifest, detector: Detector) -> xr.Dataset:
    """Return all of a Dataset but what the detector gives."""
    return xr.Dataset(
        _columns(manifest),
        coords={
            "sample": ("sample", _strings(manifest.table["sample"])),
            "class": ("class", _strings(CLASSES)),
        },
        attrs={**custody(manifest, detector), ROOT: str(manifest.root)},
    )


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
