"""A picture of explanations: what `gk.explain` found enters, a figure leaves."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.colors import LinearSegmentedColormap, to_rgb

from gendkit.errors import InvalidArgument
from gendkit.markup import MINUS
from gendkit.notebook.pictures import Picture
from gendkit.pages.palette import FAKE, REAL

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SIDE = 1.75
NEEDED = ("heat", "image", "score", "margin")
TITLES = {
    "rollout": "roll-out:\nwhere it looks",
    "gradient": "gradient roll-out:\nspeaks for fake",
    "occlusion": "occlusion: speaks\nfor fake, for real",
}
STRENGTH = 0.85


def plot_explanations(ds: xr.Dataset, *, columns: int | None = None) -> Figure:
    """Draw each crop, with its score, beside its maps.

    A map lies over the crop in grey: the more colour, the more weight, its own strongest pixel
    being full. Of an occlusion, what speaks for fake has the colour of fakes and what speaks for
    real that of reals; under each stands what its strongest colour means, as maps of two crops
    cannot be compared by their colours.

    Parameters
    ----------
    ds
        From `gk.explain`.
    columns
        How many crops stand side by side; by default one, and two where there are more than four.

    Raises
    ------
    InvalidArgument
        If it is not.
    """
    if missing := [name for name in NEEDED if name not in ds]:
        raise InvalidArgument(f"there is no {', '.join(missing)}; give what gk.explain returns.")
    methods = [str(name) for name in ds["explanation"].to_numpy()]
    crops, wide = ds.sizes["crop"], 1 + len(methods)
    columns = (2 if crops > 4 else 1) if columns is None else max(1, columns)
    rows = -(-crops // columns)
    figure = Picture(
        figsize=(SIDE * wide * columns, (SIDE + 0.25) * rows + 0.35), dpi=100, layout="constrained"
    )  # fmt: skip
    panels = figure.subplots(rows, wide * columns, squeeze=False)
    for ax in panels.flat:
        ax.set_axis_off()
    for number in range(crops):
        row, at = divmod(number, columns)
        first, *others = panels[row][at * wide : (at + 1) * wide]
        crop = ds.isel(crop=number)
        image = crop["image"].to_numpy()
        first.imshow(image)
        _under(first, f"score {float(crop['score']):.3f}")
        if row == 0:
            first.set_title("crop\n", fontsize="small", loc="left")
        for ax, method in zip(others, methods, strict=True):
            heat = crop["heat"].sel({"explanation": method}).to_numpy()
            _draw(ax, image, heat, signed=method == "occlusion")
            if row == 0:
                ax.set_title(TITLES.get(method, method), fontsize="small", loc="left")
    return figure


def _draw(ax: Axes, image: np.ndarray, heat: np.ndarray, *, signed: bool) -> None:
    grey = image.mean(axis=2)
    ax.imshow(grey, cmap="gray", vmin=0, vmax=255)
    most = float(np.abs(heat).max())
    if most:
        ax.imshow(
            heat / most, cmap=_COLOURS if signed else _FAKE, vmin=-1 if signed else 0, vmax=1,
            interpolation="bilinear",
        )  # fmt: skip
    if not most:
        words = "nothing"
    elif signed:
        strongest = float(heat.flat[np.abs(heat).argmax()])
        words = f"covered: margin {-strongest:+.2f}".replace("-", MINUS)
    else:
        words = f"{heat.size * most:.1f} × the mean"
    _under(ax, words)


def _under(ax: Axes, words: str) -> None:
    ax.text(0, -0.03, words, transform=ax.transAxes, va="top", fontsize="small")


def _ramp(*stops: tuple[float, str, float]) -> LinearSegmentedColormap:
    """Return colours that are clear where there is nothing to see."""
    colours = [(at, (*to_rgb(colour), alpha)) for at, colour, alpha in stops]
    return LinearSegmentedColormap.from_list("evidence", colours)


_FAKE = _ramp((0, FAKE, 0), (1, FAKE, STRENGTH))
_COLOURS = _ramp((0, REAL, STRENGTH), (0.5, REAL, 0), (0.5, FAKE, 0), (1, FAKE, STRENGTH))
