"""Robustness as a study: the curves of one or two detectors with bands over people, in words.

What `gendkit.evaluate.robustness` found enters; a Dataset of estimates leaves, whose last dimension
is `bound` (value, low, high). The threshold of each detector is as it was fixed and not resampled.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from gendkit.data.coverage import coverage_words
from gendkit.errors import InvalidArgument
from gendkit.evaluate.study.setting import DEVELOPMENT, FINAL
from gendkit.evaluate.study.study import Said, triple
from gendkit.evaluate.study.words import counted, estimate, verdict
from gendkit.measure.intervals import (
    BOUND,
    COMPONENT,
    Counts,
    Floats,
    class_components,
    estimates,
    rarer_components,
)
from gendkit.measure.metrics import Ranked
from gendkit.train.record import versions

NAME = "robustness"
QUESTION = "What becomes of a detector's verdicts as crops lose quality?"
TITLE = "Robustness to lost quality"
SETTING = ("grid", "level", "chain")
FEW_RISE = 0.02


def robustness_study(
    found: Mapping[str, xr.Dataset], *, data: str = "", reference: str = ""
) -> xr.Dataset:
    """Return the curves of detectors with 95 % bands over people.

    Parameters
    ----------
    found
        By the names of one or two detectors, what `gk.robustness` found with each on the same
        crops and grids; the first is the one in question.
    data, reference
        Names of the crops, and of those on which thresholds were fixed.

    Returns
    -------
    xarray.Dataset
        `auroc`, `tpr`, `fpr`, `shift_real`, `shift_fake` (detector, setting, bound); `rise`, of the
        false alarms since level 0; over all other levels the means `mean_auroc` and `mean_rise`
        (detector, bound), and of two detectors the first less the second, `difference` (bound).
        Where names of grids differ after a dash only, as those of a resize, `step_auroc`,
        `step_tpr` and `step_fpr` (detector, step, bound) are the means over them.

    Raises
    ------
    InvalidArgument
        If there are not one or two, or they are of different crops or grids.
    """
    if not 1 <= len(found) <= 2:
        raise InvalidArgument(f"{len(found)} detectors; give one, or two to compare.")
    first, *others = found.values()
    for other in others:
        same = all(
            np.array_equal(other[name].to_numpy(), first[name].to_numpy())
            for name in (*SETTING, "video", "label")
        )
        if not same:
            raise InvalidArgument("the detectors were tried on different crops or grids.")
    parts = [_Curves(ds) for ds in found.values()]
    level = first["level"].to_numpy()
    lost, clean = level > 0, np.flatnonzero(level == 0)[0]
    steps = _Steps(first)

    def statistic(counts: Counts) -> dict[str, Floats]:
        made = [part(counts[COMPONENT]) for part in parts]
        values = {name: np.stack([one[name] for one in made]) for name in made[0]}
        rise = values["fpr"] - values["fpr"][:, [clean]]
        mean = values["auroc"][:, lost].mean(axis=1)
        values |= {"mean_auroc": mean, "mean_rise": rise[:, lost].mean(axis=1), "rise": rise}
        values |= {f"step_{name}": steps.mean(values[name]) for name in ("auroc", "tpr", "fpr")}
        if len(made) == 2:
            values["difference"] = mean[0] - mean[1]
        return values

    of = _components(parts[0])
    if len(parts) == 2:
        of["difference"] = of["mean_auroc"]
    made = estimates(statistic, {COMPONENT: parts[0].components}, components=of)
    dims = {
        "mean_auroc": ("detector",),
        "mean_rise": ("detector",),
        "difference": (),
        **{f"step_{name}": ("detector", "step") for name in ("auroc", "tpr", "fpr")},
    }
    ds = xr.Dataset(
        {
            name: ((*dims.get(name, ("detector", "setting")), "bound"), values)
            for name, values in made.items()
        },
        coords={
            "detector": list(found),
            "bound": list(BOUND),
            **{name: ("setting", first[name].to_numpy()) for name in SETTING},
            "kind": ("step", steps.kinds),
            "strength": ("step", steps.strengths),
            "grids": ("step", steps.grids),
        },
        attrs={"components": parts[0].components, "clips": first.sizes["clip"], "study": NAME},
    )
    facts = _facts(found, data=data, reference=reference)
    ds = ds.assign_attrs(title=TITLE, question=QUESTION, about=json.dumps(facts))
    words = says(ds)
    return ds.assign_attrs(
        answer=words.answer, shows=json.dumps(words.shows), not_shown=json.dumps(words.not_shown)
    )


MEASURED = (
    ("clips by setting", {"auroc": "AUROC", "tpr": "fakes found", "fpr": "reals called fake"}),
    ("how far the mean score moves", {"shift_real": "of reals", "shift_fake": "of fakes"}),
)
"""What each table is of, and the names of its columns."""


def tables(ds: xr.Dataset) -> dict[str, pd.DataFrame]:
    """Return what is measured by setting, and how far scores move, of each detector."""
    pairs = zip(ds["grid"].to_numpy(), ds["chain"].to_numpy(), strict=True)
    index = pd.Index([_setting(str(grid), str(chain)) for grid, chain in pairs], name="setting")
    made = {}
    for detector in ds["detector"].to_numpy():
        of = ds.sel(detector=detector)
        for what, words in MEASURED:
            columns: dict[str, Any] = {}
            for name, word in words.items():
                columns |= triple(word, of[name])
            caption = f"{detector}: {what}, with 95 % intervals over people"
            made[caption] = pd.DataFrame(columns, index)
    return made


def says(ds: xr.Dataset) -> Said:
    """Say where a detector loses most, and what lost quality does to false alarms."""
    facts = json.loads(ds.attrs["about"])
    detectors = [str(d) for d in ds["detector"].to_numpy()]
    lost = np.flatnonzero(ds["level"].to_numpy() > 0)
    clean = int(np.flatnonzero(ds["level"].to_numpy() == 0)[0])
    first = ds.isel(detector=0, setting=clean, bound=0)
    reals, fakes = (bool(np.isfinite(first[rate])) for rate in ("fpr", "tpr"))
    shows = []
    for name in detectors:
        of = ds.sel(detector=name)
        auroc, rise, tpr = (of[n].to_numpy() for n in ("auroc", "rise", "tpr"))
        if reals and fakes:
            low = int(lost[np.nanargmin(auroc[lost, 0])])
            shows.append(
                f"{name}: AUROC {estimate(auroc[clean])} as crops are, lowest at {_name(ds, low)}, "
                f"{estimate(auroc[low])}; over all levels the mean is "
                f"{estimate(of['mean_auroc'].to_numpy())}."
            )
        if reals:
            high = int(lost[np.nanargmax(rise[lost, 0])])
            shows.append(
                f"{name}: the share of reals called fake, {estimate(of['fpr'].to_numpy()[clean])} "
                f"as they are, changes by {estimate(of['mean_rise'].to_numpy(), sign=True)} in the "
                f"mean; most at {_name(ds, high)}, {estimate(rise[high], sign=True)}."
            )
        else:
            low = int(lost[np.nanargmin(tpr[lost, 0])])
            shows.append(
                f"{name}: the share of fakes found, {estimate(tpr[clean])} as they are, is lowest "
                f"at {_name(ds, low)}, {estimate(tpr[low])}."
            )
    answer = _answer(ds.isel(detector=0), detectors[0], lost, reals=reals, fakes=fakes)
    if "difference" in ds:
        gap = ds["difference"].to_numpy()
        kind = {"more": "above", "less": "below"}.get(verdict(gap), "not told apart from")
        answer += (
            f" It is {kind} {detectors[1]}, the mean AUROC differing by {estimate(gap, sign=True)}."
        )
    alone = "" if reals and fakes else "reals" if reals else "fakes"
    not_shown = [
        *([f"There are {alone} alone: there is no AUROC."] if alone else []),
        f"The bands are over {counted(int(ds.attrs['components']), 'group')} of linked people. "
        "They are of this one training of each detector, and the threshold is taken as it was "
        "fixed.",
        "The changes are made to finished crops: what a platform does to a whole video, faces "
        "found anew in it, is not asked.",
    ]
    if facts["reference"] == facts["data"]:
        not_shown.append(
            "The threshold was fixed on these same reals as they are, so that the false alarms at "
            "level 0 are at most what was asked, by construction."
        )
    splits = facts["splits"].split(", ")
    if DEVELOPMENT in splits:
        not_shown.append(
            "There are crops of the development split, on which a detector may have been chosen."
        )
    if FINAL in splits:
        not_shown.append(
            "There are crops of the final split, which was evaluated "
            f"{counted(int(facts['final_evaluations']), 'time')} so far on this machine."
        )
    return Said(answer=answer, shows=tuple(shows), not_shown=tuple(not_shown))


def _answer(of: xr.Dataset, name: str, lost: NDArray[np.int64], *, reals: bool, fakes: bool) -> str:
    """Return what a detector's mean over the levels is, and at how many its false alarms rise."""
    said = []
    if reals and fakes:
        said.append(f"the mean AUROC of {name} is {estimate(of['mean_auroc'].to_numpy())}")
    elif fakes:
        mean = of["tpr"].sel(bound="value").to_numpy()[lost].mean()
        said.append(f"{name} finds {mean:.1%} of the fakes in the mean")
    if reals:
        above = int((of["rise"].sel(bound="value").to_numpy()[lost] > FEW_RISE).sum())
        said.append(f"at {above} of them more than {FEW_RISE:.0%} more reals are called fake")
    return f"Over {counted(len(lost), 'level')} of lost quality {', and '.join(said)}."


