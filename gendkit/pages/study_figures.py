"""The drawings of a study: a result enters, drawings leave that a page and a notebook both show.

A drawing knows how to put itself on a matplotlib figure; its colours are those of the page's
charts, which take their ink from the page.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from gendkit.pages.figures import INK, LINE, MUTED, PAPER, svg
from gendkit.pages.palette import PROBE, TUNED, Look, looks

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Floats = NDArray[np.float64]
CHANCE = 0.5
PROBE_LOOK = Look(name="frozen probe", colour=PROBE, marker="o")
TUNED_LOOK = Look(name="tuned", colour=TUNED, marker="D")


@dataclass(frozen=True, kw_only=True)
class Drawing:
    """A chart that is not drawn yet.

    Attributes
    ----------
    title, alt
        Above it, and in its place for who cannot see it.
    height
        CSS pixels at natural size; the width is up to the page.
    draw
        Puts it on a figure.
    """

    title: str
    alt: str
    height: float
    draw: Callable[[Figure], None]

    def svg(self, *, width: float = 720) -> str:
        """Return it as an `<svg>` element."""
        return svg(width, self.height, self.draw)


@dataclass(frozen=True, kw_only=True)
class Series:
    """Estimates (N, bound) with a look; of N = 0 nothing is drawn."""

    look: Look
    bounds: Floats


def dots(
    names: Sequence[str], series: Sequence[Series], *, title: str, xlabel: str,
    reference: float | None = None, bold: Sequence[str] = (),
) -> Drawing:  # fmt: skip
    """Draw a row for each name, on it a dot with its interval for each series.

    Parameters
    ----------
    names
        Of the rows, from above.
    series
        Each with estimates (rows, bound).
    reference
        A dashed line, such as chance or no difference.
    bold
        Rows that stand out, such as a mean.
    """

    def draw(figure: Figure) -> None:
        ax = figure.add_subplot()
        shift = 0.17 if len(series) > 1 else 0.0
        for s, one in enumerate(series):
            _dots(ax, np.arange(len(names)) + shift * (2 * s - len(series) + 1), one)
        for row in (r for r, name in enumerate(names) if name in bold):
            ax.axhspan(row - 0.46, row + 0.46, color=LINE, alpha=0.45, linewidth=0)
        if reference is not None:
            ax.axvline(reference, color=MUTED, linewidth=1, linestyle=(0, (3, 3)), zorder=0.5)
        ax.set_ylim(len(names) - 0.4, -0.6)
        ax.margins(x=0.04)
        ax.xaxis.set_major_locator(MaxNLocator(nbins=5))
        ax.grid(axis="x", color=LINE)
        ax.spines[["left", "top", "right"]].set_visible(False)
        ax.set_yticks(range(len(names)), list(names))
        ax.tick_params(axis="y", length=0)
        for label, name in zip(ax.get_yticklabels(), names, strict=True):
            label.set_color(INK if name in bold else MUTED)
        ax.set_xlabel(xlabel, color=MUTED)
        if len(series) > 1:
            _legend(figure, [one.look for one in series])

    several = len(series) > 1
    height = 62 + (34 if several else 24) * len(names) + 22 * several
    return Drawing(title=title, alt=_alt(title, names, series), height=height, draw=draw)


def bands(
    ticks: Sequence[str], series: Sequence[Series], *, title: str, xlabel: str, ylabel: str,
    reference: float | None = None, height: float = 270,
) -> Drawing:  # fmt: skip
    """Draw lines with bands over places that stand at even distances."""

    def draw(figure: Figure) -> None:
        ax = figure.add_subplot()
        x = np.arange(len(ticks))
        for one in series:
            value, low, high = one.bounds.T
            ax.fill_between(x, low, high, color=one.look.colour, alpha=0.16, linewidth=0)
            ax.plot(x, value, color=one.look.colour, marker=one.look.marker, markersize=5)
        if reference is not None:
            ax.axhline(reference, color=MUTED, linewidth=1, linestyle=(0, (3, 3)), zorder=0.5)
        longest = max(map(len, ticks), default=0)
        ax.set_xticks(x, list(ticks), rotation=90 if longest * len(ticks) > 60 else 0)
        ax.margins(x=0.04)
        ax.grid(axis="y", color=LINE)
        ax.spines[["left", "top", "right"]].set_visible(False)
        ax.set_xlabel(xlabel, color=MUTED)
        ax.set_ylabel(ylabel, color=MUTED)
        if len(series) > 1:
            _legend(figure, [one.look for one in series])

    return Drawing(title=title, alt=_alt(title, ticks, series), height=height, draw=draw)


def matrix(
    values: Floats, rows: Sequence[str], columns: Sequence[str], *, title: str, ylabel: str,
    xlabel: str, low: float, high: float, percent: bool = False,
) -> Drawing:  # fmt: skip
    """Draw a table of numbers (R, C) whose cells are the fuller the nearer they are to `high`."""

    def draw(figure: Figure) -> None:
        ax = figure.add_subplot()
        for r, row in enumerate(values):
            for c, value in enumerate(row):
                if np.isfinite(value):
                    share = float(np.clip((value - low) / (high - low), 0, 1))
                    ax.fill(
                        [c - 0.48, c + 0.48, c + 0.48, c - 0.48],
                        [r - 0.47, r - 0.47, r + 0.47, r + 0.47],
                        color=TUNED, alpha=0.06 + 0.5 * share, linewidth=0,
                    )  # fmt: skip
                text = f"{100 * value:.0f}" if percent else f"{value:.2f}"
                ax.text(c, r, text if np.isfinite(value) else "–", ha="center", va="center",
                        color=INK)  # fmt: skip
        ax.set(xlim=(-0.5, len(columns) - 0.5), ylim=(len(rows) - 0.5, -0.5))
        ax.set_xticks(range(len(columns)), list(columns), rotation=90)
        ax.set_yticks(range(len(rows)), list(rows))
        ax.xaxis.tick_top()
        ax.xaxis.set_label_position("top")
        ax.tick_params(length=0)
        ax.set_xlabel(xlabel, color=MUTED)
        ax.set_ylabel(ylabel, color=MUTED)
        ax.spines[:].set_visible(False)

    longest = max(map(len, columns), default=0)
    return Drawing(
        title=title,
        alt=f"{title}: {len(rows)} by {len(columns)} numbers, which the table below has too.",
        height=60 + 6.5 * longest + 27 * len(rows),
        draw=draw,
    )


def _dots(ax: Axes, y: NDArray[Any], one: Series) -> None:
    for place, (value, low, high) in zip(y, one.bounds, strict=True):
        if not np.isfinite(value):
            continue
        if np.isfinite(low) and np.isfinite(high):
            ax.plot([low, high], [place, place], color=one.look.colour, linewidth=1.6)
        ax.plot([value], [place], **_style(one.look))


def _style(look: Look) -> dict[str, Any]:
    hollow = {"markerfacecolor": PAPER, "markeredgewidth": 1.6} if look.colour == PROBE else {}
    return {"color": look.colour, "marker": look.marker, "markersize": 6, "linestyle": "none",
            **hollow}  # fmt: skip


def _legend(figure: Figure, given: Sequence[Look]) -> None:
    handles = [Line2D([], [], label=look.name, **_style(look)) for look in given]
    figure.legend(
        handles=handles, loc="outside upper left", ncols=min(3, len(handles)), labelcolor=INK,
        frameon=False, borderaxespad=0.2,
    )  # fmt: skip


def _alt(title: str, names: Sequence[str], series: Sequence[Series]) -> str:
    of = ", ".join(one.look.name for one in series)
    return f"{title}: {of} for {', '.join(names)}; the table below has the same numbers."


def _ablation(ds: xr.Dataset) -> list[Drawing]:
    names = [str(v) for v in ds["variant"].to_numpy()]
    groups = [str(g) for g in ds["group"].to_numpy()]
    given = (TUNED_LOOK,) if len(groups) == 1 else tuple(looks(groups))
    made = []
    for variable, title, xlabel, reference in (
        ("mean_auroc", "Mean AUROC over families", "AUROC of clips", None),
        ("gain", "Gain over the frozen probe", "difference in mean AUROC", 0.0),
    ):
        series = [
            Series(look=look, bounds=ds[variable].sel(group=g).to_numpy())
            for look, g in zip(given, groups, strict=True)
        ]
        made.append(dots(names, series, title=title, xlabel=xlabel, reference=reference))
    return made


def _layers(ds: xr.Dataset) -> list[Drawing]:
    norms = [str(n) for n in ds["norms"].to_numpy()]
    made = []
    for name, title, ylabel, reference in (
        ("mean_auroc", "Mean AUROC over families", "AUROC of clips", None),
        ("gain", "Gain over the frozen probe", "difference in mean AUROC", 0.0),
    ):
        one = Series(look=TUNED_LOOK, bounds=ds[name].to_numpy())
        made.append(bands(norms, [one], title=title, xlabel="layer norms tuned, the last of all",
                          ylabel=ylabel, reference=reference))  # fmt: skip
    return made


def _data_size(ds: xr.Dataset) -> list[Drawing]:
    people = [f"{n:.0f}" for n in ds["people"].mean("seed").to_numpy()]
    both = [
        Series(look=look, bounds=ds["mean_auroc"].sel(detector=name).to_numpy())
        for name, look in (("probe", PROBE_LOOK), ("tuned", TUNED_LOOK))
    ]
    gain = Series(look=TUNED_LOOK, bounds=ds["gain"].to_numpy())
    xlabel = "people to learn from, mean over seeds"
    return [
        bands(people, both, title="Mean AUROC over families", xlabel=xlabel,
              ylabel="AUROC of clips"),
        bands(people, [gain], title="Gain of tuning over the probe", xlabel=xlabel,
              ylabel="difference in mean AUROC", reference=0.0),
    ]  # fmt: skip


def _paired(ds: xr.Dataset) -> list[Drawing]:
    names = [*(str(f) for f in ds["family"].to_numpy()), "mean"]
    bounds = {
        str(kind): np.concatenate([ds["auroc"].to_numpy()[i], ds["mean_auroc"].to_numpy()[[i]]])
        for i, kind in enumerate(ds["compared"].to_numpy())
    }
    given = (Look(name="unpaired", colour=PROBE, marker="o"),
             Look(name="paired", colour=TUNED, marker="D"))  # fmt: skip
    return [
        dots(names, [Series(look=look, bounds=bounds[look.name]) for look in given],
             title="AUROC by family", xlabel="AUROC of clips", bold=["mean"]),
        dots(names, [Series(look=TUNED_LOOK, bounds=bounds["difference"])],
             title="Paired less unpaired", xlabel="difference in AUROC", reference=0.0,
             bold=["mean"]),
    ]  # fmt: skip


def _difficulty(ds: xr.Dataset) -> list[Drawing]:
    names = [str(g) for g in ds["tested"].to_numpy()]
    hard = ds["difficulty"].to_numpy()
    order = np.argsort(-hard[:, 0])
    made = [
        dots([names[i] for i in order], [Series(look=TUNED_LOOK, bounds=hard[order])],
             title="Difficulty", xlabel="1 − mean AUROC, trained on others"),
        matrix(ds["auroc"].sel(bound="value").to_numpy(), names, names, title="AUROC",
               ylabel="trained on", xlabel="tested on", low=CHANCE, high=1.0),
    ]  # fmt: skip
    for level in ds["level"].to_numpy():
        found = ds["tpr"].sel(level=level, bound="value").to_numpy()
        if np.isfinite(found).any():
            title = f"Fakes found (%) at the threshold for {level:.0%} of the row’s reals"
            made.append(matrix(found, names, names, title=title, ylabel="trained on",
                               xlabel="tested on", low=0.0, high=1.0, percent=True))  # fmt: skip
    years = ds["year"].to_numpy()
    if np.isfinite(years).sum() > 1:
        made.append(_by_year(names, years, hard, of=str(ds.attrs["by"])))
    return made


def _families(ds: xr.Dataset) -> list[Drawing]:
    names = [*(str(f) for f in ds["left_out"].to_numpy()), "mean"]
    bounds = {
        str(c): np.concatenate([ds["family_auroc"].sel(compared=c).to_numpy(),
                                ds["mean_auroc"].sel(compared=[c]).to_numpy()])
        for c in ds["compared"].to_numpy()
    }  # fmt: skip
    both = [Series(look=PROBE_LOOK, bounds=bounds["probe"]),
            Series(look=TUNED_LOOK, bounds=bounds["tuned"])]  # fmt: skip
    made = [
        dots(names, both, title="AUROC of a family that was left out", xlabel="AUROC of clips",
             bold=["mean"]),
        dots(names, [Series(look=TUNED_LOOK, bounds=bounds["difference"])],
             title="Gain of tuning over the probe", xlabel="difference in AUROC", reference=0.0,
             bold=["mean"]),
    ]  # fmt: skip
    if "control_rise" in ds:
        rows = [*(str(c) for c in ds["control"].to_numpy()), "mean"]
        rises = [
            Series(look=look, bounds=100 * np.concatenate(
                [ds["control_rise"].sel(compared=name).to_numpy(),
                 ds["mean_control_rise"].sel(compared=[name]).to_numpy()]))
            for name, look in (("probe", PROBE_LOOK), ("tuned", TUNED_LOOK))
        ]  # fmt: skip
        made.append(dots(rows, rises, title="Degraded reals called fake, above plain ones",
                         xlabel="rise in percentage points", reference=0.0,
                         bold=["mean"]))  # fmt: skip
    return made


def _by_year(names: Sequence[str], years: Floats, hard: Floats, *, of: str) -> Drawing:
    """Draw difficulty by year, without any line: years to come are nobody's to read off."""

    def draw(figure: Figure) -> None:
        ax = figure.add_subplot()
        for name, year, (value, low, high) in zip(names, years, hard, strict=True):
            if not np.isfinite(year):
                continue
            ax.plot([year, year], [low, high], color=TUNED, linewidth=1.6)
            ax.plot([year], [value], **_style(TUNED_LOOK))
            ax.annotate(name, (year, value), xytext=(7, 3), textcoords="offset points",
                        color=MUTED)  # fmt: skip
        ax.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))
        ax.margins(x=0.12)
        ax.grid(axis="y", color=LINE)
        ax.spines[["left", "top", "right"]].set_visible(False)
        whose = "data set" if of == "dataset" else "generator"
        ax.set_xlabel(f"year of the {whose}", color=MUTED)
        ax.set_ylabel("difficulty", color=MUTED)

    return Drawing(
        title="Difficulty by year", alt="Difficulty of each group by its year, without a line.",
        height=270, draw=draw,
    )  # fmt: skip


