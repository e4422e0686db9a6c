"""The pictures of a benchmark: its Dataset enters, drawings leave, as SVG for pages or as PNG.

A drawing is a size and a function that draws on a figure; see `gendkit.pages.figures`. Detectors
keep their colour and marker in all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle

from gendkit.evaluate.benchmark.clips import ALL
from gendkit.evaluate.benchmark.intervals import SUMMARIES
from gendkit.evaluate.benchmark.numbers import CLASSES
from gendkit.evaluate.benchmark.tables import mark
from gendkit.markup import number
from gendkit.pages import figures
from gendkit.pages.figures import INK, LINE, MUTED, TEXT
from gendkit.pages.palette import FAKE, REAL, TUNED, Look, looks

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DASHES: tuple[Any, ...] = ("solid", (0, (5, 2)), (0, (2, 1.5)), (0, (6, 2, 1.5, 2)))
SIDE = 250
"""Of a panel, in CSS pixels."""
TITLE = 26
"""Height of a title, in CSS pixels."""
DARKEST = 0.6
"""Opacity of the fullest cell, at which text is still read on light and dark paper."""


@dataclass(frozen=True, kw_only=True)
class Drawing:
    """A picture that is drawn when it is asked for.

    Attributes
    ----------
    name
        Of its file.
    title, alt
        Its heading, and what it shows in words.
    width, height
        CSS pixels.
    draw
        Draws on a figure.
    narrow
        The same for phones, if it is another drawing there.
    """

    name: str
    title: str
    alt: str
    width: float
    height: float
    draw: Callable[[Figure], None]
    narrow: Drawing | None = None

    def svg(self) -> str:
        """Return it as an `<svg>` element for a page."""
        return figures.svg(self.width, self.height, self.draw)

    def png(self) -> bytes:
        """Return it as a PNG file on white paper."""

        return figures.png(self.width, self.height + TITLE, self.titled)

    def titled(self, figure: Figure) -> None:
        """Draw it with its title above."""
        self.draw(figure)
        figure.suptitle(self.title, x=0.01, ha="left", color=INK, fontweight="bold")


def drawings(ds: xr.Dataset) -> dict[str, Drawing]:
    """Return all pictures of a benchmark by name."""
    every = [heat(ds), roc(ds), precision(ds), distributions(ds), methods(ds), confusion(ds),
             transferred(ds)]  # fmt: skip
    return {drawing.name: drawing for drawing in every if drawing is not None}


def heat(ds: xr.Dataset) -> Drawing:
    """Draw AUROC by detector and data set."""
    detectors, sets = _of(ds, "detector"), _of(ds, "dataset")
    known = ds["auroc"].sel({"method": ALL}).transpose("detector", "dataset").to_numpy()
    means = ds["overall"].transpose("detector", "summary").to_numpy()
    values = np.hstack([known, means])
    columns = [f"{k} {mark(ds, k)}".strip() for k in sets] + [*SUMMARIES]

    def draw(figure: Figure) -> None:
        ax = figure.add_subplot()
        for y, x in np.ndindex(*values.shape):
            gap, value = 0.25 * (x >= len(sets)), float(values[y, x])
            _cell(ax, x + gap, y, value, 2 * (value - 0.5), TUNED)
        places = np.arange(len(columns)) + 0.25 * (np.arange(len(columns)) >= len(sets))
        _axes(ax, places, columns, detectors)

    longest = max(map(len, columns))
    return Drawing(
        name="heat-map", title="AUROC of clips", width=_labels(detectors) + 84 * len(columns) + 30,
        height=40 + 5 * longest + 42 * len(detectors), draw=draw,
        alt="AUROC by detector and data set; the table beside it has the same numbers.",
    )  # fmt: skip


def roc(ds: xr.Dataset) -> Drawing:
    """Draw ROC curves with their bands, a panel a data set."""
    names = _looks(ds)

    def panel(ax: Axes, k: str) -> None:
        ax.plot([0, 1], [0, 1], color=MUTED, lw=1, ls=(0, (1, 3)))
        x = ds["fpr_grid"].to_numpy()
        for d, look in names.items():
            of = ds.sel(detector=d, dataset=k)
            ax.fill_between(x, of["roc_low"], of["roc_high"], color=look.colour, alpha=0.18, lw=0)
            ax.plot(np.append(0, x), np.append(0, of["roc"]), color=look.colour,
                    ls=_dash(ds, d))  # fmt: skip
        ax.set_xlabel("real clips called fake")

    return _panels(ds, "roc", "ROC with 95 % bands", panel, ylabel="fake clips found",
                   alt="ROC curves of each detector, a panel a data set.")  # fmt: skip


def precision(ds: xr.Dataset) -> Drawing:
    """Draw precision against recall, a panel a data set."""
    names = _looks(ds)

    def panel(ax: Axes, k: str) -> None:
        counts = ds["video"].sel({"dataset": k, "method": ALL})
        fakes, reals = (float(counts.sel(metric=n).max()) for n in ("n_fake", "n_real"))
        ax.axhline(fakes / (fakes + reals), color=MUTED, lw=1, ls=(0, (1, 3)))
        for d, look in names.items():
            curve = ds["precision"].sel(detector=d, dataset=k)
            ax.plot(curve["recall"], curve, color=look.colour, ls=_dash(ds, d))
        ax.set_xlabel("fake clips found (recall)")

    return _panels(ds, "precision-recall", "Precision and recall", panel, ylabel="precision",
                   alt="Precision by recall of each detector, a panel a data set.")  # fmt: skip


def distributions(ds: xr.Dataset) -> Drawing:
    """Draw the scores of reals and of fakes, a row a detector, a column a data set."""
    detectors, sets = _of(ds, "detector"), _of(ds, "dataset")

    def draw(figure: Figure) -> None:
        axes = figure.subplots(len(detectors), len(sets), sharex=True, squeeze=False)
        edges = np.linspace(0, 1, ds.sizes["bin"] + 1)
        for (i, d), (j, k) in ((a, b) for a in enumerate(detectors) for b in enumerate(sets)):
            ax = axes[i, j]
            for kind, colour, sign in zip(CLASSES, (REAL, FAKE), (-1, 1), strict=True):
                share = ds["density"].sel({"detector": d, "dataset": k, "class": kind}).to_numpy()
                ax.stairs(sign * np.nan_to_num(share), edges, fill=True, color=colour, alpha=0.75)
            ax.axhline(0, color=LINE, lw=1)
            ax.axvline(ds.attrs["threshold"], color=MUTED, lw=1, ls=(0, (3, 3)))
            top = max(np.abs(ax.get_ylim()))
            ax.set(ylim=(-top, top), yticks=[], xlim=(0, 1), xticks=[0, 0.5, 1])
            ax.spines["left"].set_visible(False)
            if not i:
                ax.set_title(_wrapped(k), loc="left", color=INK)
            if i == len(detectors) - 1:
                ax.set_xlabel("score")
            if not j:
                ax.set_ylabel(_wrapped(d), rotation=0, ha="right", va="center")
        _key(figure, [(FAKE, "fake, above the line", "solid"), (REAL, "real, below", "solid")])

    return Drawing(
        name="distributions", title="Scores of clips", draw=draw,
        width=_labels(detectors) + 190 * len(sets), height=90 + 110 * len(detectors),
        alt="Shares of real and fake clips by score, a row a detector, a column a data set.",
    )  # fmt: skip


def methods(ds: xr.Dataset) -> Drawing | None:
    """Draw AUROC by method, bars from chance, with intervals; None if there is no method."""
    names = _looks(ds)
    known = ds["auroc"].count("detector") > 0
    lines = [(k, m) for k in _of(ds, "dataset") for m in _of(ds, "method")
             if m != ALL and bool(known.sel({"dataset": k, "method": m}))]  # fmt: skip
    if not lines:
        return None
    step, per = len(names) + 1.0, len(names)

    def draw(figure: Figure) -> None:
        ax = figure.add_subplot()
        for row, (k, m) in enumerate(lines):
            of = ds.sel({"dataset": k, "method": m})
            for i, (d, look) in enumerate(names.items()):
                value, low, high = (float(of[f"auroc{e}"].sel(detector=d))
                                    for e in ("", "_low", "_high"))  # fmt: skip
                y = row * step + i
                ax.barh(y, value - 0.5, left=0.5, height=0.78, color=look.colour, alpha=0.75)
                ax.plot([low, high], [y, y], color=INK, lw=1.2)
        ax.axvline(0.5, color=MUTED, lw=1)
        ticks = [row * step + (per - 1) / 2 for row in range(len(lines))]
        ax.set_yticks(ticks, [f"{k}: {m}" if len(_of(ds, "dataset")) > 1 else m for k, m in lines])
        ax.set_ylim(len(lines) * step - 0.6, -0.8)
        ax.set_xlim(min(0.5, float(ds["auroc_low"].min())) - 0.01, 1.005)
        ax.grid(axis="x")
        ax.spines["left"].set_visible(False)
        ax.set_xlabel("AUROC of the method’s fakes against all reals, from chance")
        _key(figure, [(look.colour, d, "solid") for d, look in names.items()])

    return Drawing(
        name="methods", title="By method", width=720, height=90 + len(lines) * (14 * per + 12),
        draw=draw, alt="AUROC by method of manipulation and detector, with intervals.",
    )  # fmt: skip


def confusion(ds: xr.Dataset) -> Drawing:
    """Draw how many clips of each class are called real and fake at the stated threshold."""
    detectors, sets = _of(ds, "detector"), _of(ds, "dataset")

    def draw(figure: Figure) -> None:
        axes = figure.subplots(len(detectors), len(sets), squeeze=False)
        for (i, d), (j, k) in ((a, b) for a in enumerate(detectors) for b in enumerate(sets)):
            ax = axes[i, j]
            shares = ds["called"].sel(detector=d, dataset=k).transpose("class", "verdict")
            for y, x in np.ndindex(2, 2):
                value = float(shares[y, x])
                _cell(ax, x, y, value, value, (REAL, FAKE)[x], percent=True)
            _axes(ax, np.arange(2), CLASSES, CLASSES, turn=False)
            ax.set_title(_wrapped(k) if not i else "", loc="left", color=INK)
            ax.set_xlabel("called" if i == len(detectors) - 1 else "")
            ax.set_ylabel(_wrapped(d) if not j else "", rotation=0, ha="right", va="center")

    return Drawing(
        name="confusion", title=f"Called fake above {ds.attrs['threshold']:g}", draw=draw,
        width=_labels(detectors) + 190 * len(sets), height=70 + 110 * len(detectors),
        alt="Shares of real and fake clips that are called real and fake at the threshold.",
    )  # fmt: skip


def transferred(ds: xr.Dataset) -> Drawing:
    """Draw the FPR on each data set at the threshold of each, a panel a detector and a rate."""
    detectors, sets, rates = _of(ds, "detector"), _of(ds, "dataset"), ds["rate"].to_numpy()
    mean = ds["transfer_fpr"].mean("seed").transpose("detector", "rate", "source", "target")
    values = mean.to_numpy()
    far = ds["worst"].transpose("detector", "rate", "source").to_numpy()

    def draw(figure: Figure) -> None:
        axes = figure.subplots(len(detectors), len(rates), squeeze=False)
        for i, j in np.ndindex(*axes.shape):
            ax: Any = axes[i, j]
            for y, x in np.ndindex(len(sets), len(sets)):
                value = float(values[i, j, y, x])
                _cell(ax, x, y, value, np.sqrt(max(value, 0)), FAKE if x != y else TUNED,
                      percent=True, bold=far[i, j, y] == sets[x])  # fmt: skip
            _axes(ax, np.arange(len(sets)), sets, sets if not j else [""] * len(sets))
            ax.set_title(
                _wrapped(f"{detectors[i]}, FPR {100 * rates[j]:g} %"), loc="left", color=INK
            )
            ax.set_ylabel("" if j else "threshold of")

    side = 70 * len(sets)
    return Drawing(
        name="transfer", title="Real clips called fake at the threshold of another data set",
        width=_labels(sets) + (side + 40) * len(rates), draw=draw,
        height=len(detectors) * (34 * len(sets) + 50 + 5.5 * max(map(len, sets))),
        alt="Rows: the data set on which the threshold was fixed; columns: where it is applied; "
        "framed: the worst other set.",
    )  # fmt: skip


def _panels(
    ds: xr.Dataset, name: str, title: str, panel: Callable[[Axes, str], None], *, ylabel: str,
    alt: str, most: int = 3,
) -> Drawing:  # fmt: skip
    """Lay out one square panel a data set, at most so many in a row."""
    sets = _of(ds, "dataset")
    columns = min(most, len(sets))
    rows = -(-len(sets) // columns)
    titles = {k: _wrapped(f"{k} {mark(ds, k)}".strip()) for k in sets}
    lines = max(text.count("\n") + 1 for text in titles.values())

    def draw(figure: Figure) -> None:
        axes = figure.subplots(rows, columns, squeeze=False)
        for ax in axes.flat[len(sets) :]:
            ax.set_axis_off()
        for ax, k in zip(axes.flat, sets, strict=False):
            panel(ax, k)
            ax.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01), aspect="equal")
            ax.set_xticks(np.linspace(0, 1, 6))
            ax.set_yticks(np.linspace(0, 1, 6))
            ax.grid()
            ax.set_title(titles[k], loc="left", color=INK)
        for ax in axes[:, 0]:
            ax.set_ylabel(ylabel)
        _key(figure, [(look.colour, d, _dash(ds, d)) for d, look in _looks(ds).items()])

    return Drawing(
        name=name, title=title, alt=alt, width=60 + SIDE * columns,
        height=44 + (SIDE + 14 * lines) * rows, draw=draw,
        narrow=_panels(ds, name, title, panel, ylabel=ylabel, alt=alt, most=1)
        if most > 1 else None,
    )  # fmt: skip


def _cell(
    ax: Axes, x: float, y: float, value: float, full: float, colour: str, *,
    percent: bool = False, bold: bool = False,
) -> None:  # fmt: skip
    """Draw a cell, as full as a share says, with its number."""
    known = bool(np.isfinite(value))
    alpha = DARKEST * float(np.clip(full, 0, 1)) if known else 0.0
    place = (x - 0.48, y - 0.46)
    ax.add_patch(Rectangle(place, 0.96, 0.92, facecolor=colour, alpha=alpha, lw=0))
    ax.add_patch(Rectangle(place, 0.96, 0.92, facecolor="none",
                           edgecolor=INK if bold else LINE, lw=1.6 if bold else 1))  # fmt: skip
    text = f"{100 * value:.1f} %" if percent and known else number(value)
    ax.text(x, y, text, ha="center", va="center", color=INK if known else MUTED)


def _axes(
    ax: Axes, places: Any, columns: Sequence[str], rows: Sequence[str], *, turn: bool = True
) -> None:
    """Name the rows and columns of cells, and take away all else."""
    ax.set_xlim(-0.55, float(places[-1]) + 0.55)
    ax.set_ylim(len(rows) - 0.45, -0.55)
    turned = turn and max(map(len, columns)) > 8
    ax.set_xticks(
        places, columns, rotation=30 if turned else 0, ha="right" if turned else "center",
        va="top", rotation_mode="anchor",
    )  # fmt: skip
    ax.set_yticks(range(len(rows)), rows)
    ax.spines[["left", "bottom"]].set_visible(False)


def _key(figure: Figure, entries: Sequence[tuple[str, str, Any]]) -> None:
    handles = [Line2D([], [], color=c, label=name, ls=dash, lw=2.4) for c, name, dash in entries]
    figure.legend(
        handles=handles, loc="outside upper left", ncols=min(3, len(entries)), labelcolor=INK,
        borderaxespad=0.2,
    )  # fmt: skip


def _looks(ds: xr.Dataset) -> dict[str, Look]:
    names = _of(ds, "detector")
    # A detector may be called like a class, whose look is fixed.
    return dict(zip(names, looks(f"detector {name}" for name in names), strict=True))


def _dash(ds: xr.Dataset, detector: str) -> Any:
    return DASHES[_of(ds, "detector").index(detector) % len(DASHES)]


def _of(ds: xr.Dataset, dim: str) -> list[str]:
    return [str(name) for name in ds[dim].to_numpy()]


def _labels(names: Sequence[str]) -> float:
    return 30 + TEXT * 0.55 * min(max(map(len, names)), 26)


def _wrapped(name: str) -> str:
    import textwrap

    return "\n".join(textwrap.wrap(name, 22)) or name
