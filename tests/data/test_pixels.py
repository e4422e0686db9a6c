"""From crops to pixels: the reference's preprocessing, both ways to resize, and bad crops."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch

from gendkit.builtin.backbone_specs import backbones
from gendkit.data.pixels import normalise_pixels, resize, thumbnail, to_pixels
from gendkit.data.resample import resample
from gendkit.errors import InvalidImage
from gendkit.plugin.specs import BackboneSpec, Preprocessing

SPECS = {s.name: s for s in backbones() if isinstance(s, BackboneSpec)}
PLAIN = Preprocessing(
    size=8, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5), resize="short-side", interpolation="bilinear"
)


def test_clip_pixels_are_those_of_the_reference(shared: Path) -> None:
    """Within two grey levels; what the reference fed its encoder from four crops."""
    preprocessing = SPECS["clip-vitl14"].preprocessing
    with np.load(shared / "golden" / "gend_clip_tiny" / "expected.npz") as golden:
        crops = [golden[f"image_{i}_rgb"] for i in range(4)]
        expected = torch.from_numpy(golden["pixel_values"])
    std = torch.tensor(preprocessing.std).view(1, 3, 1, 1)
    levels = (to_pixels(crops, preprocessing) - expected) * std * 255
    assert levels.abs().max().item() <= 2


def test_the_short_side_is_resized_and_the_centre_square_taken() -> None:
    crop = np.zeros((16, 32, 3), np.uint8)
    crop[:, 8:24] = 255
    assert (resize(crop, PLAIN)[:, :, 1:-1] == 255).all()


def test_squashing_keeps_the_borders() -> None:
    crop = np.zeros((16, 32, 3), np.uint8)
    crop[:, 8:24] = 255
    squashed = resize(crop, replace(PLAIN, resize="squash"))
    assert squashed.shape == (3, 8, 8)
    assert (squashed[:, :, 0] == 0).all()
    assert (squashed[:, :, 3:5] == 255).all()
    assert (squashed[:, :, -1] == 0).all()


@pytest.mark.parametrize("shape", [(1, 1), (3, 50), (50, 3), (8, 8), (9, 7)])
def test_crops_of_any_shape_fill_the_input(shape: tuple[int, int]) -> None:
    pixels = to_pixels([np.full((*shape, 3), 255, np.uint8)], PLAIN)
    assert pixels.shape == (1, 3, 8, 8)
    torch.testing.assert_close(pixels, torch.ones(1, 3, 8, 8))


def test_bicubic_and_bilinear_differ_and_both_smooth_what_they_reduce() -> None:
    stripes = np.zeros((64, 64, 3), np.uint8)
    stripes[::2] = 255
    bilinear, bicubic = (
        resize(stripes, replace(PLAIN, interpolation=name)).float()
        for name in ("bilinear", "bicubic")
    )
    assert not torch.equal(bilinear, bicubic)
    for reduced in (bilinear, bicubic):
        assert (reduced - 127.5).abs().max() < 10  # without antialiasing: 0 or 255


def test_channels_are_normalised_each_by_its_own_numbers() -> None:
    preprocessing = replace(PLAIN, mean=(0.0, 0.5, 1.0), std=(1.0, 0.5, 0.25))
    images = torch.full((1, 3, 8, 8), 255, dtype=torch.uint8)
    pixels = normalise_pixels(images, preprocessing)
    assert pixels[0, :, 0, 0].tolist() == [1.0, 1.0, 0.0]


def test_no_crops_give_an_empty_batch() -> None:
    assert to_pixels([], PLAIN).shape == (0, 3, 8, 8)


@pytest.mark.parametrize(
    "crop",
    [
        np.zeros((8, 8, 3), np.float32),
        np.zeros((8, 8), np.uint8),
        np.zeros((8, 8, 4), np.uint8),
        np.zeros((3, 8, 8), np.uint8),
        np.zeros((0, 8, 3), np.uint8),
        "crop.png",
    ],
)
def test_a_crop_that_is_no_rgb_picture_is_refused(crop: np.ndarray) -> None:
    with pytest.raises(InvalidImage, match=r"RGB uint8 array \(H, W, 3\); got"):
        to_pixels([crop], PLAIN)


def test_a_thumbnail_keeps_the_shape_and_is_never_larger():
    crop = np.random.default_rng(0).integers(0, 256, (200, 100, 3), dtype=np.uint8)
    assert thumbnail(crop, side=96).shape == (96, 48, 3)
    assert np.array_equal(thumbnail(crop[:60], side=100), crop[:60])
    assert thumbnail(crop[:, :1], side=10).shape == (10, 1, 3)
    assert abs(float(thumbnail(crop, side=20).mean()) - crop.mean()) < 1


@pytest.mark.parametrize("kind", ["bicubic", "bilinear"])
def test_a_crop_that_is_as_large_as_the_input_stays_as_it_is(
    kind: Literal["bicubic", "bilinear"],
) -> None:
    crop = np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    crop.flags.writeable = False
    resized = resize(crop, replace(PLAIN, interpolation=kind))
    assert np.array_equal(resized.permute(1, 2, 0).numpy(), crop)
    assert np.array_equal(resample(crop, (8, 8), (0, 0, 8, 8), kind), crop), "nothing to compute"
    resized.zero_()
    assert crop.any()
