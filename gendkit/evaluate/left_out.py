"""Leave one forgery family out: what tuning is worth on a family that training has not seen.

A manifest whose families were made of the same people enters. For each family and seed a detector
is tuned on the training people's reals and on all other families, and a probe of the frozen
features is fitted on the same; both are then asked about people and a family that they do not know.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from gendkit.data.manifest import Manifest
from gendkit.errors import InvalidManifest
from gendkit.evaluate.cells import Cell, Rows, by_clip
from gendkit.evaluate.study.setting import kinds
from gendkit.measure.intervals import Interval, crossed
from gendkit.measure.metrics import Ranked
from gendkit.measure.thresholds import allowed_above, share_bound, threshold_at
from gendkit.train.recipe import Recipe

PROBE, TUNED, GAIN = "probe", "tuned", "difference"
DETECTORS = (PROBE, TUNED)
TRAIN, DEVELOPMENT = "train", "development"
MAX_FPR = 0.05


def left_out_families(manifest: Manifest, families: Sequence[str] = ()) -> tuple[str, ...]:
    """Return the families that a study can leave out: named ones, or all that can be learned.

    Raises
    ------
    InvalidManifest
        If a named one has no crop to be learned from, or there are fewer than two.
    """
    table = manifest.table
    plain = (table["split"] == TRAIN) & (table["degradation"] == "")
    there = [str(name) for name in dict.fromkeys(kinds(table)[plain]) if name]
    if unknown := [name for name in families if name not in there]:
        raise InvalidManifest(
            f"no training crop is of the family {unknown[0]!r}; there is "
            f"{', '.join(there) or 'none'}."
        )
    chosen = tuple(name for name in there if not families or name in families)
    if len(chosen) < 2:
        raise InvalidManifest(
            f"there is {', '.join(chosen) or 'no family'} to leave out and learn from; it takes "
            "two families of the training split or more. Crops of photos have all with -o "
            "families=all -o crossed=true."
        )
    return chosen


def left_out_rows(manifest: Manifest, families: Sequence[str], *, on: str) -> Rows:
    """Return which crops (N,) are asked about: those of a split, and the development reals.

    Of what was degraded, reals alone: they are the negative controls.
    """
    table = manifest.table
    real, plain = table["label"] == 0, table["degradation"] == ""
    asked = real | (plain & np.isin(kinds(table), list(families)))
    where = (table["split"] == on) | ((table["split"] == DEVELOPMENT) & real & plain)
    rows: Rows = (asked & where).to_numpy()
    return rows


def left_out_cells(
    manifest: Manifest, recipe: Recipe, *, families: Sequence[str], seeds: Sequence[int]
) -> list[Cell]:
    """Return the cells of the study: for each family and seed, the probe and the tuned detector.

    Parameters
    ----------
    manifest
        Labelled crops, of which the plain ones of the training split are learned from.
    recipe
        Of the tuned detector; its `probe_c` and features are also the probe's.
    families
        That take part, each of which is left out once.
    seeds
        Of the tuned detector; the probe has none.
    """
    table = manifest.table
    learned, kind = (table["split"] == TRAIN) & (table["degradation"] == ""), kinds(table)
    cells = []
    for left_out in families:
        others = [name for name in families if name != left_out]
        train = (learned & ((table["label"] == 0) | np.isin(kind, others))).to_numpy()
        for seed in seeds:
            for detector in DETECTORS:
                cells.append(
                    Cell(
                        at={"detector": detector, "left_out": left_out, "seed": seed},
                        recipe=Recipe.of(recipe, seed=seed),
                        train=train,
                        probe=detector == PROBE,
                    )
                )
    return cells


def left_out_result(
    ds: xr.Dataset, *, on: str, max_fpr: float = MAX_FPR, resamples: int = 1000, seed: int = 0
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
        With `difference` = tuned - probe as a third detector in all but the first two:

        - `auroc`, `threshold` (detector, left_out, seed): of the left-out family against plain
          reals, by clips; and what `max_fpr` of the development reals exceed;
        - `family_auroc` (compared, left_out, bound) and `mean_auroc` (compared, bound);
        - `family_tpr` (compared, left_out, bound) and `fpr` (compared, bound) at the threshold;
        - `control_rise` (compared, control, bound) and `mean_control_rise` (compared, bound): FPR
          of degraded reals less that of the same split's plain ones.

        `bound` is value, low and high, of a 95 % percentile interval, thresholds being taken as
        they were fixed. Attributes: `improved`, in how many families the mean over seeds rises;
        `worst`, the family of the lowest tuned AUROC; `threshold_reals`, on how many clips a
        threshold rests, and `threshold_bound`, what the true rate above it is at most (one-sided
        95 %, clips of a component counted as one).
    """
    clips = by_clip(ds)
    measured = _Measured(clips, on=on, max_fpr=max_fpr)
    sizes = {
        "component": measured.components,
        "seed": clips.sizes["seed"],
        "family": clips.sizes["left_out"],
    }
    free = crossed(measured, sizes, resamples=resamples, seed=seed)
    # Of one family, and of all of them as they are, no family is drawn.
    fixed = crossed(
        lambda counts: measured({**counts, "family": np.ones(sizes["family"], np.int64)}),
        {"component": sizes["component"], "seed": sizes["seed"]},
        resamples=resamples, seed=seed,
    )  # fmt: skip
    families = [str(f) for f in clips["left_out"].to_numpy()]
    compared = (*DETECTORS, GAIN)

    def table(found: Mapping[str, Interval], name: str, of: Sequence[str]) -> NDArray[np.float64]:
        keys = [[f"{name}/{d}/{o}" if o else f"{name}/{d}" for o in of] for d in compared]
        rows = [[(found[k].value, found[k].low, found[k].high) for k in row] for row in keys]
        return np.asarray(rows)

    out = ds.assign_coords(
        compared=list(compared), bound=["value", "low", "high"], control=list(measured.controls)
    ).assign(
        auroc=(("detector", "left_out", "seed"), measured.auroc()),
        threshold=(("detector", "left_out", "seed"), measured.thresholds),
        family_auroc=(("compared", "left_out", "bound"), table(fixed, "auroc", families)),
        family_tpr=(("compared", "left_out", "bound"), table(fixed, "tpr", families)),
        mean_auroc=(("compared", "bound"), table(free, "mean-auroc", [""])[:, 0]),
        fpr=(("compared", "bound"), table(free, "fpr", [""])[:, 0]),
    )
    if measured.controls:
        rises = table(free, "rise", measured.controls)
        out = out.assign(
            control_rise=(("compared", "control", "bound"), rises),
            mean_control_rise=(("compared", "bound"), table(free, "mean-rise", [""])[:, 0]),
        )
    gains = out["family_auroc"].sel(compared=GAIN, bound="value").to_numpy()
    tuned = out["family_auroc"].sel(compared=TUNED, bound="value").to_numpy()
    return out.assign_attrs(
        improved=int((gains > 0).sum()), worst=families[int(tuned.argmin())], on=on,
        max_fpr=max_fpr, resamples=resamples, threshold_reals=measured.reals,
        threshold_bound=measured.bound,
    )  # fmt: skip


