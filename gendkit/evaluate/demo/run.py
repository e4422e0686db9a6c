"""The demo: the whole path on real input, in one call.

Faces are forged, cropped, and split by people and families; layer norms are tuned on some families;
the frozen probe and the tuned detector meet people and families that neither has seen; a clip is
scored beside its forged twin; the sphere is searched and drawn.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from gendkit.data.assets import asset_path
from gendkit.data.datasets import dataset
from gendkit.data.extract import extract
from gendkit.data.manifest import Manifest
from gendkit.data.splits import seen_families
from gendkit.errors import InvalidManifest
from gendkit.evaluate.demo.families import Comparison, compare
from gendkit.evaluate.demo.result import DemoResult, Neighbour, Neighbourhood
from gendkit.evaluate.demo.twin import score_clip, write_twins
from gendkit.evaluate.final import log_final
from gendkit.manifold.embeddings import from_outputs
from gendkit.manifold.neighbours import neighbours
from gendkit.manifold.projection import project
from gendkit.manifold.store import write_embeddings
from gendkit.model.adapter import Adapter
from gendkit.model.detector import Detector, Outputs, load
from gendkit.plugin.protocols import Clip
from gendkit.progress import Bars, Progress
from gendkit.train.engine import ADAPTER, Run, fit, run_over, versions
from gendkit.train.recipe import Recipe

RECIPE = "small-data"
ASSETS = ("dinov2-vits14", "centerface", "carphone")
CROPS, RUN, EMBEDDINGS, REFERENCE = "crops", "run", "embeddings.zarr", "reference.zarr"

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Size:
    """How much the demo does.

    Attributes
    ----------
    identities, clips
        Drawn people, and pictures of each.
    variants
        Pictures made of each photo, if there are photos.
    changes
        Fields of the recipe that differ.
    projection
        Method of the map.
    resamples
        Of the bootstrap.
    frames
        Of the clip that are forged, and how many of them are scored.
    """

    identities: int
    clips: int
    variants: int
    changes: dict[str, Any]
    projection: str
    resamples: int
    frames: tuple[int, int]


FULL = Size(
    identities=160, clips=2, variants=2, changes={}, projection="umap", resamples=1000,
    frames=(120, 32),
)  # fmt: skip
QUICK = Size(
    identities=20, clips=1, variants=1,
    changes={"name": "small-data, quick", "epochs": 2, "cycle_epochs": 1},
    projection="pca", resamples=200, frames=(16, 8),
)  # fmt: skip


def run_demo(
    folder: str | Path,
    *,
    faces: str | Path | None = None,
    quick: bool = False,
    seed: int = 0,
    device: str | None = None,
    progress: Progress | None = None,
) -> DemoResult:
    """Run the whole path and leave its products in a folder.

    Parameters
    ----------
    folder
        An existing, empty folder. Gets `crops/`, `run/` with the adapter, `reference.zarr` (the
        training crops), `embeddings.zarr` (development and final crops with neighbours and map),
        `clip.mp4` and `twin.mp4`.
    faces
        Photos of one face each, one a person; by default drawn faces.
    quick
        Do as little as still goes the whole path.
    seed
        Of forgeries, training and map. The split of people and families does not depend on it.
    device
        Such as `cuda`; by default the best there is.
    progress
        Told after each step; by default progress bars.

    Raises
    ------
    MissingAsset
        If the backbone, the face extractor or the clip is neither cached nor to be had.
    MissingMedia
        If `faces` holds no usable photo.
    InvalidManifest
        If there are too few people for three splits.
    """
    folder, size, progress = Path(folder), QUICK if quick else FULL, progress or Bars()
    recipe = Recipe.of(RECIPE, **{**size.changes, "seed": seed})
    watch = _Watch()
    with watch("assets"):
        paths = {name: asset_path(name) for name in ASSETS}
    with watch("extract"):
        manifest = _extract(folder / CROPS, faces=faces, size=size, seed=seed, progress=progress)
        parts = {s: _part(manifest, s) for s in ("train", "development", "final")}
    with watch("train"):
        plain = {name: part.where(part.table["degradation"] == "") for name, part in parts.items()}
        run = fit(
            recipe, plain["train"], plain["development"], out=folder / RUN, device=device,
            progress=progress,
        )  # fmt: skip
    with watch("embed"):
        stores = {
            name: from_outputs(plain[name], run_over(run.detector, plain[name]), run.detector)
            for name in ("train", "development")
        }
    with watch("evaluate"):
        times_seen = log_final(parts["final"], adapter=run.adapter.hash, seed=seed)
        tuned = run_over(run.detector, parts["final"], progress=progress)
        probe = _frozen(run, parts["final"])
        comparison = _compare(parts["final"], probe, tuned, resamples=size.resamples, seed=seed)
        kept = np.flatnonzero((parts["final"].table["degradation"] == "").to_numpy())
        stores["final"] = from_outputs(plain["final"], _rows(tuned, kept), run.detector)
    with watch("clip"):
        extractor = run.detector.extractor()
        clip, twin = folder / "clip.mp4", folder / "twin.mp4"
        write_twins(paths["carphone"], clip, twin, extractor=extractor, frames=size.frames[0])
        scored = [
            score_clip(p, run.detector, extractor=extractor, name=name, frames=size.frames[1])
            for p, name in ((clip, "carphone, as filmed"), (twin, "carphone, forged"))
        ]
    with watch("sphere"):
        held = xr.concat(
            [stores["development"], stores["final"]], dim="sample", data_vars="minimal",
            coords="minimal", compat="override", join="override", combine_attrs="override",
        )  # fmt: skip
        held = neighbours(held, stores["train"], k=10)
        held = project(held, method=size.projection, seed=seed)  # type: ignore[arg-type]
        write_embeddings(held, folder / EMBEDDINGS)
        write_embeddings(stores["train"], folder / REFERENCE)
        neighbourhood = _neighbourhood(held, stores["train"], manifest)
    return DemoResult(
        facts=_facts(run, recipe, manifest, faces=faces, quick=quick, times_seen=times_seen),
        families=comparison.families,
        groups=comparison.groups,
        roc=comparison.roc,
        curve=run.history,
        clip=scored[0],
        twin=scored[1],
        sphere=held,
        neighbourhood=neighbourhood,
        layers=run.layers,
        seconds=watch.seconds,
        quick=quick,
    )


class _Watch:
    """Wall time by stage."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        start = time.perf_counter()
        _log.info("%s", stage)
        yield
        self.seconds[stage] = round(time.perf_counter() - start, 1)


