"""A benchmark without detectors: a seed enters, a `Benchmark` of drawn scores leaves.

Three detectors, one with three seeds, on three data sets that share people; one data set took part
in a selection, and one detector did not examine all clips of another.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from gendkit.evaluate.benchmark.intervals import answered
from gendkit.evaluate.benchmark.numbers import CLASSES, Scored, measured
from gendkit.evaluate.benchmark.plan import NO, NOT_RECORDED, YES
from gendkit.evaluate.benchmark.run import Benchmark

DETECTORS = {"probe": (0,), "gend-clip": (0, 1, 2), "other (a/b)": (-1,)}
METHODS = {
    "faceforensics": ("deepfakes", "face2face"), "celeb-df-pp": ("simswap", "liveportrait"),
    "kodf": ("dfl",),
}  # fmt: skip
SKILL = np.array([[1.2, 0.5, 0.3], [3.0, 1.6, 1.0], [2.0, 1.0, 1.4]])
"""By how many standard deviations fakes lie above reals, by detector and data set."""
SHIFT = (0.0, 0.8, -0.5)
"""Of all scores of a data set, so that no threshold fits all."""
MISSED = 7
"""Fake clips of the last data set of which the last detector has no score."""


def drawn_benchmark(
    folder: Path = Path("benchmark"), *, people: int = 120, resamples: int = 60, seed: int = 0
) -> Benchmark:
    """Draw the scores of a comparison, and measure them as `gk.benchmark` does.

    Parameters
    ----------
    folder
        Where it is said to lie; nothing is written.
    people
        Of each data set; each has a real clip, and a fake of each method.
    resamples, seed
        Of the intervals; and of the draws.
    """
    names, sets = list(DETECTORS), list(METHODS)
    rng = np.random.default_rng(seed)
    parts = [
        Scored(detector=d, dataset=k, seeds=DETECTORS[name],
               tables=tuple(_table(rng, k, d, people) for _ in DETECTORS[name]))
        for d, name in enumerate(names)
        for k in range(len(sets))
    ]  # fmt: skip
    numbers, clips, undefined = measured(parts, detectors=names, datasets=sets, threshold=0.5)
    sure = answered(
        clips, detectors=names, datasets=sets, left_out=[0, 1], resamples=resamples, seed=seed,
        methods=[str(m) for m in numbers["method"].to_numpy()],
    )  # fmt: skip
    facts = _facts(names, sets, people)
    ds = xr.merge([numbers, sure, facts], join="exact", compat="no_conflicts")
    ds = ds.assign_attrs(threshold=0.5, resamples=resamples, seed=seed, level="video")
    return Benchmark(folder=folder, ds=ds, record=_record(names, sets, undefined))


def _table(rng: np.random.Generator, dataset: int, detector: int, people: int) -> pd.DataFrame:
    rows, methods = [], ("", *list(METHODS.values())[dataset])
    unseen = MISSED if (detector, dataset) == (2, 2) else 0
    for person in range(people):
        for method in methods:
            if method and person >= people - unseen:
                continue
            level = rng.normal() + SHIFT[dataset] + SKILL[detector, dataset] * bool(method)
            rows += [
                {
                    "dataset": list(METHODS)[dataset], "video": f"{person}-{method}", "track": 0,
                    "frame": frame, "label": int(bool(method)), "method": method,
                    "component": (person + dataset * people // 2) % (2 * people),
                    "p_fake": 1 / (1 + np.exp(-(level + 0.3 * rng.normal() - 0.7))),
                }
                for frame in range(2)
            ]  # fmt: skip
    return pd.DataFrame(rows)


def _facts(names: list[str], sets: list[str], people: int) -> xr.Dataset:
    shape = (len(names), len(sets))
    examined = np.array([[[people, people * len(m)] for m in METHODS.values()]] * len(names), float)
    clips = examined.copy()
    examined[2, 2] -= (0, MISSED)
    selected, trained = np.full(shape, NO, object), np.full(shape, NO, object)
    selected[:2, 1], trained[:2, 0] = YES, YES
    selected[2], trained[2] = NOT_RECORDED, NOT_RECORDED
    by_class, dims = ("detector", "dataset", "class"), ("detector", "dataset")
    same = np.array([[YES] * 3, [YES] * 3, [NO] * 3], object)
    return xr.Dataset(
        {
            "clips": (by_class, clips), "examined": (by_class, examined),
            "crops": (by_class, 2 * examined),
            "crops_made": (dims, np.full(shape, "centerface from 0.5, scale 1.3", object)),
            "same_crops": (dims, same), "selected_on": (dims, selected),
            "trained_on": (dims, trained),
            "preprocessing": ("detector", np.array(["224 px, squash, bicubic, bfloat16"] * 3,
                                                   object)),
            "final_crops": ("dataset", [0, 40, 0]), "final_evaluations": ("dataset", [0, 5, 0]),
        },
        coords={"detector": np.array(names, object), "dataset": np.array(sets, object),
                "class": np.array(CLASSES, object)},
    )  # fmt: skip


def _record(names: list[str], sets: list[str], undefined: list[str]) -> dict[str, Any]:
    return {
        "inputs": "0" * 64, "threshold": 0.5, "resamples": 60, "seed": 0, "alike": [],
        "notes": [f"{MISSED} of 120 fake clips of kodf have no score of other (a/b).",
                  "Data of celeb-df-pp, or of its family, took part in the selection of probe."],
        "undefined": undefined,
        "detectors": [
            {"name": name, "seed": None if seed < 0 else seed, "adapter": f"runs/{name}-{seed}",
             "hash": f"{place}{seed % 7}" * 32, "dtype": "bfloat16", "backbone": "clip-vitl14",
             "backbone_hash": "a" * 64, "preprocessing": "224 px, squash, bicubic, bfloat16",
             "crops": {}, "recipe": {"name": name}, "trained_on": ["faceforensics"],
             "selected_on": ["celeb-df-pp"]}
            for place, name in enumerate(names) for seed in DETECTORS[name]
        ],
        "datasets": [
            {"name": name, "datasets": [name],
             "manifests": [{"manifest": f"crops/{name}", "digest": f"{place}" * 64, "crops": {},
                            "splits": ["final"], "degraded_left_out": 0}]}
            for place, name in enumerate(sets)
        ],
        "versions": {"gendkit": "0", "torch": "0"}, "predictions": [],
    }  # fmt: skip
