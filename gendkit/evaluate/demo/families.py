"""AUROC by forgery family of two detectors on the same crops, with paired intervals over people.

In goes a table with one row a crop: `label`, `family`, `degradation`, `identity`, the connected
`component` of its clip, and the scores `probe` and `tuned`. Out come tables by family, by group of
families, and ROC curves.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.metrics import roc_curve

from gendkit.errors import InvalidManifest
from gendkit.markup import card, grid
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

Group = Literal["seen", "unseen", "control"]
DETECTORS = ("probe", "tuned")
COMPARED = (*DETECTORS, "difference")


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
    table: pd.DataFrame, *, seen: Sequence[str], resamples: int = RESAMPLES, seed: int = 0
) -> Comparison:
    """Compare two detectors on held-back crops.

    Parameters
    ----------
    table
        One row a crop; see the module.
    seen
        Families that took part in training; all others are unseen.
    resamples, seed
        Of the bootstrap over components: people, with those who lend them a face.

    Raises
    ------
    InvalidManifest
        If there is neither a fake nor a degraded real crop.
    """
    questions = list(_questions(table, seen=seen))
    if not questions:
        raise InvalidManifest("there is neither a fake nor a degraded real crop to compare with.")
    groups = list(dict.fromkeys(q.group for q in questions))
    members = [np.flatnonzero([q.group == group for q in questions]) for group in groups]
    scores = table[list(DETECTORS)].to_numpy(np.float64).T
    ranked = [Ranked(q.positive.astype(np.int64), scores[:, q.rows]) for q in questions]
    found, code = np.unique(table[COMPONENT].to_numpy(), return_inverse=True)

    def statistic(counts: Counts) -> dict[str, Floats]:
        weight = counts[COMPONENT][code]
        pairs = zip(questions, ranked, strict=True)
        each = np.stack([one.auroc(weight[q.rows]) for q, one in pairs], axis=-1)
        each = np.vstack([each, each[1] - each[0]])
        means = np.stack([each[:, some].mean(axis=1) for some in members], axis=-1)
        return {"families": each, "groups": means}

    of = [(q.positive.astype(np.int64), code[q.rows]) for q in questions]
    each = [rarer_components(*part) for part in of]
    means = [components_of_mean([of[i] for i in some]) for some in members]
    bounds = estimates(
        statistic, {COMPONENT: len(found)}, resamples=resamples, seed=seed,
        components={"families": each, "groups": means},
    )  # fmt: skip
    identity = table["identity"].to_numpy()
    by_family = [
        {
            "group": q.group, "family": q.family, **_counts(q.rows, q.positive, identity),
            **_values(bounds["families"][:, number]),
        }
        for number, q in enumerate(questions)
    ]  # fmt: skip
    by_group = [
        {
            "group": group, "family": "mean",
            **_counts(*_pooled([questions[i] for i in members[number]]), identity),
            **_values(bounds["groups"][:, number]),
        }
        for number, group in enumerate(groups)
    ]  # fmt: skip
    return Comparison(
        families=pd.DataFrame(by_family),
        groups=pd.DataFrame(by_group),
        roc=_roc(questions, dict(zip(DETECTORS, scores, strict=True))),
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


def _values(bounds: Floats) -> dict[str, float]:
    """Name bounds (compared, bound): `X`, `X_low` and `X_high`."""
    names = [f"{name}_{end}".removesuffix("_value") for name in COMPARED for end in BOUND]
    return dict(zip(names, bounds.ravel().tolist(), strict=True))


def _pooled(questions: Sequence[_Question]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return the rows of several questions, each once, and which of them should score high."""
    rows, first = np.unique(np.concatenate([q.rows for q in questions]), return_index=True)
    return rows, np.concatenate([q.positive for q in questions])[first]


def _roc(questions: Sequence[_Question], scores: Mapping[str, NDArray[np.float64]]) -> pd.DataFrame:
    parts = []
    for group in dict.fromkeys(q.group for q in questions):
        members = [q for q in questions if q.group == group]
        if group == "control":
            continue
        rows, positive = _pooled(members)
        if len(set(positive.tolist())) < 2:
            continue
        for detector in DETECTORS:
            fpr, tpr, _ = roc_curve(positive, scores[detector][rows])
            parts.append(
                pd.DataFrame({"group": group, "detector": detector, "fpr": fpr, "tpr": tpr})
            )
    columns = ["group", "detector", "fpr", "tpr"]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=columns)