def _robustness(ds: xr.Dataset) -> list[Drawing]:
    """Draw AUROC of the detectors, and what the first calls fake, a pair of charts a kind."""
    detectors = [str(d) for d in ds["detector"].to_numpy()]
    looks_ = [Look(name=name, colour=look.colour, marker=look.marker)
              for name, look in zip(detectors, (TUNED_LOOK, PROBE_LOOK), strict=False)]  # fmt: skip
    kinds, made = ds["kind"].to_numpy(), []
    for kind in dict.fromkeys(str(k) for k in kinds):
        of = ds.isel(step=np.flatnonzero(kinds == kind))
        many = int(of["grids"].max())
        name = kind if many == 1 else f"{kind}, mean of {many} ways"
        ticks = [str(text) for text in of["strength"].to_numpy()]
        series = [Series(look=look, bounds=of["step_auroc"].sel(detector=look.name).to_numpy())
                  for look in looks_]  # fmt: skip
        if np.isfinite(of["step_auroc"]).any():  # of one class there is none
            made.append(bands(ticks, series, title=f"{name}: AUROC", xlabel="from mild to strong",
                              ylabel="AUROC of clips", height=230))  # fmt: skip
        first = of.isel(detector=0)
        called = [
            Series(look=look, bounds=first[rate].to_numpy())
            for rate, look in zip(("step_fpr", "step_tpr"), looks(["real", "fake"]), strict=True)
            if np.isfinite(first[rate]).any()
        ]
        made.append(bands(ticks, called, title=f"{name}: called fake by {detectors[0]}",
                          xlabel="from mild to strong", ylabel="share of clips",
                          height=230))  # fmt: skip
    return made


DRAWINGS: dict[str, Callable[[xr.Dataset], list[Drawing]]] = {
    "families": _families,
    "ablation": _ablation,
    "paired": _paired,
    "difficulty": _difficulty,
    "data-size": _data_size,
    "layers": _layers,
    "robustness": _robustness,
}


def drawings(ds: xr.Dataset) -> list[Drawing]:
    """Return the drawings of a result."""
    return DRAWINGS[ds.attrs["study"]](ds)
