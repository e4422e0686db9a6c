"""Which forgeries are hard: train on each group, test on all, and ask whether years matter.

A group is hard where detectors that were trained on the other groups do badly. Whether difficulty
grows with the year is asked of groups, by permuting their years: clips of one group are no
independent evidence about a year.
"""

from __future__ import annotations

import itertools
import math

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from gendkit.evaluate.study.cells import Cell, by_clip
from gendkit.evaluate.study.groups import Group, groups_of
from gendkit.evaluate.study.measured import SEED, over_seeds
from gendkit.evaluate.study.setting import Setting
from gendkit.evaluate.study.study import Said, Study, about, triple
from gendkit.evaluate.study.words import counted, estimate, limits
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
from gendkit.measure.thresholds import threshold_at
from gendkit.train.recipe import Recipe

LEVELS = (0.01, 0.05)
LEAST, MOST_EXACT, DRAWS = 4, 8, 20_000


def cells(setting: Setting) -> list[Cell]:
    """Return a cell for each group that is trained on and seed."""
    return [
        Cell(
            at={"trained": group.name, "seed": seed},
            recipe=Recipe.of(setting.recipe, seed=seed),
            train=group.learned,
        )
        for group in groups_of(setting, by=setting.options["by"])
        for seed in setting.seeds
    ]


def analyse(margins: xr.Dataset, setting: Setting) -> xr.Dataset:
    """Return the AUROC matrix, difficulties, their tie to the year, and transfer of thresholds."""
    groups = groups_of(setting, by=setting.options["by"])
    clips = by_clip(margins)
    rows = [_clips_of(group, clips, setting) for group in groups]
    scores: Floats = clips["score"].transpose("trained", SEED, "clip").to_numpy()
    label = clips["label"].to_numpy()
    ranked = [Ranked(label[r], scores[..., r]) for r in rows]
    found, code = np.unique(clips[COMPONENT].to_numpy(), return_inverse=True)
    years = np.asarray([group.year for group in groups])
    dated = np.isfinite(years)
    thresholds = np.stack(
        [
            np.stack(
                [
                    _threshold(scores[g], rows[g][label[rows[g]] == 0], level)
                    for g in range(len(groups))
                ]
            )
            for level in LEVELS
        ],
        axis=1,
    )  # (trained, level, seed); fmt: skip

    def statistic(counts: Counts) -> dict[str, Floats]:
        weight = counts[COMPONENT][code]
        auroc = np.stack(
            [one.auroc(weight[r]) for r, one in zip(rows, ranked, strict=True)], axis=-1
        )
        auroc = over_seeds(auroc, counts)  # (trained, tested)
        hard = difficulties(auroc)
        rates = {
            name: np.stack(
                [_rate(scores, thresholds, r[label[r] == of], weight, counts) for r in rows], axis=1
            )
            for name, of in (("fpr", 0), ("tpr", 1))
        }
        tau = _tau(hard[dated], years[dated]) if dated.sum() >= LEAST else math.nan
        return {"auroc": auroc, "difficulty": hard, **rates, "tau": np.asarray(tau)}

    rarer = [rarer_components(label[r], code[r]) for r in rows]
    of_class = np.asarray([class_components(label[r], code[r]) for r in rows])  # (tested, class)
    made = estimates(
        statistic, {COMPONENT: len(found), SEED: clips.sizes[SEED]},
        components={
            "auroc": rarer, "difficulty": rarer, "fpr": of_class[:, :1], "tpr": of_class[:, 1:],
        },
    )  # fmt: skip
    names = [group.name for group in groups]
    reals = [set(r[label[r] == 0].tolist()) for r in rows]
    return xr.Dataset(
        {
            "auroc": (("trained", "tested", "bound"), made["auroc"]),
            "difficulty": (("tested", "bound"), made["difficulty"]),
            "fpr": (("trained", "tested", "level", "bound"), made["fpr"]),
            "tpr": (("trained", "tested", "level", "bound"), made["tpr"]),
            "tau": (("bound",), made["tau"]),
            "tau_p": ((), permuted(made["difficulty"][dated, 0], years[dated])),
            "shared_reals": (("trained", "tested"), _shared(reals)),
        },
        coords={
            "trained": names, "tested": names, "year": ("tested", years), "level": list(LEVELS),
            "real": ("tested", [len(r) for r in reals]),
            "fake": ("tested", [int((label[r] == 1).sum()) for r in rows]),
            "bound": list(BOUND),
        },
        attrs={
            "components": len(found), "clips": len(label), "by": setting.options["by"],
            "dated": int(dated.sum()),
        },
    )  # fmt: skip


def difficulties(auroc: Floats) -> Floats:
    """Return 1 - the mean AUROC of each tested group (T,) over those trained on other groups.

    NaN where there is none.

    Parameters
    ----------
    auroc
        (G, G) trained by tested.
    """
    off = np.where(np.eye(len(auroc), dtype=bool), np.nan, auroc)
    known = np.isfinite(off).sum(axis=0)
    return np.asarray(1 - np.nansum(off, axis=0) / np.where(known, known, np.nan))


