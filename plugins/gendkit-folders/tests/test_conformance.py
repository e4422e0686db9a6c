"""The rules of gendkit's conformance kit, each a test, on small collections in three layouts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from gendkit.testing import Given, plugin_checks

SAVED = Path(__file__).parent / "saved"
PEOPLE = ("ann", "bob", "cem")


def picture(path: Path, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(seed).integers(0, 256, (48, 40, 3), dtype=np.uint8)
    Image.fromarray(noise).save(path)


def class_folders(folder: Path) -> Given:
    for number, person in enumerate(PEOPLE):
        picture(folder / "real" / f"{person}.png", number)
        picture(folder / "swap" / f"{person}.png", 10 + number)
    return Given(root=folder, options={"real": ["real"], "licence": "CC0-1.0"})


def table(folder: Path) -> Given:
    lines = ["path,label,method,pair,target_identity,split"]
    for number, person in enumerate(PEOPLE):
        split = "final" if person == "cem" else "train"
        for kind, method in (("real", ""), ("fake", "swap")):
            picture(folder / kind / f"{person}.png", number + 10 * (kind == "fake"))
            lines.append(f"{kind}/{person}.png,{kind},{method},{person},{person},{split}")
    (folder / "index.csv").write_text("\n".join([*lines, ""]))
    return Given(root=folder, options={"licence": "CC0-1.0"})


test_conformance = plugin_checks(
    "gendkit-folders",
    given={
        "class-folders": class_folders,
        "table": table,
        "hf-datasets": Given(root=SAVED / "dict", options={"licence": "CC0-1.0"}),
    },
)