class _Measured:
    """What clips say, as a function of how often each component, seed and family is drawn."""

    def __init__(self, clips: xr.Dataset, *, on: str, max_fpr: float) -> None:
        clips = clips.transpose("detector", "left_out", "seed", "clip")
        about = {name: clips[name].to_numpy() for name in ("label", "degradation")}
        kind = kinds(clips[["label", "family", "method"]].reset_coords().to_dataframe())
        split, plain = clips["split"].to_numpy(), about["degradation"] == ""
        self.scores = clips["score"].to_numpy()
        self.families = [str(f) for f in clips["left_out"].to_numpy()]
        self.of, codes = np.unique(clips["component"].to_numpy(), return_inverse=True)
        self.code, self.components = codes, len(self.of)
        real, here = about["label"] == 0, split == on
        self.real = np.flatnonzero(real & plain & here)
        self.fakes = [np.flatnonzero(here & plain & ~real & (kind == f)) for f in self.families]
        self.controls = tuple(sorted(set(about["degradation"][here & real & ~plain])))
        self.degraded = [
            np.flatnonzero(here & real & (about["degradation"] == c)) for c in self.controls
        ]
        fixing = self.scores[..., of_fixing := real & plain & (split == DEVELOPMENT)]
        if not fixing.shape[-1] or not len(self.real):
            raise InvalidManifest(
                "there is no plain real crop of the development split to fix a threshold on, or "
                f"none of the split {on!r} to compare with."
            )
        self.ranked = [self._ranked(f, fakes) for f, fakes in enumerate(self.fakes)]
        self.thresholds = np.apply_along_axis(threshold_at, -1, fixing, max_fpr)
        self.reals = fixing.shape[-1]
        self.bound = share_bound(
            allowed_above(self.reals, max_fpr), self.reals, clips["component"].to_numpy()[of_fixing]
        )

    def auroc(self) -> NDArray[np.float64]:
        """Return the AUROC (detector, left_out, seed) of all clips."""
        return self._auroc(np.ones(self.components, np.int64))

    def __call__(self, counts: Mapping[str, NDArray[np.int64]]) -> dict[str, float]:
        """Return all numbers for counts of the components, seeds and families that were drawn."""
        seeds, families = counts["seed"], counts["family"]
        weight = counts["component"][self.code]
        fpr = self._rate(self.real, weight)
        values: dict[str, float] = {}
        auroc = self._auroc(counts["component"]) @ seeds / seeds.sum()  # (detector, family)
        tpr = np.stack(
            [self._rate(rows, weight)[:, f] for f, rows in enumerate(self.fakes)], axis=1
        )
        tpr = tpr @ seeds / seeds.sum()
        for name, table in (("auroc", auroc), ("tpr", tpr)):
            for f, family in enumerate(self.families):
                values |= _of_each(f"{name}", table[:, f], family)
        values |= _of_each("mean-auroc", _mean(auroc, families))
        values |= _of_each("fpr", _mean(fpr @ seeds / seeds.sum(), families))
        rises = [self._rate(rows, weight) - fpr for rows in self.degraded]
        means = [_mean(rise @ seeds / seeds.sum(), families) for rise in rises]
        for control, mean in zip(self.controls, means, strict=True):
            values |= _of_each("rise", mean, control)
        if means:
            values |= _of_each("mean-rise", np.mean(means, axis=0))
        return values

    def _ranked(self, family: int, fakes: NDArray[np.int64]) -> tuple[NDArray[np.int64], Ranked]:
        """Return the components of the clips that a family is asked about, and their scores."""
        rows = np.concatenate([self.real, fakes])
        labels = np.repeat([0, 1], [len(self.real), len(fakes)])
        return self.code[rows], Ranked(labels, self.scores[:, family][..., rows])

    def _auroc(self, drawn: NDArray[np.int64]) -> NDArray[np.float64]:
        return np.stack([ranked.auroc(drawn[code]) for code, ranked in self.ranked], axis=1)

    def _rate(self, rows: NDArray[np.int64], weight: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the weighted share (detector, left_out, seed) of clips called fake."""
        called = self.scores[..., rows] > self.thresholds[..., None]
        total = weight[rows].sum()
        return called @ weight[rows] / total if total else np.full(called.shape[:-1], np.nan)


def _mean(values: NDArray[np.float64], counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the mean over families (detector,) of values (detector, family)."""
    return np.asarray(values @ counts / counts.sum())


def _of_each(name: str, values: NDArray[np.float64], of: str = "") -> dict[str, float]:
    """Return a value for each detector and for their difference, by name."""
    end = f"/{of}" if of else ""
    both = dict(zip(DETECTORS, values.tolist(), strict=True))
    both[GAIN] = both[TUNED] - both[PROBE]
    return {f"{name}/{detector}{end}": value for detector, value in both.items()}
