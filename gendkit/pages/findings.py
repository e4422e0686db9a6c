"""What the numbers allow one to say: estimates enter, sentences leave.

A sentence claims a gain or a loss only if the whole 95 % interval lies on one side of zero, and
says so when it does not, when there is no interval, and when there is no number.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from gendkit.markup import DASH, number
from gendkit.pages.page import interval

if TYPE_CHECKING:
    import pandas as pd

    from gendkit.evaluate.demo.result import Neighbourhood, ScoredClip

Direction = Literal["gain", "loss", "unclear", "unknown"]

_WHERE = {
    "seen": "forgery families seen in training",
    "unseen": "forgery families kept out of training",
}


@dataclass(frozen=True, kw_only=True)
class Effect:
    """The mean AUROC of probe and tuned detector on a group, and their difference.

    Attributes
    ----------
    families
        How many families the means are over.
    mean, low, high
        Of the difference tuned - probe; NaN where it could not be computed.
    """

    group: str
    families: int
    probe: float
    tuned: float
    tuned_low: float
    tuned_high: float
    mean: float
    low: float
    high: float

    @property
    def direction(self) -> Direction:
        """What the interval of the difference allows one to say."""
        if not math.isfinite(self.mean):
            return "unknown"
        if not (math.isfinite(self.low) and math.isfinite(self.high)):
            return "unclear"
        return "gain" if self.low > 0 else "loss" if self.high < 0 else "unclear"


def effect(families: pd.DataFrame, groups: pd.DataFrame, group: str) -> Effect | None:
    """Return the effect on a group of families; None if the demo had no such group."""
    rows = groups[groups["group"] == group]
    if not len(rows):
        return None
    row = rows.iloc[0]
    members = families[families["group"] == group]
    return Effect(
        group=group,
        families=int(np.isfinite(members["difference"].to_numpy(dtype=float)).sum()),
        probe=float(row["probe"]),
        tuned=float(row["tuned"]),
        tuned_low=float(row["tuned_low"]),
        tuned_high=float(row["tuned_high"]),
        mean=float(row["difference"]),
        low=float(row["difference_low"]),
        high=float(row["difference_high"]),
    )


def headline(seen: Effect | None, unseen: Effect | None) -> str:
    """Return the finding in one line; unseen families come first, being what matters."""
    if unseen is None or unseen.direction == "unknown":
        told = seen.direction if seen is not None else "unknown"
        return {
            "gain": "Tuned layer norms help on forgeries seen in training; no others were measured",
            "loss": "Tuned layer norms hurt on forgeries seen in training; no others were measured",
            "unclear": "This run does not show whether tuning layer norms helps",
            "unknown": "The difference between tuned and frozen layer norms was not measured",
        }[told]
    return {
        "gain": "Tuned layer norms detect forgeries they never saw better than a frozen probe does",
        "loss": "Tuned layer norms detect forgeries they never saw worse than a frozen probe does",
        "unclear": "On forgeries never seen in training, this run shows no clear effect of tuning",
    }[unseen.direction]


QUICK = "A quick run: it shows that all works, and its numbers mean nothing"
"""The headline of a demo too small for any other."""


def comparison(found: Effect) -> str:
    """Return what the run says about a group, with its numbers."""
    count = f"{found.families} " if found.families > 1 else ""
    where = f"On the {count}{_WHERE.get(found.group, found.group)}"
    if found.families == 1:
        where = where.replace("families", "family")
    if found.direction == "unknown":
        return f"{where}, the difference between tuned and frozen could not be computed."
    start = (
        f"{where}, mean AUROC is {number(found.probe)} for a linear probe on the frozen encoder "
        f"and {number(found.tuned)} with tuned layer norms: "
    )
    size = number(found.mean, sign=True)
    ends = interval(found.low, found.high, sign=True)
    if ends == DASH:
        return f"{start}a difference of {size}, for which no interval could be computed."
    text = {
        "gain": f"a gain of {size} (95\N{NO-BREAK SPACE}% interval {ends}).",
        "loss": f"a loss of {size} (95\N{NO-BREAK SPACE}% interval {ends}).",
        "unclear": (
            f"a difference of {size} whose 95\N{NO-BREAK SPACE}% interval, {ends}, contains zero, "
            "so this run does not show which is better."
        ),
    }[found.direction]
    if found.tuned_low <= 0.5:
        text += " The tuned detector’s own interval reaches down to 0.5, which is chance."
    return start + text


def controls(families: pd.DataFrame) -> str:
    """Return whether the tuned detector takes degraded real faces for fake ones."""
    rows = families[families["group"] == "control"]
    rows = rows[np.isfinite(rows["tuned"].to_numpy(dtype=float))]
    if not len(rows):
        return "No negative control was measured, so nothing is known of what else it reacts to."
    ends = rows[["tuned_low", "tuned_high"]].to_numpy(dtype=float)
    rows = rows[np.isfinite(ends).all(axis=1)]
    if not len(rows):
        return (
            "For no negative control could an interval be computed, so that it is not known what "
            "else the detector reacts to."
        )
    moved = [
        f"{row['family']} ({number(row['tuned'])})"
        for _, row in rows.iterrows()
        if row["tuned_low"] > 0.5 or row["tuned_high"] < 0.5
    ]
    if not moved:
        return (
            f"For none of the {len(rows)} negative controls does the tuned detector’s interval "
            "leave out 0.5: it was not shown to react to changes that are no forgery."
        )
    return (
        f"For {len(moved)} of {len(rows)} changes that are no forgery, the tuned detector’s "
        f"interval leaves out 0.5: {', '.join(moved)}. It seems to react to them, and part of its "
        "scores elsewhere may have the same cause; with many intervals, one in twenty leaves out "
        "the truth by chance."
    )


def twins(clip: ScoredClip, twin: ScoredClip) -> str:
    """Return how a clip's score compares with its forged twin's."""
    missing = [c.name for c in (clip, twin) if not math.isfinite(c.clip_score)]
    if missing:
        return f"No face was found in {' and in '.join(missing)}, so there is nothing to compare."
    text = (
        f"The clip scores {number(clip.clip_score, digits=2)} as filmed and "
        f"{number(twin.clip_score, digits=2)} forged (means over frames with a face)"
    )
    if twin.clip_score <= clip.clip_score:
        return f"{text}: the detector does not find this forgery."
    if len(clip.score) == len(twin.score):
        both = np.isfinite(clip.score) & np.isfinite(twin.score)
        higher = int((twin.score[both] > clip.score[both]).sum())
        return (
            f"{text}; the forged frame has the higher score in {higher} of {int(both.sum())} pairs."
        )
    return f"{text}."


def surroundings(found: Neighbourhood) -> str:
    """Return who is nearest to a face on the sphere."""
    near = [(n.similarity, "real") for n in found.reals]
    near += [(n.similarity, "fake") for n in found.fakes]
    # Of each kind only so many are known, so only that many can be counted over both.
    nearest = sorted(near, reverse=True)[: min(len(found.reals), len(found.fakes))]
    if not nearest:
        return "Of real and fake faces of other people, not both were there to compare it with."
    fakes = sum(kind == "fake" for _, kind in nearest)
    truth = {0: "real", 1: f"forged ({found.method or 'unknown method'})"}.get(
        found.label, "of unknown origin"
    )
    return (
        f"This face is {truth} and scores {number(found.score, digits=2)}. Of the {len(nearest)} "
        f"faces of other people’s clips that are nearest to it, {fakes} "
        f"{'is' if fakes == 1 else 'are'} fake."
    )


def movement(layers: pd.DataFrame) -> str:
    """Return which layer norm moved most and how much the middle one did."""
    parts = []
    for part, name in (("weight", "weights"), ("bias", "biases")):
        moved = layers[part].to_numpy(dtype=float)
        finite = np.isfinite(moved)
        if not finite.any():
            parts.append(f"for the {name} there is no number")
            continue
        most = int(np.where(finite, moved, -np.inf).argmax())
        parts.append(
            f"the {name} moved by {_percent(float(np.median(moved[finite])))} in the median and by "
            f"{_percent(moved[most])} at most (in {layers['layer'].iloc[most]})"
        )
    return f"Relative to what they were, {parts[0]}, {parts[1]}."


def tone(found: Effect | None) -> Literal["", "good", "bad"]:
    """Return whether a number is shown as good news, bad news or neither."""
    tones: dict[Any, Literal["good", "bad"]] = {"gain": "good", "loss": "bad"}
    return tones.get(found.direction, "") if found else ""


def _percent(share: float) -> str:
    return f"{number(100 * share, digits=1)}\N{NO-BREAK SPACE}%"
