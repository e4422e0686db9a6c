"""Leave one family out, as a study: what `left_out` measures, in words and tables."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from gendkit.evaluate.study.left_out import (
    DETECTORS,
    GAIN,
    MAX_FPR,
    left_out_cells,
    left_out_result,
    left_out_rows,
)
from gendkit.evaluate.study.setting import DEVELOPMENT, Setting
from gendkit.evaluate.study.study import Said, Study, about, triple
from gendkit.evaluate.study.words import compared, counted, estimate, limits, listed, verdict

GOOD = 0.02
"""The rise in false alarms on a negative control that is still good."""


def analyse(margins: xr.Dataset, setting: Setting) -> xr.Dataset:
    """Return what the margins say; see `left_out_result`."""
    ds = left_out_result(margins, on=setting.on, max_fpr=float(setting.options["max_fpr"]))
    here = ds["split"].to_numpy() == setting.on
    components = len(np.unique(ds["component"].to_numpy()[here]))
    return ds.assign_attrs(components=components)


def tables(ds: xr.Dataset) -> dict[str, pd.DataFrame]:
    """Return AUROC and share of fakes found by family, and the rises of the negative controls."""
    names = [str(f) for f in ds["left_out"].to_numpy()]
    auroc: dict[str, Any] = {}
    found: dict[str, Any] = {}
    for name in (*DETECTORS, GAIN):
        of = ds.sel(compared=name)
        both = np.concatenate([of["family_auroc"], of["mean_auroc"].to_numpy()[None]])
        auroc |= triple(name, both)
        found |= triple(name, of["family_tpr"])
    made = {
        "AUROC of clips of a family that was left out, with 95 % intervals": pd.DataFrame(
            auroc, pd.Index([*names, "mean"], name="left out")
        ),
        f"Share of its fakes found where {ds.attrs['max_fpr']:.0%} of development reals are "
        "called fake": pd.DataFrame(found, pd.Index(names, name="left out")),
    }
    if "control_rise" in ds:
        rises: dict[str, Any] = {}
        for name in (*DETECTORS, GAIN):
            of = ds.sel(compared=name)
            both = np.concatenate([of["control_rise"], of["mean_control_rise"].to_numpy()[None]])
            rises |= triple(name, both)
        rows = [*(str(c) for c in ds["control"].to_numpy()), "mean"]
        made["Negative controls: share of degraded reals called fake, less that of plain ones"] = (
            pd.DataFrame(rises, pd.Index(rows, name="control"))
        )
    return made


def says(ds: xr.Dataset) -> Said:
    """Say what tuning gains on families left out, where, and what it costs on controls."""
    names = [str(f) for f in ds["left_out"].to_numpy()]
    gain = ds["mean_auroc"].sel(compared=GAIN).to_numpy()
    answer = compared(
        f"On a family that was left out, of {len(names)}, the tuned detector",
        "the frozen probe", gain,
    )  # fmt: skip
    of = {d: ds["family_auroc"].sel(compared=d).to_numpy() for d in (*DETECTORS, GAIN)}
    worst = {d: int(np.nanargmin(of[d][:, 0])) for d in (*DETECTORS, GAIN)}
    sure = [n for n, b in zip(names, of[GAIN], strict=True) if verdict(b) == "more"]
    lost = [n for n, b in zip(names, of[GAIN], strict=True) if verdict(b) == "less"]
    means = {d: ds["mean_auroc"].sel(compared=d).to_numpy() for d in DETECTORS}
    shows = [
        f"The mean AUROC is {estimate(means['probe'])} of the probe and "
        f"{estimate(means['tuned'])} of the tuned detector.",
        f"The mean over seeds rises on {int((of[GAIN][:, 0] > 0).sum())} of {len(names)} families; "
        f"on {listed(sure) or 'none'} the whole interval is above 0"
        + (f", on {listed(lost)} below." if lost else ", on none below."),
        f"The tuned detector is worst on {names[worst['tuned']]}, "
        f"{estimate(of['tuned'][worst['tuned']])}, and gains least on {names[worst[GAIN]]}, "
        f"{estimate(of[GAIN][worst[GAIN]], sign=True)}.",
    ]
    if "control_rise" in ds:
        rise = ds["mean_control_rise"].sel(compared="tuned").to_numpy()
        each = ds["control_rise"].sel(compared="tuned", bound="value").to_numpy()
        over = [str(c) for c, r in zip(ds["control"].to_numpy(), each, strict=True) if r > GOOD]
        shows.append(
            f"Of degraded reals ({counted(len(each), 'kind')}) the tuned detector calls a share "
            f"fake that differs from that of plain ones by {estimate(rise, sign=True)}; the rise "
            f"is above {GOOD:.0%} on {listed(over) or 'none'}."
        )
    not_shown = [
        *limits(ds, about(ds), families=len(names)),
        *_threshold(ds),
        "A family that is left out comes from the same data as the others: it may be nearer to "
        "them than forgeries that were made elsewhere.",
    ]
    return Said(answer=answer, shows=tuple(shows), not_shown=tuple(not_shown))


def _threshold(ds: xr.Dataset) -> list[str]:
    """Say what the thresholds rest on."""
    reals, share = int(ds.attrs["threshold_reals"]), float(ds.attrs["max_fpr"])
    said = [
        f"The threshold for {share:.0%} rests on {counted(reals, 'real clip')} of the development "
        f"split: the true rate of reals called fake is at most {ds.attrs['threshold_bound']:.0%} "
        "(one-sided 95 %). It is taken as it was fixed, and is not resampled."
    ]
    if reals * share < 1:
        said.append(
            f"It takes {math.ceil(1 / share)} real clips to fix it: with {reals} none may be "
            "called fake, and how many fakes are found at the rate that was meant is not estimable."
            if share
            else "None of them may be called fake."
        )
    if ds.attrs["on"] == DEVELOPMENT:
        said.append(
            "It was fixed on the very reals that it is applied to: that no more of them are called "
            "fake is so by construction, and rises are counted from there."
        )
    return said


FAMILIES = Study(
    name="families",
    title="A family of forgeries that was left out",
    question="What does tuning gain on a family of forgeries that training has not seen?",
    learns="Each cell leaves out the fakes of one family and learns from all the rest.",
    cells=left_out_cells,
    analyse=analyse,
    says=says,
    tables=tables,
    options={"max_fpr": MAX_FPR},
    scored=left_out_rows,
)
