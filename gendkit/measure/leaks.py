"""Do facts about a clip's file tell real from fake? Then a detector could learn them instead.

A manifest with the columns `source_...` enters; a `Leak` with an AUROC a fact leaves, over clips
and not frames. No image is opened.

How sure an AUROC is: clips of one person are no independent witnesses, so a class counts as many of
them as people weigh in it (Kish), and the interval is the exact one of a proportion among those of
the class with fewer (Clopper and Pearson). No AUROC varies more than such a proportion, whatever
the distributions (van Dantzig), so the interval is rather too wide, and three clips that differ are
three clips: a fact that tells all of them apart is flagged from eight people a class on.

References
----------
Kish, Survey Sampling, 1965 (effective sample size). Clopper and Pearson, Biometrika 1934. Van
Dantzig, Indagationes Mathematicae 1951; Birnbaum and Klose, Annals of Mathematical Statistics 1957
(bounds for the variance of the Mann-Whitney statistic).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from gendkit.data.links import CLIP
from gendkit.measure.metrics import auroc
from gendkit.measure.thresholds import independent

if TYPE_CHECKING:
    from gendkit.data.manifest import Manifest

BOUND = 0.6
"""A fact is flagged if the lower end of its AUROC's interval is above this."""
LEVEL = 0.95
NUMBERS = {
    "source_width": "px", "source_height": "px", "source_frame_rate": "1/s",
    "source_duration": "s", "source_bytes": "B", "bit_rate": "bit/s", "source_quantisation": "",
}  # fmt: skip
CATEGORIES = ("frame_size", "source_codec", "source_pixel_format", "source_tables")
SHORTEST = 1e-6
"""Seconds that are a duration, for a bit rate."""
_FOLDS = 5
Labels = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Leak:
    """How well one fact about the file separates fake from real clips.

    Attributes
    ----------
    fact
        A column of the manifest, `bit_rate` or `frame_size` made of two; of what is known of some
        clips only, the columns, joined by a comma.
    kind
        `number`; `category`, whose AUROC is cross-validated over people; or `recorded`: whether
        the columns are known at all.
    auroc, low, high
        Of a number and of `recorded` .5 to 1, in the direction in which it separates better; of a
        category 0 to 1. Where a number tells more by the tenth of all clips in which it lies, such
        as fakes of one length among reals of any, it is that of these tenths, cross-validated as a
        category's. With its 95 % interval; None if it cannot be estimated.
    real, fake
        Clips it rests on.
    people
        As how many independent clips the rarer class counts.
    tells
        In words, what differs, or why there is no estimate.
    flagged
        Whether `low` is above the bound.
    """

    fact: str
    kind: Literal["number", "category", "recorded"]
    auroc: float | None
    low: float | None
    high: float | None
    real: int
    fake: int
    people: float
    tells: str
    flagged: bool = False

    @property
    def recorded(self) -> bool:
        """Whether the fact is known of any clip with a label."""
        return self.real + self.fake > 0


def leaks(manifest: Manifest, *, bound: float = BOUND) -> pd.DataFrame:
    """Return how well each fact about the clips' files tells fake from real.

    Parameters
    ----------
    manifest
        Clips without a label are left out. Who is a person: the identity that is seen, else the
        target clip, else the clip.
    bound
        A fact is flagged if the lower end of its interval is above this.

    Returns
    -------
    pandas.DataFrame
        By `fact`, with the other fields of `Leak`: numbers, categories, then what is known of some
        clips only. If a class is missing, or a fact is known of none, its AUROC is missing (NaN).
    """
    fields = list(Leak.__dataclass_fields__)
    found = [[getattr(leak, name) for name in fields] for leak in find_leaks(manifest, bound=bound)]
    table = pd.DataFrame(found, columns=fields).set_index("fact")
    return table.astype(dict.fromkeys(("auroc", "low", "high"), float))


