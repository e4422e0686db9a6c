"""Where the weights are: a file that the user brings, as nobody else may hand it on.

insightface gives its weights for non-commercial research only, so nothing is fetched here.
"""

from __future__ import annotations

import os
from pathlib import Path

from gendkit.data.assets import cache_folder
from gendkit.errors import MissingAsset

VARIABLE = "GENDKIT_SCRFD"
"""The environment variable that may hold the path of the file."""
FILE = "det_10g.onnx"
LICENCE = "non-commercial research only (weights)"
ORIGIN = "https://github.com/deepinsight/insightface/releases/download/v0.7/buffalo_l.zip"


def cached_place() -> Path:
    """Return where the file is looked for in gendkit's cache."""
    return cache_folder() / "insightface" / FILE


def weights_path(given: str | Path | None = None) -> Path:
    """Return the path of the weights: the given one, $GENDKIT_SCRFD, or that in the cache.

    The first of the three that is named counts: another file is never taken for a missing one.

    Raises
    ------
    MissingAsset
        If there is no such file: which one is wanted, where insightface gives it, its licence, and
        the three ways to name it.
    """
    if given is not None:
        path, named = Path(given).expanduser(), "weights="
    elif variable := os.environ.get(VARIABLE):
        path, named = Path(variable).expanduser(), f"${VARIABLE}"
    else:
        path, named = cached_place(), "the cache"
    if path.is_file():
        return path
    raise MissingAsset(
        f"SCRFD-10GF needs the file {FILE}, and there is no file {path} ({named}). insightface "
        f"gives it in {ORIGIN} for non-commercial research only, so gendkit does not fetch it: "
        f"take {FILE} (16.9 MB) out of that archive, if its terms suit you, and put it at "
        f"{cached_place()}, name it in the environment variable {VARIABLE}, or give weights=PATH."
    )
