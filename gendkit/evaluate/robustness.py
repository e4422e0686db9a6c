"""How a detector's verdicts change as crops lose quality, step by step, real and fake alike.

A manifest and a detector enter; a Dataset leaves with the score of each person of each clip at each
setting, and with what these scores say at a threshold that was fixed on crops as they are.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from gendkit.data.degrade import INTERPOLATIONS, Chain
from gendkit.data.degrade_image import degrade_image
from gendkit.data.manifest import COVERAGE, Manifest
from gendkit.errors import InvalidArgument, InvalidLabels, InvalidManifest
from gendkit.evaluate.final import final_of, log_final
from gendkit.measure.levels import means, numbered
from gendkit.measure.metrics import auroc
from gendkit.measure.thresholds import allowed_above, share_bound, threshold_at
from gendkit.model.batches import check_positive
from gendkit.model.detector import Detector, load
from gendkit.output import write_array
from gendkit.progress import Bars, Progress
from gendkit.train.record import digest, versions

if TYPE_CHECKING:
    from gendkit.plugin.protocols import Image

Grids = Mapping[str, Sequence[str | Chain]]

GRIDS: MappingProxyType[str, tuple[str, ...]] = MappingProxyType(
    {
        "jpeg": tuple(f"jpeg:{quality}" for quality in (100, 80, 60, 40, 20, 10)),
        "blur": ("blur:5:0.5", "blur:7:1", "blur:11:1.5", "blur:13:2", "blur:19:3"),
        **{f"resize-{kind}": tuple(f"resize:{side}:{kind}" for side in (224, 112, 64))
           for kind in INTERPOLATIONS},
        "noise": tuple(f"noise:{sigma}" for sigma in (0.01, 0.03, 0.05, 0.1, 0.2)),
    }
)  # fmt: skip
"""The grids of the paper (arXiv 2508.06248), from mild to strong, as its released code has them;
level 0, the crop as it is, comes before each.

There, a crop that was made smaller is enlarged by the encoder's own resize; here the step itself
enlarges it, and the encoder gets a crop of its size. Of 40 crops of 202 to 340 px, what reaches an
encoder of 224 px differs by .3 grey levels at 112 and 64 px, and by .3 to .6 at 224 px.
"""
MEASURES = ("auroc", "tpr", "fpr", "shift_real", "shift_fake")
UNIT = ["dataset", "video", "track"]
"""Columns that tell people of clips apart: their crops' scores are averaged, people never."""


