"""The rules that every dataset keeps, one test a rule, on a miniature of this one."""

from __future__ import annotations

import csv
from pathlib import Path

from gendkit.data.drawn import draw_face
from gendkit.testing import Given, plugin_checks
from PIL import Image

NAME = "my-part"
PEOPLE = {"ann": "train", "bob": "train", "cem": "development"}


def miniature(root: Path) -> Given:
    """Write a drawn face a person, and as its fake the same upside down, with the table."""
    rows = [["video", "path", "label", "method", "pair", "identity", "split"]]
    for number, (person, split) in enumerate(PEOPLE.items()):
        face = draw_face(identity=number, clip=0, size=96).image
        for label, method, image in (("real", "", face), ("fake", "flipped", face[::-1])):
            path = f"{label}-{person}.png"
            Image.fromarray(image).save(root / path)
            rows.append([path[:-4], path, label, method, f"real-{person}", person, split])
    with (root / "clips.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(rows)
    return Given(root=root)


test_conformance = plugin_checks(NAME, given={NAME: miniature})
