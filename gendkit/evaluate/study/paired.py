"""Whether fakes should be learned from together with the very videos that they were made of."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from gendkit.data.manifest import Manifest
from gendkit.data.subsets import distinct, k_frames, paired, unpaired
from gendkit.errors import InvalidArgument
from gendkit.evaluate.study.cells import Cell, Rows, by_clip
from gendkit.evaluate.study.measured import Clips, over_families
from gendkit.evaluate.study.setting import Setting
from gendkit.evaluate.study.study import Said, Study, about, triple
from gendkit.evaluate.study.words import compared, counted, estimate, limits, listed
from gendkit.measure.intervals import BOUND, Counts, Floats
from gendkit.train.recipe import Recipe

KINDS = ("paired", "unpaired")
ALL = "people in all"
_DRAW: dict[str, Callable[..., Manifest]] = {"paired": paired, "unpaired": unpaired}


def drawn(setting: Setting, *, seed: int) -> dict[str, Manifest]:
    """Return both sets of training crops of a seed: the same fakes, and as many reals.

    Raises
    ------
    InvalidArgument
        If there are not as many clips as were asked for.
    """
    options = setting.options
    pool = setting.manifest.where(setting.learned)
    if options["frames"] is not None:
        pool = k_frames(pool, options["frames"], seed=seed, fewer="drop")
    clips = options["clips"] or largest(pool, fakes=options["fakes"], seed=seed)
    return {
        kind: draw(pool, clips=clips, fakes=options["fakes"], seed=seed)
        for kind, draw in _DRAW.items()
    }


def largest(pool: Manifest, *, fakes: int, seed: int) -> int:
    """Return with how many real clips both sets can be drawn.

    Raises
    ------
    InvalidArgument
        If not even with one.
    """
    reals = pool.table[pool.table["label"] == 0][["dataset", "video"]].drop_duplicates()
    for clips in range(len(reals) // 2, 0, -1):
        try:
            unpaired(pool, clips=clips, fakes=fakes, seed=seed)
            paired(pool, clips=clips, fakes=fakes, seed=seed)
        except InvalidArgument:
            continue
        return clips
    raise InvalidArgument(
        f"the training split has not a single real clip with {counted(fakes, 'fake')} of it and "
        "another real clip; the column `pair` says which fake was made of which."
    )


def cells(setting: Setting) -> list[Cell]:
    """Return a cell for each kind and seed; each seed draws its own clips."""
    sets = {seed: drawn(_with_clips(setting), seed=seed) for seed in setting.seeds}
    return [
        Cell(
            at={"kind": kind, "seed": seed},
            recipe=Recipe.of(setting.recipe, seed=seed),
            train=_rows(setting, sets[seed][kind]),
        )
        for kind in KINDS
        for seed in setting.seeds
    ]


def analyse(margins: xr.Dataset, setting: Setting) -> xr.Dataset:
    """Return AUROCs of both kinds and the difference, paired by seed, person and family."""
    families, chosen = setting.asked, setting.meant
    clips = Clips(by_clip(margins), families)

    def statistic(counts: Counts) -> dict[str, Floats]:
        auroc = clips.by_family(counts)
        auroc = np.concatenate([auroc, auroc[:1] - auroc[1:]])
        return {"auroc": auroc, "mean_auroc": over_families(auroc, counts, chosen)}

    found = clips.estimated(statistic, chosen, means=("mean_auroc",))
    ones = {name: np.ones(n, np.int64) for name, n in clips.sizes(chosen).items()}
    whole = _with_clips(setting)
    counts = [
        {kind: _counts(one) for kind, one in drawn(whole, seed=seed).items()}
        for seed in setting.seeds
    ]
    return xr.Dataset(
        {
            "auroc": (("compared", "family", "bound"), found["auroc"]),
            "mean_auroc": (("compared", "bound"), found["mean_auroc"]),
            "seed_auroc": (("kind", "seed", "family"), clips.auroc(ones)),
            "crops": (("kind", "seed"), [[c[k]["crops"] for c in counts] for k in KINDS]),
        },
        coords={
            "compared": [*KINDS, "difference"],
            "kind": list(KINDS),
            "family": list(families),
            "meant": ("family", chosen),
            "seed": list(setting.seeds),
            "bound": list(BOUND),
        },
        attrs={
            "components": clips.components,
            "clips": len(clips.label),
            "drawn": json.dumps(counts[0]),
        },
    )


def tables(ds: xr.Dataset) -> dict[str, pd.DataFrame]:
    """Return AUROCs by family and their mean, of both kinds, and what they were drawn from."""
    families, meant = ds["family"].to_numpy().astype(str), ds["meant"].to_numpy()
    mean = "mean" if meant.all() else f"mean of {listed(families[meant].tolist())}"
    names = [*families.tolist(), mean]
    columns: dict[str, Any] = {}
    for i, kind in enumerate(ds["compared"].to_numpy()):
        columns |= triple(str(kind), np.concatenate([ds["auroc"][i], ds["mean_auroc"][[i]]]))
    about_sets = pd.DataFrame(json.loads(ds.attrs["drawn"])).T
    return {
        "AUROC of clips by family, with 95 % intervals": pd.DataFrame(
            columns, pd.Index(names, name="family")
        ),
        "What was learned from, at the first seed": about_sets.rename_axis("set"),
    }


def says(ds: xr.Dataset) -> Said:
    """Say whether pairs helped, and what was equal in both sets."""
    difference = ds["mean_auroc"].sel(compared="difference").to_numpy()
    where = "" if ds["meant"].all() else "On families that were left out, "
    answer = where + compared(
        "training on pairs" if where else "Training on pairs", "training on unpaired clips",
        difference,
    )  # fmt: skip
    sets = json.loads(ds.attrs["drawn"])
    one, other = sets["paired"], sets["unpaired"]
    same = ", ".join(f"{one[k]:,} {k}" for k in one if one[k] == other[k])
    crops = ds["crops"].to_numpy()
    shows = [
        f"Both sets have the same fakes and as many reals: {same}.",
        *(
            f"Of {kind} clips the mean AUROC is "
            f"{estimate(ds['mean_auroc'].sel(compared=kind).to_numpy())}."
            for kind in KINDS
        ),
    ]
    made = about(ds)
    not_shown = limits(ds, made, families=int(ds["meant"].sum()))
    if one[ALL] != other[ALL]:
        not_shown.append(
            f"The paired set shows {one[ALL]:,} people in all and the unpaired one "
            f"{other[ALL]:,}, since its reals and fakes are of different ones: a pair costs "
            "variety, and the difference has both in it."
        )
    if not made["options"]["clips"]:
        not_shown.append(
            "The sets are as large as both kinds allow, and an unpaired one needs as many real "
            "clips again beside the sources of its fakes: what more data would give is not shown."
        )
    if (crops[0] != crops[1]).any():
        not_shown.append(
            f"The numbers of crops differ, {crops[0].mean():,.0f} and {crops[1].mean():,.0f} in "
            "the mean, since clips have different numbers of frames; --frames makes them equal."
        )
    return Said(answer=answer, shows=tuple(shows), not_shown=tuple(not_shown))


def _with_clips(setting: Setting) -> Setting:
    """Return the setting with one number of clips for all seeds."""
    options = dict(setting.options)
    if options["clips"]:
        return setting
    pool = setting.manifest.where(setting.learned)
    if options["frames"] is not None:
        pool = k_frames(pool, options["frames"], fewer="drop")
    most = [largest(pool, fakes=options["fakes"], seed=seed) for seed in setting.seeds]
    return replace(setting, options={**options, "clips": min(most)})


def _rows(setting: Setting, subset: Manifest) -> Rows:
    rows: Rows = setting.manifest.table["sample"].isin(subset.table["sample"]).to_numpy()
    return rows


def _counts(subset: Manifest) -> dict[str, int]:
    table = distinct(subset).to_dict("index")
    names = {"clips": "clips", "people": "people", "frames": "crops"}
    counts = {
        f"{kind} {word}": int(table[kind][column])
        for kind in ("real", "fake")
        for column, word in names.items()
    }
    people = [int(table[name]["people"]) for name in ("real", "fake", "both")]
    shared = {
        "sources that both classes have": int(table["both"]["sources"]),
        ALL: people[0] + people[1] - people[2],
    }
    return {**counts, **shared, "crops": len(subset)}


PAIRED = Study(
    name="paired",
    title="Pairs of real and fake",
    question="Does it help to train on fakes together with the videos that they were made of?",
    learns="Each cell learns from a part that is drawn anew for each seed; the tables say what of.",
    cells=cells,
    analyse=analyse,
    says=says,
    tables=tables,
    options={"clips": None, "fakes": 1, "frames": None},
    changes={"sphere": False, "losses": {"cross-entropy": 1.0}, "batches": "shuffled"},
)
