"""The picture of explanations: a line a crop, its maps beside it."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from gendkit.errors import InvalidArgument
from gendkit.evaluate.explain import METHODS
from gendkit.notebook.explain import plot_explanations


def found(crops: int, *, methods: tuple[str, ...] = METHODS) -> xr.Dataset:
    """Make up what `gk.explain` gives: the weight is in the upper left."""
    heat = np.zeros((len(methods), crops, 8, 8), np.float32)
    heat[:, :, :2, :2] = 0.25
    if "occlusion" in methods:
        heat[methods.index("occlusion"), :, 6, 6] = -0.5
    rng = np.random.default_rng(0)
    image = rng.integers(0, 255, (crops, 8, 8, 3), dtype=np.uint8)
    return xr.Dataset(
        {
            "heat": (("explanation", "crop", "y", "x"), heat),
            "image": (("crop", "y", "x", "channel"), image),
            "score": ("crop", np.linspace(0, 1, crops)),
            "margin": ("crop", np.linspace(-1, 1, crops)),
        },
        coords={"explanation": np.array(methods, object)},
    )


def test_each_crop_stands_beside_its_maps_with_what_their_colours_mean() -> None:
    figure = plot_explanations(found(2))
    assert len(figure.axes) == 8
    under = [ax.texts[0].get_text() for ax in figure.axes]
    assert under[:4] == [
        "score 0.000",
        "16.0 × the mean",
        "16.0 × the mean",
        "covered: margin +0.50",
    ]
    assert under[4] == "score 1.000"
    (crop,) = figure.axes[0].images
    assert np.array_equal(crop.get_array(), found(2)["image"][0])


def test_what_speaks_for_real_has_another_colour_than_what_speaks_for_fake() -> None:
    heat = plot_explanations(found(1)).axes[3].images[1]
    fake, real, nothing = (heat.to_rgba(heat.get_array())[at] for at in ((0, 0), (6, 6), (4, 0)))
    assert fake[0] > fake[2]
    assert real[2] > real[0]
    assert nothing[3] < 0.01
    assert real[3] > fake[3] > 0.3


def test_many_crops_stand_in_two_columns() -> None:
    figure = plot_explanations(found(5, methods=("rollout",)))
    assert len(figure.axes) == 3 * 2 * 2
    assert sum(bool(ax.images) for ax in figure.axes) == 10


def test_a_map_of_nothing_is_said_to_be_that() -> None:
    ds = found(1, methods=("gradient",))
    ds["heat"][:] = 0
    ax = plot_explanations(ds).axes[1]
    assert ax.texts[0].get_text() == "nothing"
    assert len(ax.images) == 1


def test_what_is_no_explanation_is_refused() -> None:
    with pytest.raises(InvalidArgument, match=r"no image, score; give what gk\.explain returns"):
        plot_explanations(found(1).drop_vars(["image", "score"]))
