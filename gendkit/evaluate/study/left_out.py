"""Leave one forgery family out: what tuning is worth on a family that training has not seen.

For each family and seed a detector is tuned on the training people's reals and on all other
families, and a probe of the frozen features is fitted on the same; both are then asked about people
and a family that they do not know, and about reals that were degraded.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from gendkit.errors import InvalidManifest
from gendkit.evaluate.study.cells import Cell, Rows, by_clip
from gendkit.evaluate.study.measured import FAMILY, SEED
from gendkit.evaluate.study.setting import DEVELOPMENT, Setting, kinds
from gendkit.measure.intervals import (
    BOUND,
    COMPONENT,
    RESAMPLES,
    Counts,
    Floats,
    components_of_mean,
    estimates,
    rarer_components,
)
from gendkit.measure.metrics import Ranked
from gendkit.measure.thresholds import allowed_above, share_bound, threshold_at
from gendkit.train.recipe import Recipe

PROBE, TUNED, GAIN = "probe", "tuned", "difference"
DETECTORS = (PROBE, TUNED)
MAX_FPR = 0.05


def left_out_rows(setting: Setting) -> Rows:
    """Return which crops (N,) are asked about: those of a split, and the development reals.

    Of what was degraded, reals alone: they are the negative controls.
    """
    table = setting.manifest.table
    real = (table["label"] == 0).to_numpy()
    controls = real & (table["split"] == setting.on).to_numpy()
    rows: Rows = setting.scored | controls | setting.validation & real
    return rows


def left_out_cells(setting: Setting) -> list[Cell]:
    """Return the cells of the study: for each family and seed, the probe and the tuned detector.

    The probe has the recipe's `probe_c` and features, and no seed.

    Raises
    ------
    InvalidManifest
        If there is one family only.
    """
    if len(setting.families) < 2:
        raise InvalidManifest(
            f"there is one family of forgeries, {setting.families[0]}; to leave one out takes two. "
            "Crops of photos have all with -o families=all -o crossed=true."
        )
    cells = []
    for left_out in setting.families:
        train = setting.learned & (setting.kind != left_out)
        for seed in setting.seeds:
            for detector in DETECTORS:
                cells.append(
                    Cell(
                        at={"detector": detector, "left_out": left_out, "seed": seed},
                        recipe=Recipe.of(setting.recipe, seed=seed),
                        train=train,
                        probe=detector == PROBE,
                    )
                )
    return cells


def left_out_result(
    ds: xr.Dataset, *, on: str, max_fpr: float = MAX_FPR, resamples: int = RESAMPLES, seed: int = 0
) -> xr.Dataset:
    """Add to the margins of a study what they say.

    Parameters
    ----------
    ds
        `margin` (detector, left_out, seed, sample), as the cells of `left_out_cells` give.
    on
        The split that is asked about.
    max_fpr
        The most of the development split's plain reals that may be called fake at the threshold.
    resamples, seed
        Of the bootstrap, which draws people (connected components), seeds and, where a mean over
        families is estimated, families.

    Returns
    -------
    xarray.Dataset
        With `difference` = tuned - probe as a third detector where it is `compared`:

        - `auroc`, `threshold` (detector, left_out, seed): of the left-out family against plain
          reals, by clips; and what `max_fpr` of the development reals exceed;
        - `family_auroc` and `family_tpr` (compared, left_out, bound), the latter at the threshold,
          `mean_auroc` and `fpr` (compared, bound);
        - `control_rise` (compared, control, bound) and `mean_control_rise` (compared, bound): FPR
          of degraded reals less that of the same split's plain ones.

        `bound` is value, low and high, of a 95 % interval, thresholds taken as they were fixed.
        Attributes: `improved`, in how many families the mean over seeds rises; `worst`, the family
        of the lowest tuned AUROC; `threshold_reals`, on how many clips a threshold rests, and
        `threshold_bound`, what the true rate above it is at most (one-sided 95 %, clips of a
        component counted as one).

    Raises
    ------
    InvalidManifest
        If there is no plain real crop of the development split, or of `on`.
    """
    clips = _Clips(by_clip(ds), on=on, max_fpr=max_fpr)
    of = clips.components()
    free = estimates(clips.measured, clips.sizes, components=of, resamples=resamples, seed=seed)
    # Of one family, and of all of them as they are, no family is drawn.
    every = np.ones(clips.sizes[FAMILY], np.int64)
    fixed = estimates(
        lambda counts: clips.measured({**counts, FAMILY: every}),
        {name: clips.sizes[name] for name in (COMPONENT, SEED)},
        components=of, resamples=resamples, seed=seed,
    )  # fmt: skip
    cells = ("detector", "left_out", SEED)
    out = ds.assign_coords(compared=[*DETECTORS, GAIN], bound=list(BOUND)).assign(
        auroc=(cells, clips.auroc(np.ones(clips.sizes[COMPONENT], np.int64))),
        threshold=(cells, clips.thresholds),
        family_auroc=(("compared", "left_out", "bound"), fixed["auroc"]),
        family_tpr=(("compared", "left_out", "bound"), fixed["tpr"]),
        mean_auroc=(("compared", "bound"), free["mean_auroc"]),
        fpr=(("compared", "bound"), free["fpr"]),
    )
    if clips.controls:
        out = out.assign_coords(control=list(clips.controls)).assign(
            control_rise=(("compared", "control", "bound"), free["rise"]),
            mean_control_rise=(("compared", "bound"), free["mean_rise"]),
        )
    gains, tuned = (fixed["auroc"][i, :, 0] for i in (2, 1))
    return out.assign_attrs(
        improved=int((gains > 0).sum()), worst=clips.families[int(tuned.argmin())], on=on,
        max_fpr=max_fpr, resamples=resamples, threshold_reals=clips.reals,
        threshold_bound=clips.bound,
    )  # fmt: skip


class _Clips:
    """What clips say, as a function of how often each component, seed and family is drawn."""

    def __init__(self, ds: xr.Dataset, *, on: str, max_fpr: float) -> None:
        self.scores = ds["score"].transpose("detector", "left_out", SEED, "clip").to_numpy()
        self.families = [str(f) for f in ds["left_out"].to_numpy()]
        table = ds[["label", "family", "method", "degradation", "split"]].reset_coords()
        about = table.to_dataframe()
        real, kind = (about["label"] == 0).to_numpy(), kinds(about)
        degradation = about["degradation"].to_numpy(dtype=object)
        plain, here = degradation == "", (about["split"] == on).to_numpy()
        fixing = real & plain & (about["split"] == DEVELOPMENT).to_numpy()
        self.real = np.flatnonzero(real & plain & here)
        if not fixing.any() or not len(self.real):
            raise InvalidManifest(
                "there is no plain real crop of the development split to fix a threshold on, or "
                f"none of the split {on!r} to compare with."
            )
        # Of the split that is asked about alone: who only fixes thresholds is in no resample.
        components = np.unique(ds[COMPONENT].to_numpy()[here])
        code = np.searchsorted(components, ds[COMPONENT].to_numpy())
        self.code = np.minimum(code, len(components) - 1)
        self.sizes = {
            COMPONENT: len(components), SEED: self.scores.shape[2], FAMILY: len(self.families),
        }  # fmt: skip
        self.fakes = [np.flatnonzero(here & plain & ~real & (kind == f)) for f in self.families]
        self.controls = tuple(str(c) for c in sorted(set(degradation[here & real & ~plain])))
        self.degraded = [np.flatnonzero(here & real & (degradation == c)) for c in self.controls]
        self.thresholds = np.apply_along_axis(threshold_at, -1, self.scores[..., fixing], max_fpr)
        self.called = self.scores > self.thresholds[..., None]
        self.reals = int(fixing.sum())
        self.bound = share_bound(
            allowed_above(self.reals, max_fpr), self.reals, ds[COMPONENT].to_numpy()[fixing]
        )
        self._ranked = [self._of_family(f, fakes) for f, fakes in enumerate(self.fakes)]

    def measured(self, counts: Counts) -> Mapping[str, Floats]:
        """Return all numbers for counts of the components, seeds and families that were drawn."""
        weight, families = counts[COMPONENT][self.code], counts[FAMILY] / counts[FAMILY].sum()
        seeds = counts[SEED] / counts[SEED].sum()
        auroc = self.auroc(counts[COMPONENT]) @ seeds
        fpr = self._rate(self.real, weight)
        tpr = np.stack(
            [self._rate(rows, weight)[:, f] @ seeds for f, rows in enumerate(self.fakes)], axis=1
        )
        found = {"auroc": auroc, "tpr": tpr}
        found |= {"mean_auroc": auroc @ families, "fpr": fpr @ seeds @ families}
        if self.controls:
            rises = [(self._rate(rows, weight) - fpr) @ seeds @ families for rows in self.degraded]
            found |= {"rise": np.stack(rises, axis=1), "mean_rise": np.mean(rises, axis=0)}
        return {name: np.concatenate([v, v[1:] - v[:1]]) for name, v in found.items()}

    def components(self) -> dict[str, int | list[int]]:
        """Return of how many components each number is: of a class, or of the rarer of both."""
        parts = [(labels, code) for labels, code, _ in self._ranked]
        real = self._people(self.real)
        of: dict[str, int | list[int]] = {
            "auroc": [rarer_components(*part) for part in parts],
            "mean_auroc": components_of_mean(parts),
            "tpr": [self._people(rows) for rows in self.fakes],
            "fpr": real,
        }
        if self.controls:
            rises = [min(real, self._people(rows)) for rows in self.degraded]
            of |= {"rise": rises, "mean_rise": min(rises)}
        return of

    def _people(self, rows: NDArray[np.int64]) -> int:
        """Return how many components clips are of."""
        return len(np.unique(self.code[rows]))

    def auroc(self, drawn: NDArray[np.int64]) -> Floats:
        """Return AUROCs (detector, left_out, seed) of the components that were drawn."""
        return np.stack([ranked.auroc(drawn[code]) for _, code, ranked in self._ranked], axis=1)

    def _of_family(
        self, family: int, fakes: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], Ranked]:
        """Return labels and components of the clips that a family is asked about, and scores."""
        rows = np.concatenate([self.real, fakes])
        labels = np.repeat([0, 1], [len(self.real), len(fakes)])
        return labels, self.code[rows], Ranked(labels, self.scores[:, family][..., rows])

    def _rate(self, rows: NDArray[np.int64], weight: NDArray[np.int64]) -> Floats:
        """Return the weighted share (detector, left_out, seed) of clips called fake."""
        called, total = self.called[..., rows], weight[rows].sum()
        return called @ weight[rows] / total if total else np.full(called.shape[:-1], np.nan)