def robustness(
    manifest: Manifest | str | Path,
    detector: Detector | str | Path,
    *,
    grids: Grids = GRIDS,
    reference: Manifest | str | Path | None = None,
    max_fpr: float = 0.05,
    seed: int = 0,
    batch_size: int = 32,
    keep: str | Path | None = None,
    progress: Progress | None = None,
) -> xr.Dataset:
    """Score crops at each level of some grids of degradations.

    Crops are changed as they are kept, at their own size, before the detector resizes them, and
    each is run once a level. Those that were degraded when the set was made (`degradation` in the
    manifest) are left out.

    Parameters
    ----------
    manifest
        Or its folder; labelled crops, on which the detector was not trained. A look
        at crops of the final split is logged.
    detector
        Or its adapter's file or folder.
    grids
        Chains by the name of the grid, from mild to strong, such as ``{"own": ["resize:112:area,
        jpeg:60", "h264:30"]}``; by default the paper's. Level 0, the crop as it is, comes before
        each.
    reference
        Labelled crops on which, as they are, the threshold is fixed; None is `manifest` itself. A
        look at crops of the final split is logged here too.
    max_fpr
        The most of the reference's reals, as they are, that may be called fake: the threshold is
        the lowest at which no more are. With fewer than 1 / max_fpr reals, none are.
    seed
        Of the noise, which is drawn for each crop by its `sample`.
    batch_size
        Crops that are run at once.
    keep
        A folder for the scores of every `batch_size` crops as they come, by a digest of all that
        they rest on: the same call goes on where one was stopped. None keeps nothing.
    progress
        Told after each crop; by default a progress bar.

    Returns
    -------
    xarray.Dataset
        With `setting`, a level of a grid (coordinates `grid`, `level` and `chain`, its text), and
        `clip`, a person of a clip (`dataset`, `video`, `track`, `label`, `method`, `crops`, and the
        manifest's connected `component`):

        - `score` (setting, clip): mean P(fake) over the crops;
        - `auroc`, `tpr`, `fpr` (setting): of clips; called fake is what scores above `threshold`;
        - `shift_real`, `shift_fake` (setting): mean of the score less that of level 0.

        NaN where a class is missing. Attributes: `threshold`, `threshold_from` with the number of
        real clips that it rests on (`threshold_reals`) and what the true rate above it is at most
        (`threshold_bound`, one-sided 95 %, clips of a component counted as one), `max_fpr`,
        `splits` of the crops, how often their final split was evaluated (`final_evaluations`),
        `adapter` and `seed`.

    Raises
    ------
    InvalidManifest
        If there is no crop.
    InvalidLabels
        If a crop has no label, or the reference has no real crop.
    InvalidArgument
        If a grid is empty or a chain is not exact, or for an impossible number.
    MissingMedia, UnreadableMedia
        If a crop is gone or damaged.
    """
    check_positive("batch_size", batch_size)
    if not 0 <= max_fpr < 1:
        raise InvalidArgument(f"max_fpr is {max_fpr:g}; give 0 or more and less than 1.")
    settings = _settings(grids)
    if not isinstance(manifest, Manifest):
        manifest = Manifest.read(manifest)
    if isinstance(reference, str | Path):
        reference = Manifest.read(reference)
    crops = _labelled(manifest)
    others = None if reference is None else _labelled(reference)
    if not (crops if others is None else others).table["label"].eq(0).any():
        raise InvalidLabels(
            "without real crops no threshold can be fixed; give a reference that has some."
        )
    if not isinstance(detector, Detector):
        detector = load(detector)
    finals = [final_of(m.faces()) for m in (manifest, reference) if isinstance(m, Manifest)]
    looks = [
        log_final(final, adapter=detector.adapter.hash, by="gendkit study robustness")
        for final in finals
        if final is not None
    ]
    progress, chains = progress or Bars(), list(dict.fromkeys(chain for *_, chain in settings))
    scored = _Scored(detector, seed, batch_size, None if keep is None else Path(keep), progress)
    found = scored.clips(crops, chains)
    clean = found if others is None else scored.clips(others, [Chain()])
    real = clean["label"].to_numpy() == 0
    reals = clean["score"].to_numpy()[0, real]
    threshold = threshold_at(reals, max_fpr)
    ds = found.isel(chain=[chains.index(chain) for *_, chain in settings]).rename(chain="setting")
    ds = ds.assign_coords(
        grid=("setting", [grid for grid, _, _ in settings]),
        level=("setting", [level for _, level, _ in settings]),
        chain=("setting", [str(chain) for _, _, chain in settings]),
    )
    ds = ds.assign({name: ("setting", values) for name, values in _measured(ds, threshold).items()})
    return ds.assign_attrs(
        threshold=threshold,
        threshold_from="these crops as they are" if others is None else "the reference as it is",
        threshold_reals=len(reals),
        threshold_bound=share_bound(
            allowed_above(len(reals), max_fpr), len(reals), clean["component"].to_numpy()[real]
        ),
        max_fpr=max_fpr,
        coverage=json.dumps(crops.meta[COVERAGE]),
        splits=", ".join(sorted(set(crops.table["split"]) - {""})),
        final_evaluations=max(looks, default=0),
        adapter=detector.adapter.hash,
        seed=seed,
    )


def robustness_table(ds: xr.Dataset) -> pd.DataFrame:
    """Return what `robustness` found as a table by `grid`, `level` and `chain`.

    Columns: `auroc`, `tpr`, `fpr`, `shift_real` and `shift_fake`.
    """
    columns = {name: ds[name].to_numpy() for name in ("grid", "level", "chain", *MEASURES)}
    return pd.DataFrame(columns).set_index(["grid", "level", "chain"])


