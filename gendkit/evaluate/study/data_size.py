"""How much training data it takes: nested parts of the people, probe and tuned detector alike."""

from __future__ import annotations

import hashlib

import numpy as np
import pandas as pd
import xarray as xr

from gendkit.errors import InvalidArgument
from gendkit.evaluate.study.cells import Cell, Rows, by_clip
from gendkit.evaluate.study.left_out import DETECTORS, PROBE
from gendkit.evaluate.study.measured import Clips, over_families
from gendkit.evaluate.study.setting import Setting, people_of
from gendkit.evaluate.study.study import Said, Study, about, triple
from gendkit.evaluate.study.words import compared, counted, estimate, limits, verdict
from gendkit.measure.intervals import BOUND, Counts, Floats
from gendkit.train.recipe import Recipe

FRACTIONS = (0.125, 0.25, 0.5, 1.0)


def nested(setting: Setting, *, seed: int) -> dict[float, Rows]:
    """Return the training rows of each fraction; a smaller one is part of a larger one.

    Connected components are taken in a drawn order, none is cut, and a fraction ends where the
    number of people is nearest to it; the smallest has at least one component of both classes.
    """
    table, rows = setting.manifest.table, setting.learned
    component = setting.manifest.components()
    people = people_of(setting.manifest.table)
    first = table["sample"][rows].groupby(component[rows]).min()
    order = sorted(first.index, key=lambda number: _key(seed, first[number]))
    whose = pd.Series(people[rows]).groupby(component[rows]).unique()
    seen: set[str] = set()
    so_many = [0]
    for number in order:
        seen.update(whose[number].tolist())
        so_many.append(len(seen))
    counts = np.asarray(so_many)
    chosen = {}
    for fraction in setting.options["fractions"]:
        take = max(1, int(np.abs(counts - fraction * counts[-1]).argmin()))
        while len({*table["label"][rows & np.isin(component, order[:take])]}) < 2:
            take += 1
        chosen[float(fraction)] = rows & np.isin(component, order[:take])
    return chosen


def cells(setting: Setting) -> list[Cell]:
    """Return a cell for each fraction, seed and detector."""
    fractions = setting.options["fractions"]
    if not fractions or any(not 0 < f <= 1 for f in fractions):
        raise InvalidArgument(f"the fractions are {list(fractions)}; give some above 0, at most 1.")
    parts = {seed: nested(setting, seed=seed) for seed in setting.seeds}
    return [
        Cell(
            at={"detector": detector, "fraction": float(fraction), "seed": seed},
            recipe=Recipe.of(setting.recipe, seed=seed),
            train=parts[seed][float(fraction)],
            probe=detector == PROBE,
        )
        for detector in DETECTORS
        for fraction in sorted(fractions)
        for seed in setting.seeds
    ]


def analyse(margins: xr.Dataset, setting: Setting) -> xr.Dataset:
    """Return AUROCs by detector and fraction, the gain of tuning, and that of all data."""
    families, chosen = setting.asked, setting.meant
    clips = Clips(by_clip(margins), families)

    def statistic(counts: Counts) -> dict[str, Floats]:
        auroc = clips.by_family(counts)
        mean = over_families(auroc, counts, chosen)  # (detector, fraction)
        return {
            "auroc": auroc, "mean_auroc": mean, "gain": mean[1] - mean[0],
            "growth": mean - mean[:, :1],
        }  # fmt: skip

    found = clips.estimated(statistic, chosen, means=("mean_auroc", "gain", "growth"))
    fractions = margins["fraction"].to_numpy()
    people = people_of(setting.manifest.table)
    parts = [nested(setting, seed=seed) for seed in setting.seeds]
    sizes = np.asarray([[len(set(people[p[f]].tolist())) for p in parts] for f in fractions])
    crops = np.asarray([[int(p[f].sum()) for p in parts] for f in fractions])
    return xr.Dataset(
        {
            "auroc": (("detector", "fraction", "family", "bound"), found["auroc"]),
            "mean_auroc": (("detector", "fraction", "bound"), found["mean_auroc"]),
            "gain": (("fraction", "bound"), found["gain"]),
            "growth": (("detector", "fraction", "bound"), found["growth"]),
            "people": (("fraction", "seed"), sizes),
            "crops": (("fraction", "seed"), crops),
        },
        coords={
            "detector": list(DETECTORS),
            "fraction": fractions,
            "family": list(families),
            "meant": ("family", chosen),
            "seed": list(setting.seeds),
            "bound": list(BOUND),
        },
        attrs={"components": clips.components, "clips": len(clips.label)},
    )


def tables(ds: xr.Dataset) -> dict[str, pd.DataFrame]:
    """Return means and gains by size of the training data."""
    names = pd.Index([f"{f:g}" for f in ds["fraction"].to_numpy()], name="fraction")
    columns = {
        "people, mean over seeds": ds["people"].mean("seed").to_numpy().round(1),
        "crops, mean over seeds": ds["crops"].mean("seed").to_numpy().round(1),
    }
    for detector in DETECTORS:
        columns |= triple(f"mean AUROC, {detector}", ds["mean_auroc"].sel(detector=detector))
    columns |= triple("gain of tuning", ds["gain"])
    return {
        "Mean AUROC of clips over the families, with 95 % intervals": pd.DataFrame(columns, names)
    }


def says(ds: xr.Dataset) -> Said:
    """Say what tuning gains with the fewest and with all people, and what more people give."""
    fractions = ds["fraction"].to_numpy()
    people = ds["people"].mean("seed").to_numpy()
    gain = ds["gain"].to_numpy()
    most = f"{people[-1]:.0f} people to learn from"
    answer = compared(f"With {most}, the tuned detector", "the frozen probe", gain[-1])
    shows = [
        f"With {people[i]:.0f} people ({fraction:g} of all), tuning differs from the probe by "
        f"{estimate(gain[i], sign=True)}" + _unclear(gain[i])
        for i, fraction in enumerate(fractions)
    ]
    for detector in DETECTORS:
        growth = ds["growth"].sel(detector=detector).to_numpy()[-1]
        shows.append(
            f"From {people[0]:.0f} to {people[-1]:.0f} people the mean AUROC of the {detector} one "
            f"moves by {estimate(growth, sign=True)}" + _unclear(growth)
        )
    not_shown = [
        *limits(ds, about(ds), families=int(ds["meant"].sum())),
        "What still more people would give is not shown: no line is drawn beyond the last point.",
        "A smaller part has the same number of epochs, so fewer steps; some of what it lacks may "
        "be training and not data.",
    ]
    if len(ds["seed"]) > 1:
        not_shown.append(
            "Each seed draws its own people, but at fraction 1 all seeds have the same: there the "
            f"{counted(len(ds['seed']), 'seed')} differ in training alone."
        )
    return Said(answer=answer, shows=tuple(shows), not_shown=tuple(not_shown))


def _unclear(bound: Floats) -> str:
    return ", which is not told apart from 0." if verdict(bound) == "unclear" else "."


def _key(seed: int, name: str) -> str:
    return hashlib.sha256(f"{seed}\0{name}".encode()).hexdigest()


DATA_SIZE = Study(
    name="data-size",
    title="How much training data it takes",
    question="How do the frozen probe and the tuned detector grow with the people in training?",
    learns="Each cell learns from a part of the people, all their clips with them.",
    cells=cells,
    analyse=analyse,
    says=says,
    tables=tables,
    options={"fractions": list(FRACTIONS)},
)