def find_leaks(manifest: Manifest, *, bound: float = BOUND) -> tuple[Leak, ...]:
    """Return what `leaks` shows as a table, as values."""
    clips = _clips(manifest.table)
    label = clips["label"].to_numpy("int64")
    people = clips["person"].to_numpy()
    facts = []
    for name, unit in NUMBERS.items():
        known = clips[name].notna().to_numpy()
        facts.append(_number(name, unit, clips[name].to_numpy(float)[known], label[known],
                             people[known], bound=bound))  # fmt: skip
    for name in CATEGORIES:
        known = (clips[name] != "").to_numpy()
        facts.append(_category(name, clips[name].to_numpy()[known], label[known], people[known],
                               bound=bound))  # fmt: skip
    for name, known in _partly_known(clips):
        facts.append(_recorded(name, known, label, people, bound=bound))
    return tuple(facts)


def _clips(table: pd.DataFrame) -> pd.DataFrame:
    """Return one row a labelled clip: facts about a file are the same in all its rows."""
    clips = table[table["label"].isin([0, 1])].drop_duplicates(CLIP).reset_index(drop=True)
    person = clips["target_identity"].where(clips["target_identity"] != "", clips["pair"])
    person = person.where(person != "", clips["video"])
    size = clips["source_width"].astype(str) + " x " + clips["source_height"].astype(str)
    sized = (clips["source_width"] > 0) & (clips["source_height"] > 0)
    stated = [name for name in NUMBERS if name in clips]
    numbers = clips[stated].astype(float)
    numbers = numbers.where((numbers >= 0) & np.isfinite(numbers))  # nothing else can be stated
    seconds = numbers["source_duration"].where(numbers["source_duration"] > SHORTEST)
    return clips.assign(
        **{name: numbers[name] for name in stated},
        person=clips["dataset"].astype(str) + "/" + person.astype(str),
        frame_size=size.where(sized, ""),
        bit_rate=8 * numbers["source_bytes"] / seconds,
    )


def _number(
    fact: str, unit: str, values: Floats, label: Labels, people: NDArray[np.object_], *,
    bound: float,
) -> Leak:  # fmt: skip
    if (reason := _why_not(label)) is not None:
        return _without(fact, "number", label, reason)
    value = auroc(label, values)
    value = max(value, 1 - value)
    tenths = _tenths(values)
    by_tenth = _cross_validated(tenths, label, people)
    if by_tenth is not None and by_tenth > value:
        tenth, shares = _most_telling(tenths, label)
        within = values[tenths == tenth]
        ends = f"{within.min():,.6g} to {within.max():,.6g}{f' {unit}' * bool(unit)}"
        return _leak(fact, "number", by_tenth, label, people, f"{ends}: {shares}", bound=bound)
    middle = [f"{np.median(values[label == c]):,.6g}{f' {unit}' * bool(unit)}" for c in (0, 1)]
    tells = f"median {middle[0]} of reals, {middle[1]} of fakes"
    if len(set(values.tolist())) == 1:
        tells = f"{middle[0]} in all"
    return _leak(fact, "number", value, label, people, tells, bound=bound)


def _tenths(values: Floats) -> NDArray[np.object_]:
    """Return in which tenth of all clips each number lies (N,), as texts; equal ones in one."""
    ends = np.unique(np.quantile(values, np.linspace(0.1, 0.9, 9), method="nearest"))
    return np.searchsorted(ends, values, side="right").astype(str).astype(object)


def _category(
    fact: str, values: NDArray[np.object_], label: Labels, people: NDArray[np.object_], *,
    bound: float,
) -> Leak:  # fmt: skip
    if (reason := _why_not(label)) is not None:
        return _without(fact, "category", label, reason)
    value = _cross_validated(values, label, people)
    if value is None:
        return _without(fact, "category", label, "a class has fewer than two people")
    most, shares = _most_telling(values, label)
    tells = f"{most}: {shares}"
    if len(set(values.tolist())) == 1:
        tells = f"{most} in all"
    return _leak(fact, "category", value, label, people, tells, bound=bound)


def _most_telling(values: NDArray[np.object_], label: Labels) -> tuple[str, str]:
    """Return the category whose share differs most between the classes, and its shares in words."""
    names, codes = np.unique(values.astype(str), return_inverse=True)
    shares = [np.bincount(codes[label == c], minlength=len(names)) / (label == c).sum()
              for c in (0, 1)]  # fmt: skip
    most = int(np.abs(shares[1] - shares[0]).argmax())
    return names[most], f"{shares[0][most]:.0%} of reals, {shares[1][most]:.0%} of fakes"


