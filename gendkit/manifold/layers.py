"""What each tuned layer norm does: how far it moved, and what changes if it alone is undone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
import torch
import xarray as xr
from numpy.typing import NDArray
from torch import Tensor, nn

from gendkit.data.loader import Loader
from gendkit.data.manifest import Manifest
from gendkit.errors import InvalidManifest
from gendkit.manifold.parties import PEOPLE, people_of
from gendkit.manifold.sphere import Floats, geodesic
from gendkit.measure.intervals import bootstrap
from gendkit.measure.metrics import auroc
from gendkit.model.adapter import movement
from gendkit.model.algebra import check_base, check_known
from gendkit.model.backbone import build_backbone, norms_of
from gendkit.model.batches import check_positive
from gendkit.model.detector import Detector, Outputs, load
from gendkit.model.kinds import need_layer_norms
from gendkit.model.replay import recorded
from gendkit.model.shared import Adapted
from gendkit.model.tuning import copy_of
from gendkit.progress import Bars, Progress


def layer_effects(
    manifest: Manifest | str | Path,
    detector: Detector | str | Path,
    *,
    batch_size: int = 32,
    resamples: int = 1000,
    seed: int = 0,
    progress: Progress | None = None,
) -> pd.DataFrame:
    """Undo one layer norm at a time, and compare with the detector as it is.

    To undo is to put the numbers of the base back, while all others stay as tuned. Layers were
    tuned together, so that effects of single ones need not add up. Blocks before the undone layer
    norm are not run again: all layers of a vision transformer take half as many runs over the
    crops as there are layers. The detector is left as it was, bit for bit.

    Parameters
    ----------
    manifest
        Or its folder; rows with a crop, which were not trained on.
    detector
        Or its adapter's file or folder; an adapter of layer norms.
    batch_size
        Crops that are run at once.
    resamples, seed
        Of the bootstrap over people.
    progress
        Told after each layer of each batch; by default a progress bar.

    Returns
    -------
    pandas.DataFrame
        One row a layer norm: `layer`, `depth`, and the movement of its `weight` and `bias`, as
        `run.layers` has them; then what undoing it does, the mean change over crops of `logit`
        (fake less real) and `score`, and `shift`, the mean angle in radians between embeddings;
        `auroc`, of crops while it is undone, and `auroc_change` from the detector as it is. All but
        `auroc` with `_low` and `_high`, the interval over people, on the same resamples. AUROC is
        of crops with a label, and NaN if they have only one.

    Raises
    ------
    InvalidManifest
        If there is no crop.
    InvalidArgument
        If `batch_size` is less than 1, or the adapter is of another kind than layer norms.
    WrongBackbone
        If the backbone as it is built is not the one that was tuned, or that is unknown.
    MissingAsset
        If its weights are not to be had.

    References
    ----------
    Zhang, Bengio and Singer, Are All Layers Created Equal?, JMLR 2022 (re-initialising one layer of
    a trained network).
    """
    check_positive("batch_size", batch_size)
    if not isinstance(manifest, Manifest):
        manifest = Manifest.read(manifest)
    manifest = manifest.faces()
    if not len(manifest):
        raise InvalidManifest("the manifest has no face crop on which layers could be undone.")
    if not isinstance(detector, Detector):
        detector = load(detector)
    with _bare(detector) as (bare, base):
        check_base(detector.adapter, base)
        moved = movement(base, copy_of(norms_of(bare.backbone, bare.spec)))
        loader = Loader(manifest, bare.preprocessing, batch_size=batch_size, device=bare.device)
        logits, scores, shifts = _undone_by_layer(
            bare, base, moved["layer"].tolist(), loader, progress or Bars()
        )
    changes = {
        "logit": logits[1:] - logits[0],
        "score": scores[1:] - scores[0],
        "shift": shifts,
    }
    found = _with_intervals(changes, logits, manifest, resamples=resamples, seed=seed)
    return pd.concat([moved, found], axis=1)


@contextmanager
def _bare(detector: Detector) -> Iterator[tuple[Detector, Mapping[str, Tensor]]]:
    """Give a detector whose layer norms stay as they are put, and those of its base."""
    need_layer_norms(detector.adapter, "undone layer by layer")
    check_known(detector.adapter)
    spec, backbone = detector.spec, detector.backbone
    if not isinstance(backbone, Adapted):
        built = build_backbone(spec, image_size=detector.preprocessing.size)
        yield detector, copy_of(norms_of(built, spec))
        return
    with backbone.shared.applied(backbone.adapter) as module:  # a pass would put it on again
        bare = Detector(
            module, spec=spec, adapter=detector.adapter, device=detector.device,
            dtype=detector.dtype,
        )  # fmt: skip
        yield bare, backbone.shared.base_norms


def _undone_by_layer(
    detector: Detector,
    base: Mapping[str, Tensor],
    layers: list[str],
    loader: Loader,
    progress: Progress,
) -> tuple[Floats, Floats, Floats]:
    """Return logits and scores (1 + K, N), first those of the detector, and shifts (K, N)."""
    norms = norms_of(detector.backbone, detector.spec)
    own = {layer: {n: p for n, p in norms.items() if _layer(n) == layer} for layer in layers}
    owner = {id(p): m for m in detector.backbone.modules() for p in m.parameters(recurse=False)}
    modules = {layer: owner[id(next(iter(own[layer].values())))] for layer in layers}
    total = len(loader.manifest) * len(layers)
    parts: list[list[Outputs]] = [[] for _ in range(1 + len(layers))]
    for batch in loader:
        with recorded(detector.backbone, modules) as passed:
            tuned = detector.forward(batch.pixels)
        parts[0].append(tuned)
        for number, layer in enumerate(layers):
            with _undone(own[layer], base) as differs, passed.replayed(layer):
                outputs = detector.forward(batch.pixels) if differs else tuned
            parts[1 + number].append(outputs)
            done = int(batch.rows[0]) * len(layers) + (number + 1) * len(batch.rows)
            progress(done, total, "layers")
    logits = [np.concatenate([o.margin for o in part]) for part in parts]
    scores = [np.concatenate([o.score for o in part]) for part in parts]
    points = [np.concatenate([o.embedding for o in part]) for part in parts]
    return (
        np.stack(logits).astype(np.float64),
        np.stack(scores).astype(np.float64),
        np.stack([geodesic(points[0], changed) for changed in points[1:]]),
    )


def _layer(name: str) -> str:
    return name.rpartition(".")[0]


@contextmanager
def _undone(own: Mapping[str, nn.Parameter], base: Mapping[str, Tensor]) -> Iterator[bool]:
    """Put one layer's numbers of the base in its place; give whether they are others."""
    before = {name: p.detach().clone() for name, p in own.items()}
    try:
        with torch.no_grad():
            for name, parameter in own.items():
                parameter.copy_(base[name])
        yield any(not torch.equal(p, before[name]) for name, p in own.items())
    finally:
        with torch.no_grad():
            for name, parameter in own.items():
                parameter.copy_(before[name])


