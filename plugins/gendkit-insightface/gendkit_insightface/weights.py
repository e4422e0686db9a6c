"""The weights: a file that the user brings, as insightface gives it for non-commercial use only."""

from __future__ import annotations

from gendkit.data.brought import BroughtFile

LICENCE = "non-commercial research only (weights)"

WEIGHTS = BroughtFile(
    needed_by="SCRFD-10GF",
    file="det_10g.onnx",
    folder="insightface",
    variable="GENDKIT_SCRFD",
    origin="insightface gives it (16.9 MB) in "
    "https://github.com/deepinsight/insightface/releases/download/v0.7/buffalo_l.zip for "
    "non-commercial research only, so gendkit does not fetch it. If these terms suit you, take it "
    "out of that archive",
)
