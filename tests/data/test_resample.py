"""Resampling is Pillow's, to the bit."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from gendkit.data import resample as module
from gendkit.data.resample import Filter, resample

MODES = {
    "bicubic": Image.Resampling.BICUBIC,
    "bilinear": Image.Resampling.BILINEAR,
    "lanczos": Image.Resampling.LANCZOS,
    "hamming": Image.Resampling.HAMMING,
    "area": Image.Resampling.BOX,
    "nearest": Image.Resampling.NEAREST,
}
SIDES = st.integers(1, 300)


def picture(height: int, width: int, seed: int) -> np.ndarray:
    """Return noise, or stripes of black and white, at which sums leave 0..255 most."""
    rng = np.random.default_rng(seed)
    if seed % 2:
        stripes = rng.integers(0, 2, (height, 1, 3), np.uint8) * np.uint8(255)
        return np.repeat(stripes, width, axis=1)
    return rng.integers(0, 256, (height, width, 3), np.uint8)


@settings(max_examples=300, deadline=None)
@given(
    height=SIDES, width=SIDES, size=st.tuples(SIDES, SIDES), kind=st.sampled_from(list(MODES)),
    seed=st.integers(0, 99), data=st.data(),
)  # fmt: skip
def test_every_size_and_box_is_what_pillow_gives(
    height: int, width: int, size: tuple[int, int], kind: Filter, seed: int, data: st.DataObject
) -> None:
    left, top = data.draw(st.integers(0, size[0] - 1)), data.draw(st.integers(0, size[1] - 1))
    right = data.draw(st.integers(left + 1, size[0]))
    bottom = data.draw(st.integers(top + 1, size[1]))
    image, box = picture(height, width, seed), (left, top, right, bottom)
    narrow = Image.fromarray(image).resize((size[0], height), MODES[kind])  # whatever its version
    expected = narrow.resize(size, MODES[kind]).crop(box)
    np.testing.assert_array_equal(resample(image, size, box, kind), np.asarray(expected))


def test_threads_that_come_first_together_compile_once() -> None:
    module._compiled.cache_clear()
    image = picture(30, 30, 0)
    with ThreadPoolExecutor(4) as pool:
        sizes = pool.map(lambda n: resample(image, (n, n), (0, 0, n, n)).shape, range(10, 14))
        assert list(sizes) == [(n, n, 3) for n in range(10, 14)]
    assert module._compiled.cache_info().misses == 1


@pytest.mark.parametrize("side", [17, 224, 225, 640, 1999])
@pytest.mark.parametrize("kind", MODES)
def test_crops_of_usual_sizes_are_what_pillow_gives(side: int, kind: Filter) -> None:
    image = picture(side, side, side)
    expected = np.asarray(Image.fromarray(image).resize((224, 224), MODES[kind]))
    np.testing.assert_array_equal(resample(image, (224, 224), (0, 0, 224, 224), kind), expected)


def test_a_mirrored_view_is_read_as_it_looks() -> None:
    image, whole = picture(40, 30, 0), (0, 0, 20, 20)
    mirrored = resample(image[:, ::-1], (20, 20), whole)
    np.testing.assert_array_equal(
        mirrored, resample(np.ascontiguousarray(image[:, ::-1]), (20, 20), whole)
    )


def test_the_sum_is_that_of_plain_python() -> None:
    first, weights = module.weights(9, 5, 1, 4, "bicubic")
    rows = picture(9, 2, 4).reshape(9, -1)
    out = np.empty((3, 6), np.uint8)
    module._sum_rows(rows, first, weights, out)
    np.testing.assert_array_equal(module._summed(rows, first, weights), out)