def _with_intervals(
    changes: Mapping[str, Floats],
    logits: Floats,
    manifest: Manifest,
    *,
    resamples: int,
    seed: int,
) -> pd.DataFrame:
    """Return a row for each layer of changes (K, N); logits (1 + K, N) order the crops."""
    labels = manifest.table["label"].to_numpy("int64")
    labelled = labels >= 0
    count = len(logits) - 1

    def statistic(rows: NDArray[np.int64]) -> dict[str, float]:
        found = {
            f"{name}/{i}": float(mean)
            for name, values in changes.items()
            for i, mean in enumerate(values[:, rows].mean(axis=1))
        }
        known = rows[labelled[rows]]
        each = [auroc(labels[known], values[known]) for values in logits]
        return found | {f"auroc_change/{i}": each[1 + i] - each[0] for i in range(count)}

    found = bootstrap(statistic, _people(manifest), resamples=resamples, seed=seed)
    table = []
    for i in range(count):
        row: dict[str, float] = {}
        for name in (*changes, "auroc_change"):
            interval = found[f"{name}/{i}"]
            if name == "auroc_change":
                row["auroc"] = auroc(labels[labelled], logits[1 + i][labelled])
            row |= {name: interval.value, f"{name}_low": interval.low,
                    f"{name}_high": interval.high}  # fmt: skip
        table.append(row)
    return pd.DataFrame(table)


def _people(manifest: Manifest) -> list[str]:
    columns = {n: ("sample", manifest.table[n].to_numpy(object)) for n in ("dataset", *PEOPLE)}
    return [str(person) for person in people_of(xr.Dataset(columns))]