def _recorded(
    fact: str, known: NDArray[np.bool_], label: Labels, people: NDArray[np.object_], *, bound: float
) -> Leak:
    if (reason := _why_not(label)) is not None:
        return _without(fact, "recorded", label, reason)
    value = auroc(label, known.astype(float))
    share = [known[label == c].mean() for c in (0, 1)]
    tells = f"known of {share[0]:.0%} of reals, {share[1]:.0%} of fakes"
    return _leak(fact, "recorded", max(value, 1 - value), label, people, tells, bound=bound)


def _partly_known(clips: pd.DataFrame) -> Iterator[tuple[str, NDArray[np.bool_]]]:
    """Yield columns that are known of some clips, those of the same clips together."""
    together: dict[bytes, list[str]] = {}
    for name in [n for n in clips.columns if n.startswith("source_")]:
        values = clips[name]
        known = (values != "").to_numpy() & values.notna().to_numpy()
        if known.any() and not known.all():
            together.setdefault(known.tobytes(), []).append(name)
    for pattern, names in together.items():
        yield ", ".join(names), np.frombuffer(pattern, dtype=bool)


def _why_not(label: Labels) -> str | None:
    if not len(label):
        return "not recorded"
    classes = [name for c, name in enumerate(("real", "fake")) if not (label == c).any()]
    return f"of no {classes[0]} clip it is recorded" if classes else None


def _without(fact: str, kind: Literal["number", "category", "recorded"], label: Labels,
             reason: str) -> Leak:  # fmt: skip
    fake = int(label.sum())
    return Leak(
        fact=fact, kind=kind, auroc=None, low=None, high=None, real=len(label) - fake, fake=fake,
        people=0.0, tells=f"not estimable: {reason}",
    )  # fmt: skip


def _leak(
    fact: str, kind: Literal["number", "category", "recorded"], value: float, label: Labels,
    people: NDArray[np.object_], tells: str, *, bound: float,
) -> Leak:  # fmt: skip
    n = min(independent(people[label == c].astype(str)) for c in (0, 1))
    low, high = interval(value, n)
    fake = int(label.sum())
    return Leak(
        fact=fact, kind=kind, auroc=value, low=low, high=high, real=len(label) - fake, fake=fake,
        people=n, tells=tells, flagged=low > bound,
    )  # fmt: skip


def interval(value: float, n: float, *, level: float = LEVEL) -> tuple[float, float]:
    """Return the Clopper-Pearson interval of a share among n independent ones."""
    from scipy.stats import beta

    tail, hits = (1 - level) / 2, value * n
    low = 0.0 if hits <= 0 else float(beta.ppf(tail, hits, n - hits + 1))
    high = 1.0 if hits >= n else float(beta.ppf(1 - tail, hits + 1, n - hits))
    return low, high


def _cross_validated(
    values: NDArray[np.object_], label: Labels, people: NDArray[np.object_]
) -> float | None:
    """Return how well a category tells fake from real among people it was not learned from.

    By the share of the category in either class, so that how many of each there are is no matter.
    Clips are compared within a fold alone: from fold to fold a category's score differs a little,
    and always so that it speaks against the class of which that fold has more. None if a class has
    fewer than two people.
    """
    from sklearn.model_selection import StratifiedGroupKFold
    from sklearn.naive_bayes import CategoricalNB

    folds = min(_FOLDS, *(len(set(people[label == c].tolist())) for c in (0, 1)))
    if folds < 2:
        return None
    numbers, names = pd.factorize(values)
    codes = numbers.reshape(-1, 1)
    told, pairs = 0.0, 0
    for fit, held in StratifiedGroupKFold(folds).split(codes, label, people):
        if min(len(set(label[rows].tolist())) for rows in (fit, held)) < 2:
            continue
        model = CategoricalNB(fit_prior=False, min_categories=len(names))
        scores = model.fit(codes[fit], label[fit]).predict_proba(codes[held])[:, 1]
        weight = int(label[held].sum()) * int((1 - label[held]).sum())
        told, pairs = told + weight * auroc(label[held], scores), pairs + weight
    return told / pairs if pairs else None
