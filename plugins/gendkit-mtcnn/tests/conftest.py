"""What the tests share: cached weights, the folder of photos, and the detector."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from gendkit.data.assets import Asset, cached_path
from gendkit.data.media import read_frames
from gendkit.errors import MissingAsset
from gendkit_mtcnn.detector import MTCNN
from gendkit_mtcnn.weights import ASSETS

REQUIRE = "GENDKIT_REQUIRE_ASSETS"
SHARED = Path(__file__).resolve().parents[4] / "shared"


def cached(assets: Sequence[str | Asset]) -> list[Path]:
    """Return the paths of cached assets; without them the test is skipped, or fails."""
    try:
        return [cached_path(asset) for asset in assets]
    except MissingAsset as error:
        if os.environ.get(REQUIRE) == "1":
            pytest.fail(f"{REQUIRE}=1, but {error}")
        pytest.skip(f"{error}; python -m gendkit_mtcnn fetches the weights")


@pytest.fixture(scope="session")
def weights() -> list[Path]:
    return cached(ASSETS)


@pytest.fixture(scope="session")
def mtcnn(weights: list[Path]) -> MTCNN:
    return MTCNN(weights)


@pytest.fixture(scope="session")
def portraits() -> Path:
    """Photos of one person each, in the folder `shared` beside the checkout."""
    if not (SHARED / "portraits").is_dir():
        pytest.skip("there is no folder 'shared/portraits' beside the checkout")
    return SHARED / "portraits"


@pytest.fixture(scope="session")
def clip() -> list[np.ndarray]:
    """Each tenth frame of the clip carphone: a man in a car (144, 176, 3)."""
    (path,) = cached(["carphone"])
    return [frame.image for frame in read_frames(path, range(0, 120, 10))]