class _Curves:
    """What the clips of one detector say at each setting, for any resample of components."""

    def __init__(self, ds: xr.Dataset) -> None:
        score: Floats = ds["score"].transpose("setting", "clip").to_numpy()
        self.score, self.label = score, ds["label"].to_numpy()
        self.ranked = Ranked(self.label, score)
        found, self.code = np.unique(ds["component"].to_numpy(), return_inverse=True)
        self.components = len(found)
        self.called = (score > ds.attrs["threshold"]).astype(np.float64)
        clean = np.flatnonzero(ds["level"].to_numpy() == 0)[0]
        self.moved = score - score[clean]

    def __call__(self, drawn: NDArray[np.int64]) -> dict[str, Floats]:
        weight = drawn[self.code]
        fake, real = (weight * (self.label == label) for label in (1, 0))
        return {
            "auroc": self.ranked.auroc(weight),
            "tpr": _mean(self.called, fake),
            "fpr": _mean(self.called, real),
            "shift_real": _mean(self.moved, real),
            "shift_fake": _mean(self.moved, fake),
        }


def _components(curves: _Curves) -> dict[str, int]:
    """Return of how many components each number is: of a class, or of the rarer of both."""
    real, fake = class_components(curves.label, curves.code)
    rarer = rarer_components(curves.label, curves.code)
    return {
        **dict.fromkeys(("fpr", "step_fpr", "rise", "mean_rise", "shift_real"), real),
        **dict.fromkeys(("tpr", "step_tpr", "shift_fake"), fake),
        **dict.fromkeys(("auroc", "step_auroc", "mean_auroc"), rarer),
    }


