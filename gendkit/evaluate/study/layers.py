"""How many layer norms must be tuned: none, the last one, a quarter, a half, all."""

from __future__ import annotations

import pandas as pd
import xarray as xr

from gendkit.evaluate.study.cells import Cell, by_clip
from gendkit.evaluate.study.measured import Clips, over_families
from gendkit.evaluate.study.setting import Setting
from gendkit.evaluate.study.study import Said, Study, about, triple
from gendkit.evaluate.study.words import compared, estimate, limits
from gendkit.measure.intervals import BOUND, Counts, Floats
from gendkit.model.backbone import build_backbone
from gendkit.model.tuning import norm_layers, norm_types
from gendkit.plugin.manager import plugins
from gendkit.train.recipe import Recipe


def depth(recipe: Recipe) -> int:
    """Return how many layer norms of a recipe's backbone can be tuned."""
    spec = plugins().spec("backbone", recipe.backbone)
    backbone = build_backbone(spec, image_size=recipe.image_size, pretrained=False)
    layers = norm_layers(backbone, norm_types(spec.norm_classes))
    return sum(bool(list(layer.parameters(recurse=False))) for _, layer in layers)


def steps(count: int) -> list[int]:
    """Return 0, 1, a quarter, a half and all of so many."""
    return sorted({0, 1, max(1, round(count / 4)), max(1, round(count / 2)), count})


def cells(setting: Setting) -> list[Cell]:
    """Return a cell for each number of the last layer norms and seed."""
    return [
        Cell(
            at={"norms": number, "seed": seed},
            recipe=Recipe.of(setting.recipe, seed=seed, tuned_norms=number),
            train=setting.learned,
            probe=number == 0,
        )
        for number in steps(depth(setting.recipe))
        for seed in setting.seeds
    ]


def analyse(margins: xr.Dataset, setting: Setting) -> xr.Dataset:
    """Return AUROCs by number of tuned layer norms, and their gain over none."""
    families, chosen = setting.asked, setting.meant
    clips = Clips(by_clip(margins), families)

    def statistic(counts: Counts) -> dict[str, Floats]:
        auroc = clips.by_family(counts)
        mean = over_families(auroc, counts, chosen)
        return {"auroc": auroc, "mean_auroc": mean, "gain": mean - mean[0], "less": mean - mean[-1]}

    found = clips.estimated(statistic, chosen, means=("mean_auroc", "gain", "less"))
    norms = margins["norms"].to_numpy()
    return xr.Dataset(
        {
            "auroc": (("norms", "family", "bound"), found["auroc"]),
            "mean_auroc": (("norms", "bound"), found["mean_auroc"]),
            "gain": (("norms", "bound"), found["gain"]),
            "less": (("norms", "bound"), found["less"]),
        },
        coords={
            "norms": norms,
            "share": ("norms", norms / norms.max()),
            "family": list(families),
            "meant": ("family", chosen),
            "bound": list(BOUND),
        },
        attrs={"components": clips.components, "clips": len(clips.label)},
    )


def tables(ds: xr.Dataset) -> dict[str, pd.DataFrame]:
    """Return means and gains by number of tuned layer norms, and AUROCs by family."""
    names = pd.Index([names_of(int(n), ds) for n in ds["norms"].to_numpy()], name="tuned")
    columns = {
        **triple("mean AUROC", ds["mean_auroc"]),
        **triple("gain over none", ds["gain"]),
        **triple("difference from all", ds["less"]),
    }
    families: dict[str, Floats] = {}
    for i, family in enumerate(ds["family"].to_numpy()):
        families |= triple(str(family), ds["auroc"][:, i])
    return {
        "Mean AUROC of clips over the families, with 95 % intervals": pd.DataFrame(columns, names),
        "AUROC of clips by family": pd.DataFrame(families, names),
    }


def names_of(number: int, ds: xr.Dataset) -> str:
    """Return `the last 6 of 25`."""
    most = int(ds["norms"].max())
    if number == most:
        return f"all {most}"
    return f"the last {number} of {most}" if number else "none (probe)"


def says(ds: xr.Dataset) -> Said:
    """Say what tuning all is worth, and from which number on no difference is seen."""
    norms = [int(n) for n in ds["norms"].to_numpy()]
    gain, less, mean = (ds[n].to_numpy() for n in ("gain", "less", "mean_auroc"))
    alike = [n for n, b in zip(norms, less, strict=True) if not b[2] < 0 and n < norms[-1]]
    answer = compared("Tuning all layer norms", "the frozen probe", gain[-1])
    if alike and alike[0]:
        answer += (
            f" Already {names_of(alike[0], ds)} cannot be told apart from all: "
            f"{estimate(less[norms.index(alike[0])], sign=True)}."
        )
    shows = [
        f"With {names_of(n, ds)} tuned the mean AUROC is {estimate(mean[i])}."
        for i, n in enumerate(norms)
    ]
    return Said(
        answer=answer,
        shows=tuple(shows),
        not_shown=(
            *limits(ds, about(ds), families=int(ds["meant"].sum())),
            "That two are not told apart does not say that they are equal. The learning rate is "
            "that of the recipe, chosen with all layer norms tuned; with few of them another may "
            "be better.",
        ),
    )


LAYERS = Study(
    name="layers",
    title="How many layer norms must be tuned",
    question="How many of the last layer norms must be tuned?",
    learns="Each cell learns from all of it; only how many layer norms are tuned differs.",
    cells=cells,
    analyse=analyse,
    says=says,
    tables=tables,
    changes={"tuning": "layer-norms"},
    owns=("tuning", "tuned_norms"),
)
