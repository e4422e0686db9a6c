"""The map of the sphere: embeddings with a projection enter, places and colours leave.

What the pages, the notebook's picture and its widget share, so that a point looks the same in all
of them. Maps are for finding what to look at; distances on them are no evidence.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from gendkit.errors import InvalidEmbeddings
from gendkit.markup import number
from gendkit.pages.palette import FAKE_NAME, REAL_NAME, UNKNOWN, UNKNOWN_NAME, Look, looks

if TYPE_CHECKING:
    import xarray as xr
    from numpy.typing import NDArray

MANY = 20
NOVELTY = "novelty_p"
"""Points whose chance under the reference is no higher are drawn hollow."""
_LABELS = {0: REAL_NAME, 1: FAKE_NAME}


@dataclass(frozen=True, kw_only=True)
class Colouring:
    """What tells the points of a map apart.

    Attributes
    ----------
    variable
        The variable of the embeddings.
    looks
        The categories in order, real first and the rare ones last; empty for a continuous variable.
    each
        (N,) the category of each point, or its float64 value.
    """

    variable: str
    looks: tuple[Look, ...]
    each: NDArray[Any]

    @property
    def continuous(self) -> bool:
        """Whether the variable is a quantity."""
        return not self.looks


def places(ds: xr.Dataset) -> NDArray[np.float64]:
    """Return the points' places on a flat map (N, 2).

    A projection with two axes is that map. One with three axes lies on a sphere, which is unrolled
    by Hammer's equal-area projection into an ellipse of half-axes 2√2 and √2.

    Raises
    ------
    InvalidEmbeddings
        If there is no projection, or one of other shape.
    """
    if "projection" not in ds:
        raise InvalidEmbeddings(
            "the embeddings have no variable 'projection'; add one with gendkit.project(ds)."
        )
    if set(ds["projection"].dims) != {"sample", "axis"}:
        raise InvalidEmbeddings(
            f"'projection' has dimensions {', '.join(map(str, ds['projection'].dims))}; "
            "expected sample, axis."
        )
    points = np.asarray(ds["projection"].transpose("sample", "axis").to_numpy(), dtype=np.float64)
    if points.shape[1] == 2:
        return points
    if points.shape[1] == 3:
        return _hammer(points)
    raise InvalidEmbeddings(f"'projection' has {points.shape[1]} axes; a map needs 2 or 3.")


def colouring(ds: xr.Dataset, variable: str) -> Colouring:
    """Return what tells the points apart by a variable on sample.

    Categories are named as by `categories`. More than 20
    categories are cut to the 19 most frequent and one named after how many others there are.

    Raises
    ------
    InvalidEmbeddings
        If there is no such variable, or it has further dimensions.
    """
    check_variable(ds, variable)
    values = np.asarray(ds[variable].to_numpy())
    if values.dtype.kind in "iuf" and variable != "label":
        return Colouring(variable=variable, looks=(), each=values.astype(np.float64))
    names = categories(ds, variable)
    counts = Counter(names)
    fixed = [n for n in (REAL_NAME, FAKE_NAME, UNKNOWN_NAME) if n in counts]
    kept = sorted(set(counts) - set(fixed))
    given = looks([*fixed, *kept])
    if len(given) > MANY:
        frequent = sorted(kept, key=lambda n: (-counts[n], n))[: MANY - 1 - len(fixed)]
        other = f"{len(kept) - len(frequent)} others"
        chosen = {*fixed, *frequent}
        names = [n if n in chosen else other for n in names]
        rest = Look(name=other, colour=UNKNOWN, marker=".")
        given = (*looks([*fixed, *sorted(frequent)]), rest)
    return Colouring(
        variable=variable,
        looks=given,
        each=np.array(names, dtype=object),
    )


def categories(ds: xr.Dataset, variable: str) -> list[str]:
    """Return what each of the N samples is by a variable, in words.

    A label is `real`, `fake` or `unknown`, and so is an empty `method` or `family`, of which a real
    face has none; otherwise empty is `none`.
    """
    values = np.asarray(ds[variable].to_numpy())
    if variable == "label":
        return [_LABELS.get(v, UNKNOWN_NAME) for v in values.tolist()]
    if variable in ("method", "family") and "label" in ds:
        empty = categories(ds, "label")
    else:
        empty = ["none"] * len(values)
    given = ("" if v is None else str(v) for v in values)
    return [name or other for name, other in zip(given, empty, strict=True)]


def variables(ds: xr.Dataset) -> list[str]:
    """Return the names of all variables and coordinates with one value a sample."""
    return sorted(str(name) for name in ds.variables if ds[name].dims == ("sample",))


def check_variable(ds: xr.Dataset, variable: str) -> None:
    """Refuse a variable that does not have one value a sample.

    Raises
    ------
    InvalidEmbeddings
        Listing those that do.
    """
    there = variables(ds)
    if variable not in there:
        raise InvalidEmbeddings(
            f"no variable {variable!r} with one value a sample; there is {', '.join(there)}."
        )


def novel(ds: xr.Dataset) -> NDArray[np.bool_]:
    """Return which samples (N,) are novel; none where `novelty_p` is absent or not finite.

    A map puts a face that is unlike all others among some of them all the same, so these are drawn
    hollow.
    """
    from gendkit.manifold.novelty import is_novel

    if NOVELTY in ds:
        check_variable(ds, NOVELTY)
    return is_novel(ds)


def hollow(ds: xr.Dataset) -> str:
    """Return what hollow points are, in words."""
    from gendkit.manifold.novelty import ALPHA

    alpha = float(ds[NOVELTY].attrs.get("alpha", ALPHA)) if NOVELTY in ds else ALPHA
    return f"hollow points are novel, p ≤ {alpha:g}".replace("0.", ".")


def told(ds: xr.Dataset) -> str:
    """Return in a line how far the map can be trusted, from the attributes of `projection`."""
    about = ds["projection"].attrs
    method = str(about.get("method", ""))
    parts = [f"{method} of {about['laid_out']:,} crops" if "laid_out" in about else method]
    parts += [
        f"{name.replace('_', ' ')} {number(float(about[name]))}"
        for name in ("trustworthiness", "continuity", "seed_overlap", "placement_error")
        if name in about
    ]
    measured = ", ".join(part for part in parts if part)
    return "A map is for finding, never evidence." + (f" {measured}." if measured else "")


def draw_map(ax: Any, ds: xr.Dataset, *, colour: str, size: float | None = None) -> Colouring:
    """Draw the map on matplotlib axes and return what its colours mean.

    Parameters
    ----------
    ax
        Axes; their ticks are taken away, since a map's axes mean nothing.
    colour
        A variable on sample.
    size
        Area of a point, in square points of type; by default larger where there are few.
    """
    points = places(ds)
    if size is None:
        size = float(np.clip(9_000 / max(len(points), 1), 5, 30))
    meaning, hollow = colouring(ds, colour), novel(ds)
    drawn = partial(_draw, ax, points, hollow, rasterized=len(points) > 2_000)
    if meaning.continuous:
        known = np.isfinite(meaning.each)
        drawn(~known, colour=UNKNOWN, marker=".", s=size)
        drawn(known, colour=_shades(meaning.each[known]), marker="o", s=size)
    for look in reversed(meaning.looks):
        area = size * (1.35 if look.marker in "^v<P*X" else 1.0)
        here = meaning.each == look.name
        drawn(here, colour=look.colour, marker=look.marker, s=area, label=look.name)
    ax.set_xticks([])
    ax.set_yticks([])
    ax.set_aspect("equal", adjustable="datalim")
    return meaning


def _draw(
    ax: Any,
    points: NDArray[np.float64],
    hollow: NDArray[np.bool_],
    here: NDArray[np.bool_],
    *,
    colour: Any,
    **style: Any,
) -> None:
    """Draw the points that are `here`, in one colour or by a mappable quantity; novel ones hollow.

    Novel points lie above, but are added first: the last collection is that of the colour bar.
    """
    style |= {"alpha": 0.78}
    mapped = not isinstance(colour, str)
    shade = colour.to_rgba(colour.get_array()) if mapped else colour
    if (ring := here & hollow).any():
        edge = shade[hollow[here]] if mapped else shade
        ring_style = {**style, "s": 1.6 * style["s"], "label": None, "zorder": 1.5}
        ax.scatter(*points[ring].T, facecolors="none", edgecolors=edge, linewidths=1, **ring_style)
    full = here & ~hollow
    if mapped:
        values = colour.get_array()[full[here]]
        style |= {"c": values, "norm": colour.norm, "cmap": colour.cmap}
    else:
        style |= {"color": shade}
    ax.scatter(*points[full].T, linewidths=0, **style)


def _shades(values: NDArray[np.float64]) -> Any:
    """Return matplotlib's mapping of these values to colours."""
    from matplotlib.cm import ScalarMappable

    mapping = ScalarMappable(cmap="viridis")
    mapping.set_array(values)
    mapping.autoscale()
    return mapping


def _hammer(points: NDArray[np.float64]) -> NDArray[np.float64]:
    x, y, z = (points / np.linalg.norm(points, axis=1, keepdims=True)).T
    half = np.arctan2(y, x) / 2
    level = np.sqrt(np.clip(1 - z**2, 0, None))
    scale = np.sqrt(2 / (1 + level * np.cos(half)))
    return np.stack([2 * scale * level * np.sin(half), scale * z], axis=1)
