"""A demo result that was never measured: a seed enters, a complete `DemoResult` leaves.

For looking at pages and testing them. The faces are drawn, the AUROCs follow from invented normal
distributions of scores, and no number in it says anything about a detector.
"""

from __future__ import annotations

from statistics import NormalDist
from typing import TYPE_CHECKING, Any

import numpy as np

from gendkit.evaluate.demo.result import DemoResult, Neighbour, Neighbourhood, ScoredClip

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr
    from numpy.typing import NDArray

    Image = NDArray[np.uint8]

SEEN = ("self-blend", "landmark-swap", "autoencoder", "gan-upsampling", "reenactment-warp")
UNSEEN = ("lip-replacement", "swap-and-restore", "diffusion-edit")
CONTROLS = ("jpeg", "blur", "sharpen", "smooth", "colour", "resize", "h264", "crop-jitter")
FEATURES = 32
_NORMAL = NormalDist()


def fake_demo_result(seed: int = 0, *, gain: float = 0.5, samples: int = 900) -> DemoResult:
    """Draw a result.

    Parameters
    ----------
    seed
        Of everything that is drawn.
    gain
        How much farther apart, in standard deviations, the tuned detector holds real and fake than
        the probe does; negative for a loss, 0 for none.
    samples
        Number N of points on the sphere.
    """
    rng = np.random.default_rng(seed)
    families = _families(rng, gain)
    sphere = _sphere(rng, samples)
    return DemoResult(
        facts={
            "backbone": "dinov2-vits14",
            "backbone hash": "198644e37de36674974f453a9aebfc0120b168b9414cce18d4dceb576fbdf355",
            "tuned": "19,200 layer-norm numbers + 770 of the head",
            "recipe": "demo: 8 epochs, batch 64, learning rate 3e-4",
            "dtype": "bfloat16 encoder, float32 sphere",
            "seed": seed,
            "crops": {"train": 2_560, "development": 640, "final": samples},
            "versions": {"gendkit": "0.1.0", "torch": "2.14.1", "numpy": "2.4.6"},
            "drawn": "invented numbers of gendkit.testing",
        },
        families=families,
        groups=_groups(families),
        roc=_roc(families),
        curve=_curve(rng),
        clip=_clip(rng, "carphone, as filmed", 0.22),
        twin=_clip(rng, "carphone, its mouth replaced", 0.74),
        sphere=sphere,
        neighbourhood=_neighbourhood(rng),
        layers=_layers(rng),
        seconds={"fetch": 4.1, "forge": 38.4, "train": 141.8, "embed": 22.6, "evaluate": 9.3},
    )