class _Steps:
    """Levels of degradations, grids of one `kind` taken together."""

    def __init__(self, ds: xr.Dataset) -> None:
        kinds = [str(grid).split("-")[0] for grid in ds["grid"].to_numpy()]
        keys = list(zip(kinds, ds["level"].to_numpy().tolist(), strict=True))
        distinct = sorted(set(keys), key=lambda key: (kinds.index(key[0]), key[1]))
        self._of = [[i for i, key in enumerate(keys) if key == one] for one in distinct]
        self.kinds = [kind for kind, _ in distinct]
        texts = [str(chain) for chain in ds["chain"].to_numpy()]
        steps = {
            kind: {t.split(":")[0] for k, t in zip(kinds, texts, strict=True) if t and k == kind}
            for kind in self.kinds
        }
        self.strengths = [
            _strength([texts[i] for i in rows], alike=len(steps[kind]) == 1)
            for kind, rows in zip(self.kinds, self._of, strict=True)
        ]
        self.grids = [len(rows) for rows in self._of]

    def mean(self, values: Floats) -> Floats:
        """Return the mean over grids (..., step) of values (..., setting)."""
        return np.stack([values[..., rows].mean(axis=-1) for rows in self._of], axis=-1)


def _strength(chains: list[str], *, alike: bool) -> str:
    """Return what tells a step from others of its kind.

    Of chains that are `alike`, one step of one name each, what they have in common: `224` of
    `resize:224:area, resize:224:cubic`.
    """
    if not any(chains):
        return "as is"
    parts = [chain.split(":") for chain in chains]
    if not alike or any("," in chain for chain in chains) or len(set(map(len, parts))) > 1:
        return " / ".join(dict.fromkeys(chains))
    same = [p for p, *others in zip(*parts, strict=True) if all(o == p for o in others)]
    return ":".join(same[1:])


def _mean(values: Floats, weight: NDArray[np.int64]) -> Floats:
    total = weight.sum()
    return values @ weight / total if total else np.full(len(values), np.nan)


def _facts(found: Mapping[str, xr.Dataset], *, data: str, reference: str) -> dict[str, Any]:
    first = next(iter(found.values()))
    counts = json.loads(first.attrs["coverage"])
    rows = [
        ["crops", f"{data or 'unnamed'}: {int(first['crops'].sum()):,} crops of "
         f"{counted(first.sizes['clip'], 'clip')} (each person of a clip is one), of "
         f"{counted(len(set(first['component'].to_numpy().tolist())), 'linked group')} of people"],
        ["coverage", coverage_words(counts) if counts else "not known"],
    ]  # fmt: skip
    for name, ds in found.items():
        rows.append(
            [name, f"adapter {ds.attrs['adapter'][:12]}, called fake above "
             f"{ds.attrs['threshold']:.3f}, fixed for at most {ds.attrs['max_fpr']:.1%} of "
             f"{ds.attrs['threshold_reals']} real clips of {reference or data or 'these crops'}"]
        )  # fmt: skip
    rows.append(["versions", ", ".join(f"{k} {v}" for k, v in versions().items())])
    finals = max(int(ds.attrs["final_evaluations"]) for ds in found.values())
    return {
        "facts": rows, "data": data, "reference": reference or data,
        "splits": first.attrs["splits"], "final_evaluations": finals,
    }  # fmt: skip


def _setting(grid: str, chain: str) -> str:
    return f"{grid}: {chain or 'as is'}"


def _name(ds: xr.Dataset, place: int) -> str:
    return str(ds["chain"].to_numpy()[place])