def _extract(
    out: Path, *, faces: str | Path | None, size: Size, seed: int, progress: Progress
) -> Manifest:
    if faces is None:
        given = dataset("synthetic", identities=size.identities, clips=size.clips, seed=seed)
    else:
        given = dataset("photos", faces, variants=size.variants, seed=seed)
    clips = [clip for clip in given.clips() if _needed(clip)]
    return extract(clips, out, progress=progress).faces()


def _needed(clip: Clip) -> bool:
    """Degraded clips are asked about only where they are real and final."""
    return not clip.degradation or (clip.label == 0 and clip.split == "final")


def _part(manifest: Manifest, split: str) -> Manifest:
    part = manifest.in_split(split)
    people = part.table["target_identity"].nunique()
    if people < 2:
        raise InvalidManifest(
            f"{people} person in the {split} split; the demo needs some twenty people with usable "
            "photos for three splits."
        )
    return part


def _frozen(run: Run, manifest: Manifest) -> Outputs:
    """Run the frozen probe, then put the tuned layer norms back."""
    if run.probe is None:
        raise InvalidManifest("the demo's recipe must start its head from the frozen probe.")
    probe: Detector = load(
        run.probe, device=run.detector.device, dtype=run.detector.dtype,
        backbone=run.detector.backbone,
    )  # fmt: skip
    try:
        return run_over(probe, manifest)
    finally:
        run.adapter.apply(run.detector.backbone, run.detector.spec)


def _compare(
    manifest: Manifest, probe: Outputs, tuned: Outputs, *, resamples: int, seed: int
) -> Comparison:
    table = manifest.table
    margin = {name: o.margin for name, o in (("probe", probe), ("tuned", tuned))}
    crops = pd.DataFrame(
        {
            "label": table["label"],
            "family": table["family"],
            "degradation": table["degradation"],
            "identity": table["target_identity"],
            "component": manifest.components(),
            **margin,
        }
    )
    return compare(crops, seen=seen_families("final"), resamples=resamples, seed=seed)