def _settings(grids: Grids) -> list[tuple[str, int, Chain]]:
    settings = []
    for grid, chains in grids.items():
        if isinstance(chains, str) or not len(chains):
            raise InvalidArgument(
                f"grid {grid!r} is {chains!r}; give a list of chains, such as ['jpeg:60']."
            )
        settings.append((grid, 0, Chain()))
        for level, given in enumerate(chains, start=1):
            chain = Chain.parse(given) if isinstance(given, str) else given
            chain.at(seed=0)  # refuses one that is not exact
            settings.append((grid, level, chain))
    if not settings:
        raise InvalidArgument(f"there is no grid; the paper's are {', '.join(GRIDS)}.")
    return settings


def _labelled(manifest: Manifest) -> Manifest:
    crops = manifest.where(manifest.table["degradation"] == "").faces()
    if not len(crops):
        raise InvalidManifest("the manifest has no face crop that is not degraded already.")
    crops.labels()
    return crops


@dataclass(frozen=True)
class _Scored:
    """Scores crops at some settings, a part at a time, and keeps what is done."""

    detector: Detector
    seed: int
    batch_size: int
    keep: Path | None
    progress: Progress

    def clips(self, manifest: Manifest, chains: Sequence[Chain]) -> xr.Dataset:
        """Return the mean `score` (chain, clip) of each person of each clip."""
        # As many crops as go into a batch, so that no batch holds pictures of two parts.
        starts = range(0, len(manifest), self.batch_size)
        scores = np.concatenate([self._part(manifest, first, chains) for first in starts])
        table = manifest.table[[*UNIT, "label", "method"]].assign(component=manifest.components())
        number, first = numbered(table, UNIT)
        about = table.iloc[first].assign(crops=np.bincount(number))
        return xr.Dataset(
            {"score": (("chain", "clip"), means(scores.T, number))},
            coords={str(name): ("clip", about[name].to_numpy()) for name in about.columns},
        )

    def _part(self, manifest: Manifest, first: int, chains: Sequence[Chain]) -> NDArray[np.float32]:
        """Return the scores (crop, chain) of the crops from the first on that a batch holds."""
        place = np.arange(len(manifest))
        part = manifest.where((place >= first) & (place < first + self.batch_size))
        path = None if self.keep is None else self.keep / f"{self._key(part, chains)}.npy"
        done, total = first + len(part), len(manifest)
        if path is not None and path.is_file():
            self.progress(done, total, "robustness")
            return np.asarray(np.load(path), np.float32)
        pictures = self._degraded(part, chains, first, total)
        scores = self.detector.predict(pictures, batch_size=self.batch_size)
        scores = scores.reshape(-1, len(chains))
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_array(path, scores)
        return scores

    def _degraded(
        self, part: Manifest, chains: Sequence[Chain], first: int, total: int
    ) -> Iterator[Image]:
        """Yield each crop at each setting, crop by crop."""
        for row, sample in enumerate(part.table["sample"].tolist()):
            crop, own = part.crop(row), zlib.crc32(f"{self.seed}/{sample}".encode())
            for chain in chains:
                yield degrade_image(crop, chain.at(own))
            self.progress(first + row + 1, total, "robustness")

    def _key(self, part: Manifest, chains: Sequence[Chain]) -> str:
        rests_on = [
            self.detector.adapter.scoring, self.detector.dtype, self.detector.device, digest(part),
            [str(chain) for chain in chains], self.seed, self.batch_size, versions(),
        ]  # fmt: skip
        return hashlib.sha256(json.dumps(rests_on, sort_keys=True).encode()).hexdigest()[:24]


def _measured(ds: xr.Dataset, threshold: float) -> dict[str, list[float]]:
    labels, score, level = (ds[name].to_numpy() for name in ("label", "score", "level"))
    clean = score[level == 0][0]
    measured: dict[str, list[float]] = {name: [] for name in MEASURES}
    for scores in score:
        measured["auroc"].append(auroc(labels, scores))
        for label, rate, shift in ((1, "tpr", "shift_fake"), (0, "fpr", "shift_real")):
            of = labels == label
            measured[rate].append(float((scores[of] > threshold).mean()) if of.any() else np.nan)
            moved = (scores - clean)[of]
            measured[shift].append(float(moved.mean()) if of.any() else np.nan)
    return measured
