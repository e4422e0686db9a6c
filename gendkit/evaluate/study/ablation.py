"""The ablation: what each part of the method is worth on one set of training crops."""

from __future__ import annotations

import json
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from gendkit.errors import InvalidArgument
from gendkit.evaluate.study.cells import Cell, by_clip
from gendkit.evaluate.study.measured import Clips, over_families
from gendkit.evaluate.study.setting import Setting
from gendkit.evaluate.study.study import Said, Study, about, triple
from gendkit.evaluate.study.words import compared, estimate, limits, listed, verdict
from gendkit.measure.intervals import BOUND, Counts, Floats
from gendkit.optional import require
from gendkit.train.recipe import Recipe

PROBE = "probe"
BASES: MappingProxyType[str, str] = MappingProxyType(
    {
        PROBE: "",
        "LN": PROBE,
        "LN+L2": "LN",
        "LN+L2+UnAl": "LN+L2",
        "no augmentation": "LN+L2",
        "full": "LN+L2",
        "LoRA": "LN+L2",
        "bitfit": "LN+L2",
    }
)
"""The variants, each with the one that it is built on.

Among those that are trained they differ in one thing, rates apart where other weights are tuned;
LN differs from the probe in all that training is: steps, augmentation and features as they are.
"""
WORDS: MappingProxyType[str, str] = MappingProxyType(
    {
        PROBE: "the frozen backbone with a logistic regression on its unit features",
        "LN": "tuned layer norms, a linear head on the features as they are",
        "LN+L2": "tuned layer norms, a linear head on the unit sphere",
        "LN+L2+UnAl": "the same with uniformity (0.5) and alignment (0.1) in the loss",
        "no augmentation": "as LN+L2, of crops as they are",
        "full": "as LN+L2, all weights tuned",
        "LoRA": "as LN+L2, low-rank factors tuned in place of layer norms",
        "bitfit": "as LN+L2, all biases tuned in place of layer norms",
    }
)
METRIC_TERMS = {"cross-entropy": 1.0, "uniformity": 0.5, "alignment": 0.1}
SEEN, LEFT_OUT = "learned from", "left out"


def rates(recipe: Recipe) -> dict[str, float]:
    """Return the peak rates of the kinds of tuning that take another than layer norms do.

    A layer norm bears a rate at which other weights diverge. These are choices of ours, not above
    the rates of the presets where the recipe has such; nothing was measured for them.
    """
    rate = recipe.learning_rate
    return {"full": min(rate / 30, 2e-5), "LoRA": min(rate, 1e-3), "bitfit": min(rate, 1e-3)}


def recipes(recipe: Recipe, given: dict[str, float] | None = None) -> dict[str, Recipe]:
    """Return the recipe of each variant.

    Parameters
    ----------
    recipe
        Whose backbone, size, rates, batches, epochs and augmentation they share. Tuning, losses and
        head are the variants' own, whatever it says.
    given
        Peak rates by variant, in place of those of `rates`.
    """
    ours = {**rates(recipe), **(given or {})}
    whole: dict[str, Any] = {"tuning": "layer-norms", "lora": None, "sphere": True}
    whole["losses"] = {"cross-entropy": 1.0}
    other = {"tuned_norms": None}
    changes: dict[str, dict[str, Any]] = {
        PROBE: {},
        "LN": {"sphere": False},
        "LN+L2": {},
        "LN+L2+UnAl": {"losses": METRIC_TERMS},
        "no augmentation": {"augmentation": "none"},
        "full": {"tuning": "full", **other},
        "LoRA": {"tuning": "lora", **other},
        "bitfit": {"tuning": "bitfit", **other},
    }
    made = {}
    for name, change in changes.items():
        rate = ours.get(name, recipe.learning_rate)
        low = min(recipe.min_learning_rate, rate / 10)
        head = recipe.head_learning_rate or recipe.learning_rate
        change = {**change, "learning_rate": rate, "min_learning_rate": low}
        made[name] = Recipe.of(recipe, **{**whole, **change, "head_learning_rate": head})
    return made


def cells(setting: Setting) -> list[Cell]:
    """Return a cell for each variant and seed, all of the same crops."""
    chosen = variants(setting)
    if "LoRA" in chosen:
        require("peft", extra="lora")
    made = recipes(setting.recipe, setting.options["rates"])
    return [
        Cell(
            at={"variant": name, "seed": seed},
            recipe=Recipe.of(made[name], seed=seed),
            train=setting.learned,
            probe=name == PROBE,
        )
        for name in chosen
        for seed in setting.seeds
    ]


def variants(setting: Setting) -> tuple[str, ...]:
    """Return the chosen variants in their order, the probe always among them."""
    asked = setting.options["variants"] or list(BASES)
    wrong = [name for name in (*asked, *setting.options["rates"]) if name not in BASES]
    if wrong:
        raise InvalidArgument(f"no variant is named {wrong[0]!r}; there is {', '.join(BASES)}.")
    return tuple(name for name in BASES if name in asked or name == PROBE)


