"""Leave one forgery family out: what tuning is worth on a family that training has not seen."""

from __future__ import annotations

from collections.abc import Sequence

from gendkit.data.manifest import Manifest
from gendkit.evaluate.cells import Cell
from gendkit.train.recipe import Recipe

DETECTORS = ("probe", "tuned")


def left_out_cells(
    manifest: Manifest, recipe: Recipe, *, families: Sequence[str], seeds: Sequence[int]
) -> list[Cell]:
    """Return the cells of a study: of each family and seed, the probe and the tuned detector."""
    table = manifest.table
    learned = ((table["split"] == "train") & (table["degradation"] == "")).to_numpy()
    family, real = table["family"].to_numpy(dtype=object), (table["label"] == 0).to_numpy()
    cells = []
    for left_out in families:
        others = [name for name in families if name != left_out]
        train = learned & (real | (table["family"].isin(others)).to_numpy())
        for seed in seeds:
            for detector in DETECTORS:
                cells.append(
                    Cell(
                        at={"detector": detector, "left_out": left_out, "seed": seed},
                        recipe=Recipe.of(recipe, seed=seed),
                        train=train,
                        probe=detector == "probe",
                    )
                )
    del family
    return cells