def fake_face(seed: int, *, size: int = 112, forged: bool = False) -> Image:
    """Draw a face as RGB uint8 (size, size, 3); a forged one has another mouth."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:size, 0:size] / size
    ground, hair = rng.uniform(90, 200, 3), rng.uniform(25, 110, 3)
    skin = np.array([224.0, 178.0, 146.0]) * rng.uniform(0.45, 1.08)
    image = ground * (0.75 + 0.35 * y[..., None])
    width = rng.uniform(0.26, 0.31)

    def paint(cx: float, cy: float, rx: float, ry: float, colour: Any) -> None:
        inside = ((x - cx) / rx) ** 2 + ((y - cy) / ry) ** 2
        alpha = np.clip((1 - inside) * 12, 0, 1)[..., None]
        image[:] = image * (1 - alpha) + np.asarray(colour) * alpha

    paint(0.5, 1.14, 0.5, 0.3, rng.uniform(30, 200, 3))
    paint(0.5, 0.46, width * 1.22, 0.43, hair)
    paint(0.5, 0.54, width, 0.37, skin)
    for side in (-1, 1):
        paint(0.5 + side * 0.115, 0.48, 0.05, 0.028, (246, 244, 240))
        paint(0.5 + side * 0.115, 0.48, 0.022, 0.025, rng.uniform(20, 90, 3))
        paint(0.5 + side * 0.115, 0.41, 0.065, 0.014, hair)
    paint(0.5, 0.6, 0.03, 0.055, skin * 0.9)
    lips = (150, 70, 110) if forged else skin * (0.78, 0.6, 0.6)
    paint(0.5, 0.745, rng.uniform(0.07, 0.11), rng.uniform(0.018, 0.04), lips)
    image += rng.normal(0, 3, image.shape)
    face: Image = np.clip(image, 0, 255).astype(np.uint8)
    return face


def _families(rng: np.random.Generator, gain: float) -> pd.DataFrame:
    import pandas as pd

    rows: list[dict[str, Any]] = []
    for group, names in (("seen", SEEN), ("unseen", UNSEEN), ("control", CONTROLS)):
        for name in names:
            base = {"seen": rng.uniform(0.9, 1.7), "unseen": rng.uniform(0.5, 1.2)}.get(
                group, rng.normal(0, 0.06)
            )
            more = 0.0 if group == "control" else gain * (1.6 if group == "seen" else 1.0)
            tuned = base + more + rng.normal(0, 0.08)
            row: dict[str, Any] = {
                "group": group,
                "family": name,
                "real": 160,
                "fake": 160,
                "identities": 40,
            }
            row |= _estimate("probe", _auroc(base), rng.uniform(0.03, 0.06))
            row |= _estimate("tuned", _auroc(tuned), rng.uniform(0.02, 0.05))
            spread = rng.uniform(0.025, 0.05)
            row |= _estimate("difference", row["tuned"] - row["probe"], spread, top=np.inf)
            rows.append(row)
    return pd.DataFrame(rows)


def _groups(families: pd.DataFrame) -> pd.DataFrame:
    import pandas as pd

    rows: list[dict[str, Any]] = []
    for group, members in families.groupby("group", sort=False):
        row: dict[str, Any] = {"group": group, "family": "mean"}
        row |= {n: int(members[n].max()) for n in ("real", "fake", "identities")}
        for name, spread in (("probe", 0.026), ("tuned", 0.021)):
            row |= _estimate(name, float(members[name].mean()), spread)
        row |= _estimate("difference", row["tuned"] - row["probe"], 0.028, top=np.inf)
        rows.append(row)
    return pd.DataFrame(rows)


def _estimate(name: str, value: float, spread: float, *, top: float = 1.0) -> dict[str, float]:
    return {name: value, f"{name}_low": value - spread, f"{name}_high": min(value + spread, top)}


def _auroc(distance: float) -> float:
    return _NORMAL.cdf(distance / 2**0.5)


def _roc(families: pd.DataFrame) -> pd.DataFrame:
    import pandas as pd

    rows = []
    fpr = np.linspace(0, 1, 161) ** 1.6
    for group in ("seen", "unseen"):
        members = families[families["group"] == group]
        for detector in ("probe", "tuned"):
            distance = 2**0.5 * _NORMAL.inv_cdf(float(members[detector].mean()))
            tpr = [0.0, *(_NORMAL.cdf(distance + _NORMAL.inv_cdf(f)) for f in fpr[1:-1]), 1.0]
            rows.append(
                pd.DataFrame({"group": group, "detector": detector, "fpr": fpr, "tpr": tpr})
            )
    return pd.concat(rows, ignore_index=True)


def _curve(rng: np.random.Generator) -> pd.DataFrame:
    import pandas as pd

    epoch = np.arange(1, 9)
    fall = np.exp(-epoch / 3)
    cross = 0.24 + 0.5 * fall + rng.normal(0, 0.008, 8)
    uniformity = -1.9 - 1.1 * (1 - fall) + rng.normal(0, 0.02, 8)
    alignment = 0.9 + 0.35 * (1 - fall) + rng.normal(0, 0.02, 8)
    return pd.DataFrame(
        {
            "epoch": epoch,
            "loss": cross + 0.5 * uniformity + 0.1 * alignment,
            "cross-entropy": cross,
            "uniformity": uniformity,
            "alignment": alignment,
        }
    )


def _clip(rng: np.random.Generator, name: str, level: float) -> ScoredClip:
    time: NDArray[np.float64] = np.arange(32, dtype=np.float64) * 0.125
    walk = np.cumsum(rng.normal(0, 0.25, 32)) * 0.35
    score = 1 / (1 + np.exp(-(np.log(level / (1 - level)) + walk - walk.mean())))
    score[[12, 13]] = np.nan
    faces = tuple(
        None if np.isnan(s) else np.roll(fake_face(7, forged=level > 0.5), i % 5 - 2, axis=1)
        for i, s in enumerate(score)
    )
    return ScoredClip(
        name=name, time=time, score=score, faces=faces, clip_score=float(np.nanmean(score))
    )


def _sphere(rng: np.random.Generator, samples: int) -> xr.Dataset:
    import xarray as xr

    methods = np.array(["", *SEEN, *UNSEEN], dtype=object)
    kind = rng.choice(len(methods), samples, p=[0.36, *[0.08] * 8])
    person = rng.integers(0, 40, samples)
    centres = rng.normal(0, 1, (len(methods), FEATURES)) + np.outer(
        np.arange(len(methods)) > 0, 0.7 * rng.normal(0, 1, FEATURES)
    )
    x = centres[kind] + rng.normal(0, 0.55, (samples, FEATURES))
    x += 0.35 * rng.normal(0, 1, (40, FEATURES))[person]
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    centred = x - x.mean(0)
    plane = centred @ np.linalg.svd(centred, full_matrices=False)[2][:2].T
    label = (kind > 0).astype(np.int64)
    video = np.array([f"p{p:02}-{methods[k] or 'real'}" for p, k in zip(person, kind, strict=True)])
    columns: dict[str, Any] = {
        "label": label,
        "method": methods[kind],
        "family": methods[kind],
        "split": np.full(samples, "final", dtype=object),
        "degradation": np.full(samples, "", dtype=object),
        "video": video.astype(object),
        "pair": np.array([f"p{p:02}" for p in person], dtype=object),
        "target_identity": np.array([f"person {p}" for p in person], dtype=object),
        "score": 1 / (1 + np.exp(-(2.4 * label - 1.2 + rng.normal(0, 1.1, samples)))),
    }
    return xr.Dataset(
        {
            "embedding": (("sample", "feature"), x.astype(np.float32)),
            "projection": (("sample", "axis"), plane.astype(np.float32)),
            **{name: ("sample", values) for name, values in columns.items()},
        },
        coords={
            "sample": np.array([f"synthetic/{v}/{i}/0" for i, v in enumerate(video)], dtype=object)
        },
        attrs={"backbone": "dinov2-vits14"},
    )


def _neighbourhood(rng: np.random.Generator) -> Neighbourhood:
    def near(rank: int, *, forged: bool) -> Neighbour:
        method = str(rng.choice(SEEN + UNSEEN)) if forged else ""
        return Neighbour(
            face=fake_face(100 + rank + 50 * forged, forged=forged),
            similarity=(0.91 if forged else 0.86) - 0.017 * rank,
            sample=f"synthetic/p{rank:02}-{method or 'real'}/4/0",
            method=method,
        )

    return Neighbourhood(
        face=fake_face(3, forged=True),
        sample="synthetic/p03-diffusion-edit/8/0",
        method="diffusion-edit",
        label=1,
        score=0.87,
        reals=tuple(near(rank, forged=False) for rank in range(5)),
        fakes=tuple(near(rank, forged=True) for rank in range(5)),
    )


def _layers(rng: np.random.Generator) -> pd.DataFrame:
    import pandas as pd

    names = [f"blocks.{i}.norm{j}" for i in range(12) for j in (1, 2)] + ["norm"]
    depth = np.linspace(0, 1, len(names))
    weight = 0.006 + 0.03 * depth**2 * rng.uniform(0.6, 1.4, len(names))
    bias = 0.05 + 0.22 * depth * rng.uniform(0.5, 1.5, len(names))
    return pd.DataFrame({"layer": names, "depth": depth, "weight": weight, "bias": bias})
