"""AUROC by forgery family of two detectors on the same crops, with paired intervals over people.

In goes a table with one row a crop: `label`, `family`, `degradation`, `identity`, and the scores
`probe` and `tuned`. Out come tables by family, by group of families, and ROC curves.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.metrics import roc_curve

from gendkit.markup import card, grid
from gendkit.measure.intervals import Interval, bootstrap
from gendkit.measure.metrics import auroc

Group = Literal["seen", "unseen", "control"]
DETECTORS = ("probe", "tuned")


@dataclass(frozen=True, kw_only=True)
class _Question:
    """Which crops an AUROC is about: rows, and which of them should score high."""

    group: Group
    family: str
    rows: NDArray[np.int64]
    positive: NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """What `compare` gives.

    Attributes
    ----------
    families, groups
        Columns `group`, `family`, `real`, `fake`, `identities`, and for `probe`, `tuned` and
        `difference` (tuned - probe) the columns `X`, `X_low`, `X_high`. In `groups` the AUROC is
        the mean over the group's families. A control tells degraded real crops (counted as `fake`)
        from plain ones: .5 is best.
    roc
        Columns `group`, `detector`, `fpr`, `tpr`, pooled over the families of a group.
    """

    families: pd.DataFrame
    groups: pd.DataFrame
    roc: pd.DataFrame

    def __repr__(self) -> str:
        return f"Comparison({len(self.families)} families in {len(self.groups)} groups)"

    def _repr_html_(self) -> str:
        head = ["group", "family", "probe", "tuned", "difference", "difference_low"]
        head += ["difference_high"]
        both = (self.groups.assign(family="mean"), self.families)
        rows = [r for t in both for r in t[head].itertuples(index=False, name=None)]
        shown = ["group", "family", "probe", "tuned", "difference", "from", "to"]
        return card("AUROC of the probe and of the tuned detector", {}, grid(shown, rows))


def compare(
    table: pd.DataFrame, *, seen: Sequence[str], resamples: int = 1000, seed: int = 0
) -> Comparison:
    """Compare two detectors on held-back crops.

    Parameters
    ----------
    table
        One row a crop; see the module.
    seen
        Families that took part in training; all others are unseen.
    resamples, seed
        Of the bootstrap over identities.
    """
    questions = list(_questions(table, seen=seen))
    groups = list(dict.fromkeys(q.group for q in questions))
    scores = {d: table[d].to_numpy(np.float64) for d in DETECTORS}

    def statistic(rows: NDArray[np.int64]) -> Mapping[str, float]:
        counts = np.bincount(rows, minlength=len(table))
        values: dict[str, float] = {}
        for q in questions:
            drawn = np.repeat(np.arange(len(q.rows)), counts[q.rows])
            for d in DETECTORS:
                values[f"{q.family}/{d}"] = auroc(
                    q.positive[drawn].astype(np.int64), scores[d][q.rows[drawn]]
                )
        for group in groups:
            names = [q.family for q in questions if q.group == group]
            for d in DETECTORS:
                values[f"{group}//{d}"] = float(np.mean([values[f"{n}/{d}"] for n in names]))
        for key in [k.removesuffix("/probe") for k in values if k.endswith("/probe")]:
            values[f"{key}/difference"] = values[f"{key}/tuned"] - values[f"{key}/probe"]
        return values

    found = bootstrap(statistic, table["identity"].tolist(), resamples=resamples, seed=seed)
    identity = table["identity"].to_numpy()
    family_rows, group_rows = [], []
    for q in questions:
        counts = _counts(q.rows, q.positive, identity)
        family_rows.append(
            {"group": q.group, "family": q.family, **counts, **_values(found, f"{q.family}/")}
        )
    for group in groups:
        members = [q for q in questions if q.group == group]
        rows = np.concatenate([q.rows for q in members])
        rows, first = np.unique(rows, return_index=True)
        positive = np.concatenate([q.positive for q in members])[first]
        group_rows.append(
            {
                "group": group,
                "family": "mean",
                **_counts(rows, positive, identity),
                **_values(found, f"{group}//"),
            }
        )
    return Comparison(
        families=pd.DataFrame(family_rows),
        groups=pd.DataFrame(group_rows),
        roc=_roc(questions, scores),
    )


def _questions(table: pd.DataFrame, *, seen: Sequence[str]) -> list[_Question]:
    label, family, degradation = (
        table[c].to_numpy(dtype=object) for c in ("label", "family", "degradation")
    )
    plain = degradation == ""
    real = plain & (label == 0)

    def question(group: Group, name: str, positive: NDArray[np.bool_]) -> _Question:
        rows = np.flatnonzero(real | positive)
        return _Question(group=group, family=name, rows=rows, positive=positive[rows])

    present = sorted(set(family[plain & (label == 1)]))
    order = [f for f in seen if f in present] + [f for f in present if f not in seen]
    questions = [
        question("seen" if f in seen else "unseen", f, plain & (label == 1) & (family == f))
        for f in order
    ]
    for name in sorted(set(degradation) - {""}):
        degraded = (degradation == name) & (label == 0)
        if degraded.any():
            questions.append(question("control", name, degraded))
    return questions


def _counts(
    rows: NDArray[np.int64], positive: NDArray[np.bool_], identity: NDArray[np.object_]
) -> dict[str, int]:
    return {
        "real": int((~positive).sum()),
        "fake": int(positive.sum()),
        "identities": len(set(identity[rows])),
    }


def _values(found: Mapping[str, Interval], key: str) -> dict[str, float]:
    values: dict[str, float] = {}
    for name in (*DETECTORS, "difference"):
        interval = found[key + name]
        values |= {name: interval.value, f"{name}_low": interval.low, f"{name}_high": interval.high}
    return values


def _roc(questions: Sequence[_Question], scores: Mapping[str, NDArray[np.float64]]) -> pd.DataFrame:
    parts = []
    for group in dict.fromkeys(q.group for q in questions):
        members = [q for q in questions if q.group == group]
        if group == "control":
            continue
        rows, first = np.unique(np.concatenate([q.rows for q in members]), return_index=True)
        positive = np.concatenate([q.positive for q in members])[first]
        if len(set(positive.tolist())) < 2:
            continue
        for detector in DETECTORS:
            fpr, tpr, _ = roc_curve(positive, scores[detector][rows])
            parts.append(
                pd.DataFrame({"group": group, "detector": detector, "fpr": fpr, "tpr": tpr})
            )
    columns = ["group", "detector", "fpr", "tpr"]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=columns)