def permuted(difficulty: Floats, years: Floats, *, seed: int = 0) -> float:
    """Return how likely a tie between difficulty and year at least as strong is by chance.

    Kendall's tau-b of the groups (G,), either way, among all orders of the years, or of 20,000
    drawn ones where there are more than eight groups. NaN below four groups, or if all years or all
    difficulties are equal.
    """
    if len(years) < LEAST:
        return math.nan
    observed = _tau(difficulty, years)
    if not math.isfinite(observed):
        return math.nan
    if len(years) <= MOST_EXACT:
        orders = [np.asarray(order) for order in itertools.permutations(years)]
        taus = np.asarray([_tau(difficulty, order) for order in orders])
        return float((np.abs(taus) >= abs(observed) - 1e-12).mean())
    rng = np.random.default_rng(seed)
    taus = np.asarray([_tau(difficulty, rng.permutation(years)) for _ in range(DRAWS)])
    return float((1 + (np.abs(taus) >= abs(observed) - 1e-12).sum()) / (DRAWS + 1))


def smallest_p(years: Floats) -> float:
    """Return the least that `permuted` can give for groups of such years (G,)."""
    alike = math.prod(math.factorial(int(n)) for n in np.unique(years, return_counts=True)[1])
    return min(1.0, 2 * alike / math.factorial(len(years)))


def _tau(difficulty: Floats, years: Floats) -> float:
    x = np.sign(np.subtract.outer(difficulty, difficulty))
    y = np.sign(np.subtract.outer(years, years))
    both = math.sqrt(float((x**2).sum() * (y**2).sum()))
    return float((x * y).sum() / both) if both else math.nan


def _clips_of(group: Group, clips: xr.Dataset, setting: Setting) -> NDArray[np.int64]:
    unit = ["dataset", "video", "track"]
    table = setting.manifest.table[group.scored]
    wanted = pd.MultiIndex.from_frame(table[unit].drop_duplicates())
    there = pd.MultiIndex.from_arrays([clips[name].to_numpy() for name in unit], names=unit)
    return np.flatnonzero(there.isin(wanted))


def _threshold(scores: Floats, reals: NDArray[np.int64], level: float) -> Floats:
    """Return the threshold of each seed (S,); NaN with fewer than 1 / level reals."""
    if len(reals) * level < 1:
        return np.full(len(scores), np.nan)
    return np.asarray([threshold_at(row[reals], level) for row in scores])


def _rate(
    scores: Floats, thresholds: Floats, rows: NDArray[np.int64], weight: NDArray[np.int64],
    counts: Counts,
) -> Floats:  # fmt: skip
    """Return the share of clips called fake (trained, level), over the seeds that were drawn."""
    limit = np.moveaxis(thresholds, 1, -1)[..., None]  # (trained, seed, level, 1)
    called = (scores[:, :, None, rows] > limit) @ weight[rows]
    total = weight[rows].sum()
    share = np.where(np.isnan(limit[..., 0]), np.nan, called / total if total else np.nan)
    return over_seeds(np.moveaxis(share, 2, 1)[..., None], counts)[..., 0]


def _shared(reals: list[set[int]]) -> Floats:
    """Return which part of the tested group's reals (column) is the trained group's too (row)."""
    return np.asarray([[len(a & b) / len(b) for b in reals] for a in reals])


def tables(ds: xr.Dataset) -> dict[str, pd.DataFrame]:
    """Return difficulties, the matrix, and what thresholds do on other groups."""
    names = pd.Index([str(g) for g in ds["tested"].to_numpy()], name=str(ds.attrs["by"]))
    years = [str(int(y)) if np.isfinite(y) else "" for y in ds["year"].to_numpy()]
    index = np.arange(len(names))
    hard = {
        **triple("difficulty", ds["difficulty"]),
        **triple("AUROC, trained on it", ds["auroc"].to_numpy()[index, index]),
        "year": np.asarray(years, dtype=object),
        "real clips": ds["real"].to_numpy(),
        "fake clips": ds["fake"].to_numpy(),
    }
    made = {
        "Difficulty: 1 − mean AUROC of detectors trained on the others, with 95 % intervals": (
            pd.DataFrame(hard, names)
        )
    }
    trained = pd.Index([str(g) for g in ds["trained"].to_numpy()], name="trained on")
    matrix: dict[str, Floats] = {}
    for i, name in enumerate(names):
        matrix |= triple(name, ds["auroc"].to_numpy()[:, i])
    made["AUROC of clips, trained on the row, tested on the column"] = pd.DataFrame(matrix, trained)
    for level in ds["level"].to_numpy():
        for rate, word in (("fpr", "reals called fake"), ("tpr", "fakes found")):
            values = ds[rate].sel(level=level, bound="value").to_numpy()
            if not np.isfinite(values).any():
                continue
            columns = {str(name): values[:, i] for i, name in enumerate(names)}
            caption = (
                f"Share of {word} in the column, at the threshold of the row’s detector for "
                f"{level:.0%} of the row’s reals"
            )
            made[caption] = pd.DataFrame(columns, trained)
    return made


