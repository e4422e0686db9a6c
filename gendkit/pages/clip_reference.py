"""What a clip report says of its reference: who is in it, who is near, and may be shown.

Embeddings of a reference enter; JSON values and pictures leave.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from gendkit.data.manifest import Manifest
from gendkit.errors import GendkitError, first_line
from gendkit.manifold.kinship import RELATED, Kinship
from gendkit.manifold.nearest import Usual, nearest_people, usual_nearness
from gendkit.manifold.neighbours import labels_of
from gendkit.manifold.parties import people_of, tracks_of
from gendkit.manifold.schema import plain_of, text_of
from gendkit.manifold.store import ROOT, store_hash
from gendkit.model.head import CLASSES

SHOWABLE = frozenset(
    {"CC0-1.0", "CC-PDDC", "PDM-1.0", "public domain", "MIT", "Apache-2.0", "BSD-3-Clause"}
    | {f"CC-BY{share}-{version}" for share in ("", "-SA") for version in ("2.0", "3.0", "4.0")}
)
"""Licences (SPDX) under which a face of the reference is shown; under any other it is blurred."""
BLURRED = 8
"""Cells a side that are left of a blurred face."""
EQUAL = 0.9995
"""Cosine from which a crop of the reference counts as all but equal."""
POPULATION = ("dataset", "method", "label", "degradation", "split", "licence")
CODEC = "source_codec"
PROVENANCE = ("dataset", "method", "video", "split", "licence", "degradation")


@dataclass(frozen=True, kw_only=True)
class Reference:
    """A reference, and what is usual in it.

    Attributes
    ----------
    ds
        Its embeddings, in memory.
    usual
        Of each class, how near the reference's own clips are to its people.
    showable
        Licences under which its faces are shown.
    """

    ds: xr.Dataset
    usual: tuple[Usual, Usual]
    showable: Collection[str]

    @classmethod
    def of(cls, ds: xr.Dataset, *, k: int, seed: int, showable: Collection[str]) -> Reference:
        """Measure what is usual."""
        one, other = (usual_nearness(ds, label, k=k, seed=seed) for label in range(len(CLASSES)))
        return cls(ds=ds, usual=(one, other), showable=showable)

    def facts(self) -> dict[str, Any]:
        """Return who is in it: counts, hashes, and the population by data set, method and so on."""
        ds = self.ds
        return {
            "store_sha256": store_hash(ds),
            "adapter_sha256": str(ds.attrs.get("adapter_hash", "")),
            "preprocessing_digest": str(ds.attrs.get("preprocessing_digest", "")),
            "extraction": str(ds.attrs.get("extraction", "")),
            "crops": int(ds.sizes["sample"]),
            "clips": len(np.unique(tracks_of(ds))),
            "people": len(np.unique(people_of(ds))),
            "clips_asked": len(self.usual[0].label),
            "population": self._population(),
            **({"codecs": codecs} if (codecs := self._codecs()) else {}),
        }

    def related(self, known: Mapping[str, str]) -> int:
        """Return how many of its crops are of a clip, or of its people, as far as is `known`."""
        clip = xr.Dataset(
            {name: ("sample", [value]) for name, value in known.items()},
            coords={"sample": ["clip"]},
        )
        kin = Kinship(clip, self.ds, alike=RELATED)
        return int(kin(np.zeros(1, np.int64), np.arange(self.ds.sizes["sample"])).sum())

    def _codecs(self) -> dict[str, int]:
        """Return how many clips there are of each codec of their files; empty if none is known."""
        if CODEC not in self.ds.variables:
            return {}
        table = pd.DataFrame({"codec": _column(self.ds, CODEC), "clip": tracks_of(self.ds)})
        counts = table.drop_duplicates("clip")["codec"].value_counts().sort_index()
        return {str(k): int(v) for k, v in counts.items()} if any(counts.index) else {}

    def _population(self) -> list[dict[str, Any]]:
        ds = self.ds
        columns = {name: _column(ds, name) for name in POPULATION}
        table = pd.DataFrame(
            {
                **columns,
                "clip": tracks_of(ds),
                "person": people_of(ds),
                "side": _sides(ds),
            }
        )
        rows = []
        for values, group in table.groupby(list(POPULATION), sort=True, dropna=False):
            sides = group["side"].dropna()
            rows.append(
                {
                    **dict(zip(POPULATION, values, strict=True)),
                    "crops": len(group),
                    "clips": int(group["clip"].nunique()),
                    "people": int(group["person"].nunique()),
                    "face_side_px": None
                    if sides.empty
                    else [round(float(sides.quantile(q)), 1) for q in (0.05, 0.5, 0.95)],
                }
            )
        return rows

    def near(self, query: xr.Dataset, *, k: int) -> dict[str, list[dict[str, Any]]]:
        """Return the nearest reals and the nearest fakes of one crop, a person once.

        Percentiles are among the reference's own clips of either class, at the same rank.
        """
        labels = labels_of(self.ds)
        found = {}
        for label, name in enumerate(CLASSES):
            rows = np.flatnonzero(labels == label)
            nearest = nearest_people(query, self.ds, rows, k=k)
            usual = self.usual[label]
            found[name] = [
                {
                    "rank": rank + 1,
                    "sample": str(self.ds["sample"].to_numpy()[row]),
                    "similarity": float(cosine),
                    "percentile_of_reals": usual.percentile(cosine, rank, 0),
                    "percentile_of_fakes": usual.percentile(cosine, rank, 1),
                    "hub_count": int(usual.hubs[row]),
                    "hub_count_expected": usual.expected,
                    **{name: str(_column(self.ds, name)[row]) for name in PROVENANCE},
                }
                for rank, (row, cosine) in enumerate(
                    zip(nearest.rows[0].tolist(), nearest.similarity[0].tolist(), strict=True)
                )
                if row >= 0
            ]
        return found

    def equals(self, embedding: NDArray[np.float32]) -> list[dict[str, Any]]:
        """Return the crops of the reference that are all but equal to one of some (N, D)."""
        near = (self.ds["embedding"].to_numpy() @ embedding.T).max(axis=1)
        rows = np.flatnonzero(near >= EQUAL)
        rows = rows[np.argsort(-near[rows], kind="stable")][:5]
        names = self.ds["sample"].to_numpy()
        return [{"sample": str(names[r]), "similarity": float(min(near[r], 1))} for r in rows]

    def standing(self, score: float) -> dict[str, Any]:
        """Return how many per cent of the reference's clips of a class have a lower mean score."""
        if "score" not in self.ds.variables:
            return {}
        frame = pd.DataFrame(
            {
                "label": labels_of(self.ds),
                "clip": tracks_of(self.ds),
                "score": self.ds["score"].to_numpy(),
                "split": _column(self.ds, "split"),
            }
        )
        clips = frame.groupby(["label", "clip"], sort=True)["score"].mean().dropna()
        if clips.empty:
            return {}
        out: dict[str, Any] = {}
        for label, name in enumerate(CLASSES):
            if label in clips.index.get_level_values("label"):
                of = clips.loc[label].to_numpy()
                out[f"percentile_of_{name}s"] = float(
                    100 * (np.mean(of < score) + np.mean(of == score) / 2)
                )
                out[f"{name}_clips"] = len(of)
        out["splits"] = sorted(set(frame["split"]) - {""})
        return out

    def faces(self, samples: Collection[str]) -> dict[str, NDArray[np.uint8] | str]:
        """Return the crops of some samples, blurred unless their licence allows; or why not."""
        names = text_of(self.ds["sample"]).tolist()
        licence = dict(zip(names, _column(self.ds, "licence"), strict=True))
        try:
            manifest = Manifest.read(str(self.ds.attrs.get(ROOT, "")))
        except (GendkitError, OSError) as error:
            return dict.fromkeys(samples, f"no crops: {first_line(error)}")
        rows = {sample: i for i, sample in enumerate(manifest.table["sample"])}
        out: dict[str, NDArray[np.uint8] | str] = {}
        for sample in samples:
            try:
                crop = manifest.crop(rows[sample])
            except (GendkitError, OSError, KeyError) as error:
                out[sample] = f"no crop: {first_line(error)}"
                continue
            out[sample] = crop if licence[sample] in self.showable else blurred(crop)
        return out


def blurred(crop: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return an RGB uint8 crop (H, W, 3) of which eight by eight cells are left.

    What a cell was made of is gone: this cannot be undone, as blurring can.
    """
    small = cv2.resize(crop, (BLURRED, BLURRED), interpolation=cv2.INTER_AREA)
    size = (crop.shape[1], crop.shape[0])
    return np.asarray(cv2.resize(small, size, interpolation=cv2.INTER_CUBIC))


def _column(ds: xr.Dataset, name: str) -> list[Any]:
    if name not in ds.variables:
        return [""] * ds.sizes["sample"]
    values: list[Any] = plain_of(ds[name]).tolist()
    return values


def _sides(ds: xr.Dataset) -> NDArray[np.float64]:
    """Return the side of each face's box (N,) in pixels, NaN where it is not known."""
    if "box" not in ds.variables:
        return np.full(ds.sizes["sample"], np.nan)
    box = ds["box"].to_numpy().astype(np.float64)
    return np.sqrt(np.maximum((box[:, 2] - box[:, 0]) * (box[:, 3] - box[:, 1]), 0))