def analyse(margins: xr.Dataset, setting: Setting) -> xr.Dataset:
    """Return AUROCs by variant, their gain over the probe, and what each part adds."""
    families = setting.asked
    groups = [SEEN, LEFT_OUT] if setting.left_out else [SEEN]
    meant = (setting.families, setting.left_out)[: len(groups)]
    chosen = [np.isin(families, list(of)) for of in meant]
    clips = Clips(by_clip(margins), families)
    names = [str(v) for v in margins["variant"].to_numpy()]
    bases = [names.index(BASES[n]) if BASES[n] in names else -1 for n in names]

    def statistic(counts: Counts) -> dict[str, Floats]:
        auroc = clips.by_family(counts)
        mean = np.stack(
            [over_families(auroc, counts, of, group=g) for g, of in enumerate(chosen)], axis=1
        )
        step = np.asarray([mean[i] - mean[b] if b >= 0 else mean[i] * np.nan
                           for i, b in enumerate(bases)])  # fmt: skip
        return {"auroc": auroc, "mean_auroc": mean, "gain": mean - mean[:1], "step": step}

    found = clips.estimated(statistic, *chosen, means=("mean_auroc", "gain", "step"))
    ones = {name: np.ones(n, np.int64) for name, n in clips.sizes(*chosen).items()}
    return xr.Dataset(
        {
            "auroc": (("variant", "family", "bound"), found["auroc"]),
            "mean_auroc": (("variant", "group", "bound"), found["mean_auroc"]),
            "gain": (("variant", "group", "bound"), found["gain"]),
            "step": (("variant", "group", "bound"), found["step"]),
            "seed_auroc": (("variant", "seed", "family"), clips.auroc(ones)),
        },
        coords={
            "variant": names,
            "family": list(families),
            "group": groups,
            "seed": list(setting.seeds),
            "bound": list(BOUND),
            "base": ("variant", [BASES[name] for name in names]),
            "what": ("variant", [WORDS[name] for name in names]),
            "meant": ("family", chosen[-1]),
        },
        attrs={"components": clips.components, "clips": len(clips.label)},
    )


def says(ds: xr.Dataset) -> Said:
    """Say which parts of the method gained something, on the families that matter most."""
    names = [str(v) for v in ds["variant"].to_numpy()]
    group = str(ds["group"].to_numpy()[-1])
    of = ds.sel(group=group)
    where = f"families that were {group}" if group == LEFT_OUT else "the families learned from"
    mean = of["mean_auroc"].to_numpy()
    best = names[int(np.nanargmax(mean[:, 0]))] if np.isfinite(mean[:, 0]).any() else PROBE
    gains = {n: of["gain"].to_numpy()[i] for i, n in enumerate(names)}
    if best == PROBE:
        answer = (
            f"On {where} no variant has a higher mean AUROC than the frozen probe, "
            f"{estimate(mean[names.index(PROBE)])}."
        )
    else:
        answer = f"On {where}, {best} is highest of {len(names)}; " + compared(
            "it", "the frozen probe", gains[best]
        )
    shows = []
    for i, name in enumerate(names):
        base = str(ds["base"].to_numpy()[i])
        if base in names:
            shows.append(compared(name, base, of["step"].to_numpy()[i]))
        elif name != PROBE:
            shows.append(compared(name, "the frozen probe", gains[name]))
    tied = [n for n in names if n != PROBE and verdict(gains[n]) == "unclear"]
    not_shown = limits(ds, about(ds), families=int(ds["meant"].sum()))
    if tied:
        not_shown.append(f"Whether {listed(tied)} differ from the probe is not decided here.")
    others = json.loads(ds.attrs["rates"])
    if others := {n: r for n, r in others.items() if n in names}:
        rates = ", ".join(f"{n} {r:g}" for n, r in others.items())
        not_shown.append(
            f"The rates of other kinds of tuning ({rates}) were not searched, while that of layer "
            "norms is the recipe's: a better rate may lift them."
        )
    if len(names) > 2:
        not_shown.append(
            f"The highest of {len(names)} variants is also high by chance, which its interval does "
            "not know."
        )
    return Said(answer=answer, shows=tuple(shows), not_shown=tuple(not_shown))


def tables(ds: xr.Dataset) -> dict[str, pd.DataFrame]:
    """Return the variants with their means and gains, and with their AUROC of each family."""
    names = pd.Index([str(v) for v in ds["variant"].to_numpy()], name="variant")
    columns: dict[str, Any] = {}
    for name in ds["group"].to_numpy():
        of, where = ds.sel(group=name), f", {name}" if ds.sizes["group"] > 1 else ""
        columns |= triple(f"mean AUROC{where}", of["mean_auroc"])
        columns |= triple(f"gain over probe{where}", of["gain"])
    columns |= triple("gain over the one it is built on", ds["step"][:, -1])
    columns["built on"] = ds["base"].to_numpy().astype(object)
    families: dict[str, Any] = {}
    for i, family in enumerate(ds["family"].to_numpy()):
        families |= triple(str(family), ds["auroc"][:, i])
    return {
        "Mean AUROC of clips over the families, with 95 % intervals": pd.DataFrame(columns, names),
        "AUROC of clips by family": pd.DataFrame(families, names),
    }


def _analyse(margins: xr.Dataset, setting: Setting) -> xr.Dataset:
    used = {**rates(setting.recipe), **setting.options["rates"]}
    return analyse(margins, setting).assign_attrs(rates=json.dumps(used))


ABLATION = Study(
    name="ablation",
    title="What each part of the method is worth",
    question="Which part of the method gains how much over a frozen probe?",
    learns="Each variant learns from all of it; only how it is trained differs.",
    cells=cells,
    analyse=_analyse,
    says=says,
    tables=tables,
    options={"variants": (), "rates": {}},
    owns=("tuning", "lora", "losses", "sphere"),
)