def _rows(outputs: Outputs, rows: np.ndarray) -> Outputs:
    return Outputs(
        embedding=outputs.embedding[rows], logit=outputs.logit[rows], score=outputs.score[rows]
    )


def _neighbourhood(held: xr.Dataset, reference: xr.Dataset, manifest: Manifest) -> Neighbourhood:
    """Show the most suspicious final crop of a family that training did not have."""
    family = held["family"].to_numpy().astype(object)
    unseen = ~np.isin(family, ["", *seen_families("final")])
    candidate = (held["split"].to_numpy().astype(object) == "final") & unseen
    score = np.where(candidate, held["score"].to_numpy(), -1.0)
    query = held.isel(sample=[int(score.argmax())])
    near = {}
    for label in (0, 1):
        part = reference.isel(sample=np.flatnonzero(reference["label"].to_numpy() == label))
        near[label] = _near(neighbours(query, part, k=5), part, manifest)
    row = query.isel(sample=0)
    return Neighbourhood(
        face=_face(manifest, str(row["sample"].item())),
        sample=str(row["sample"].item()),
        method=str(row["method"].item()),
        label=int(row["label"].item()),
        score=float(row["score"].item()),
        reals=near[0],
        fakes=near[1],
    )


def _near(query: xr.Dataset, part: xr.Dataset, manifest: Manifest) -> tuple[Neighbour, ...]:
    methods = dict(zip(part["sample"].to_numpy(), part["method"].to_numpy(), strict=True))
    pairs = zip(query["neighbour"].to_numpy()[0], query["similarity"].to_numpy()[0], strict=True)
    return tuple(
        Neighbour(
            face=_face(manifest, str(sample)),
            similarity=float(similarity),
            sample=str(sample),
            method=str(methods[sample]),
        )
        for sample, similarity in pairs
        if sample
    )


def _face(manifest: Manifest, sample: str) -> np.ndarray:
    return manifest.crop(int(np.flatnonzero(manifest.table["sample"] == sample)[0]))


def _facts(
    run: Run,
    recipe: Recipe,
    manifest: Manifest,
    *,
    faces: str | Path | None,
    quick: bool,
    times_seen: int,
) -> dict[str, Any]:
    adapter: Adapter = run.adapter
    table = manifest.table
    people = table.groupby("split")["target_identity"].nunique()
    counts = table.groupby("split").size()
    return {
        "faces": "drawn" if faces is None else "photos",
        "people": ", ".join(f"{people[s]} {s}" for s in ("train", "development", "final")),
        "crops": ", ".join(f"{counts[s]} {s}" for s in ("train", "development", "final")),
        "form": "quick: the numbers mean nothing" if quick else "full",
        "backbone": f"{adapter.header.backbone} at {adapter.header.preprocessing.size} px",
        "backbone hash": adapter.header.backbone_hash,
        "tuned numbers": f"{run.record['tuned']['layer_norms']:,} of layer norms and "
        f"{run.record['tuned']['head']:,} of the head, of {run.record['tuned']['of']:,}",
        "adapter": f"{RUN}/{ADAPTER}",
        "adapter hash": adapter.hash,
        "recipe": f"{recipe.name}: {recipe.epochs} epochs, batch {recipe.batch_size}, "
        f"learning rate {recipe.learning_rate:g}, losses "
        + ", ".join(f"{loss.weight:g} x {name}" for name, loss in recipe.losses.items()),
        "compute dtype": f"{recipe.dtype} encoder, float32 sphere and head",
        "seed": recipe.seed,
        "face extractor": f"{manifest.meta.get('extractor')}, threshold "
        f"{manifest.meta.get('threshold')}, scale {manifest.meta.get('scale')}",
        "evaluations of these final crops": f"{times_seen} on this machine, this one included",
        "device": run.record["device"],
        "versions": ", ".join(f"{k} {v}" for k, v in versions().items()),
    }