def says(ds: xr.Dataset) -> Said:
    """Say which group is hardest, whether years matter, and how thresholds carry over."""
    names = [str(g) for g in ds["tested"].to_numpy()]
    hard, by = ds["difficulty"].to_numpy(), ds.attrs["by"]
    worst, best = (int(f(hard[:, 0])) for f in (np.nanargmax, np.nanargmin))
    told = bool(hard[worst, 1] > hard[best, 2])
    answer = (
        f"Of {len(names)} groups by {by}, {names[worst]} is hardest for detectors trained on the "
        f"others, difficulty {estimate(hard[worst])}, and {names[best]} easiest, "
        f"{estimate(hard[best])}"
        f"{'' if told else '; which of the two is harder is not told apart'}."
    )
    shows = [_years(ds)]
    matrix = ds["auroc"].sel(bound="value").to_numpy()
    own, others = np.diag(matrix).mean(), matrix[~np.eye(len(names), dtype=bool)].mean()
    shows.append(
        f"Tested on what it was trained on, a detector has a mean AUROC of {own:.3f}; on the "
        f"others, {others:.3f}."
    )
    shows += [_transfer(ds, level, names) for level in ds["level"].to_numpy()]
    not_shown = [
        *limits(ds, about(ds)),
        "Difficulty is that of this detector under this training; it is no property of a forgery "
        "alone, and groups differ in more than their generator.",
    ]
    if not told:
        not_shown.append(
            "The intervals of the hardest and the easiest group do not lie apart: that "
            f"{names[worst]} is harder than {names[best]} is not decided here."
        )
    if _same_reals(ds):
        not_shown.append(
            "All groups have the same reals. The rate of reals called fake at a threshold is then "
            "the same on every group and no test of transfer: only the share of fakes found is. "
            "Other reals would shift it."
        )
    return Said(answer=answer, shows=tuple(shows), not_shown=tuple(not_shown))


def _years(ds: xr.Dataset) -> str:
    dated, p, tau = int(ds.attrs["dated"]), float(ds["tau_p"]), ds["tau"].to_numpy()
    if not math.isfinite(p):
        why = (
            f"{counted(dated, 'group')} with a year, and it takes {LEAST}"
            if dated < LEAST
            else "all years are the same"
        )
        return f"Whether difficulty grows with the year is not estimable: {why}."
    kind = "no tie is seen" if p > 0.05 else "a tie is seen"
    years = ds["year"].to_numpy()
    least = smallest_p(years[np.isfinite(years)])
    blind = (
        f" So few groups could not show one: whatever their order, p is at least {least:.3f}."
        if least > 0.05
        else ""
    )
    return (
        f"Between difficulty and year {kind}: Kendall’s τ {estimate(tau, sign=True)}, p = {p:.3f} "
        f"by permuting the years of {dated} groups.{blind} Nothing is said of years to come."
    )


def _transfer(ds: xr.Dataset, level: float, names: list[str]) -> str:
    of = ds.sel(level=level, bound="value")
    fpr, tpr = of["fpr"].to_numpy(), of["tpr"].to_numpy()
    off = ~np.eye(len(names), dtype=bool)
    if not np.isfinite(fpr).any():
        least = math.ceil(1 / level)
        return (
            f"A threshold for {level:.0%} of the reals is not estimable: it takes {least} real "
            f"clips of a group, and the largest has {int(ds['real'].max())}."
        )
    a, b = np.unravel_index(np.nanargmax(np.where(off, fpr, np.nan)), fpr.shape)
    c, d = np.unravel_index(np.nanargmin(np.where(off, tpr, np.nan)), tpr.shape)
    calls = f"calls {fpr[a, b]:.1%} of other reals fake ({names[a]} on {names[b]}), and "
    if _same_reals(ds):
        calls = ""
    return (
        f"At the threshold for {level:.0%} of the reals that it was fixed on, the worst pair "
        f"{calls}finds {tpr[c, d]:.1%} of other fakes ({names[c]} on {names[d]})."
    )


def _same_reals(ds: xr.Dataset) -> bool:
    return bool(np.allclose(ds["shared_reals"].to_numpy(), 1))


DIFFICULTY = Study(
    name="difficulty",
    title="Which forgeries are hard",
    question="Which forgeries are hard to find for who has not learned from them, and does it grow "
    "with the year?",
    learns="Each cell learns from one group: its fakes, and the reals of the same people.",
    cells=cells,
    analyse=analyse,
    says=says,
    tables=tables,
    options={"by": "dataset"},
)
