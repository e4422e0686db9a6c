"""JPEG and H.264 of one picture: of any size, and worse the less there is to store."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from gendkit.data.codecs import h264, jpeg
from gendkit.data.drawn import draw_face

Codec = Callable[[np.ndarray, int], np.ndarray]


@pytest.mark.parametrize(("codec", "levels"), [(jpeg, (95, 60, 20, 5)), (h264, (10, 25, 35, 50))])
def test_less_to_store_is_more_lost(codec: Codec, levels: tuple[int, ...]) -> None:
    face = draw_face(identity=2, clip=0, size=97).image
    lost = [np.abs(codec(face, level).astype(float) - face).mean() for level in levels]
    assert lost == sorted(lost)
    assert lost[-1] > 3 * lost[0]


@pytest.mark.parametrize("codec", [jpeg, h264])
@pytest.mark.parametrize("shape", [(1, 1), (1, 30), (30, 1), (31, 17), (2, 2)])
def test_any_size_comes_back(codec: Codec, shape: tuple[int, int]) -> None:
    image = np.full((*shape, 3), (200, 120, 40), np.uint8)
    done = codec(image, 30)
    assert done.shape == image.shape
    assert done.flags.c_contiguous
    assert np.abs(done.astype(int) - image).max() <= 12
