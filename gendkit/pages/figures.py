"""The charts of the pages: tables enter, `<svg>` elements leave.

A chart takes its ink from the page (the CSS variables --ink, --muted, --line and --paper), so that
one drawing serves light, dark and print; the colours with a meaning are the palette's, the same in
all three. Equal input gives equal bytes. Widths are CSS pixels at natural size, at which text is
11 px.
"""

from __future__ import annotations

import hashlib
import io
import re
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.markers import MarkerStyle
from matplotlib.path import Path
from matplotlib.ticker import MaxNLocator

from gendkit.pages import maps
from gendkit.pages.palette import FAKE, PROBE, REAL, TUNED, Look

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

    from gendkit.evaluate.demo.result import ScoredClip

_INK = {
    "#1a1b1c": "var(--ink)",
    "#5a5b5c": "var(--muted)",
    "#dadbdc": "var(--line)",
    "#fafbfc": "var(--paper)",
}
INK, MUTED, LINE, PAPER = _INK
TEXT = 11.0
_STYLE: dict[str, Any] = {
    "font.size": TEXT,
    "axes.labelsize": TEXT,
    "axes.titlesize": TEXT,
    "xtick.labelsize": TEXT,
    "ytick.labelsize": TEXT,
    "legend.fontsize": TEXT,
    "text.color": INK,
    "text.parse_math": False,
    "axes.labelcolor": MUTED,
    "axes.edgecolor": LINE,
    "axes.linewidth": 1.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.unicode_minus": True,
    "axes.grid": False,
    "xtick.color": LINE,
    "ytick.color": LINE,
    "xtick.labelcolor": MUTED,
    "ytick.labelcolor": MUTED,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "grid.color": LINE,
    "grid.linewidth": 0.8,
    "legend.frameon": False,
    "lines.solid_capstyle": "round",
    "lines.linewidth": 1.8,
    "svg.fonttype": "none",
    "svg.hashsalt": "gendkit",
    "svg.image_inline": True,
}
_STYLE_LOCK = threading.Lock()  # matplotlib's settings belong to the process

_POINTER = r'(href="#|url\(#)([\w-]+)'

GROUPS = {"seen": "Seen in training", "unseen": "Never seen", "control": "Negative controls"}
DETECTORS = {"probe": "frozen linear probe", "tuned": "tuned layer norms"}
_DETECTOR_STYLE: dict[str, dict[str, Any]] = {
    "probe": {"color": PROBE, "marker": "o", "markerfacecolor": PAPER, "markeredgewidth": 1.6},
    "tuned": {"color": TUNED, "marker": "D", "markersize": 5.5},
}


def auroc(families: pd.DataFrame, groups: pd.DataFrame, *, width: float = 720) -> str:
    """Draw AUROC by family with its interval, probe above tuned, a block a group.

    Parameters
    ----------
    families, groups
        As in `DemoResult`. A family without a finite AUROC keeps its line, with a dash.
    """
    lines: list[tuple[str, Any]] = []
    for group in (g for g in GROUPS if g in set(families["group"])):
        lines.append((GROUPS[group], None))
        lines += [
            (row["family"], row) for _, row in families[families["group"] == group].iterrows()
        ]
        mean = groups[groups["group"] == group]
        if len(mean):
            lines.append(("mean", mean.iloc[0]))

    def draw(figure: Figure) -> None:
        ax = figure.add_subplot()
        for y, (name, row) in enumerate(lines):
            if row is None:
                continue
            if name == "mean":
                ax.axhspan(y - 0.46, y + 0.46, color=LINE, alpha=0.45, linewidth=0)
            known = {d: bool(np.isfinite(row[d])) for d in DETECTORS}
            for shift, detector in ((-0.17, "probe"), (0.17, "tuned")):
                if known[detector]:
                    _dot(ax, y + shift, row, detector)
            if not any(known.values()):
                ax.annotate("–", (0.5, y), xytext=(8, -4), textcoords="offset points", color=MUTED)
        ax.axvline(0.5, color=MUTED, linewidth=1, linestyle=(0, (3, 3)), zorder=0.5)
        ax.set_ylim(len(lines) - 0.4, -0.6)
        columns = [f"{d}{e}" for d in DETECTORS for e in ("", "_low")]
        least = np.nanmin([0.42, *families[columns].min(), *groups[columns].min()])
        ax.set_xlim(max(0.0, np.floor(least * 20) / 20), 1.005)
        ax.grid(axis="x")
        ax.spines["left"].set_visible(False)
        ax.set_yticks(range(len(lines)), [name for name, _ in lines])
        for label, (name, row) in zip(ax.get_yticklabels(), lines, strict=True):
            label.set_color(INK if row is None or name == "mean" else MUTED)
            label.set_fontweight("bold" if row is None else "normal")
        ax.set_xlabel("AUROC, with its 95 % interval over people")
        _legend(figure, [(DETECTORS[d], _DETECTOR_STYLE[d]) for d in DETECTORS])

    return svg(width, 74 + 23 * len(lines), draw)


def roc(table: pd.DataFrame, *, group: str, width: float = 400) -> str:
    """Draw the ROC curves of one group, probe dashed and tuned solid.

    Parameters
    ----------
    table
        Columns `group`, `detector`, `fpr`, `tpr`, as in `DemoResult.roc`.
    """

    def draw(figure: Figure) -> None:
        ax = figure.add_subplot()
        ax.plot([0, 1], [0, 1], color=MUTED, linewidth=1, linestyle=(0, (1, 3)))
        for detector, dashes in (("probe", (0, (4, 2))), ("tuned", "solid")):
            rows = table[(table["group"] == group) & (table["detector"] == detector)]
            colour = _DETECTOR_STYLE[detector]["color"]
            ax.plot(
                rows["fpr"], rows["tpr"], color=colour, linestyle=dashes, label=DETECTORS[detector]
            )
        ax.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01), aspect="equal")
        ax.set_xticks(np.linspace(0, 1, 6))
        ax.set_yticks(np.linspace(0, 1, 6))
        ax.grid()
        ax.set_xlabel("real faces called fake")
        ax.set_ylabel("fake faces found")
        ax.legend(loc="lower right")

    return svg(width, width, draw)


def timeline(clip: ScoredClip, twin: ScoredClip, *, width: float = 900) -> str:
    """Draw two clips' scores over time; frames without a face are ticks below the axis."""

    def draw(figure: Figure) -> None:
        ax = figure.add_subplot()
        styles: list[tuple[ScoredClip, dict[str, Any], float]] = [
            (clip, {"color": REAL, "marker": "o", "markersize": 4}, -0.035),
            (twin, {"color": FAKE, "marker": "^", "markersize": 5}, -0.065),
        ]
        for scored, style, low in styles:
            ax.plot(scored.time, scored.score, **style)
            ax.axhline(scored.clip_score, color=style["color"], linewidth=1, linestyle=(0, (1, 2)))
            missing = scored.time[~np.isfinite(scored.score)]
            ax.plot(missing, np.full(len(missing), low), "x", color=style["color"], markersize=4)
        ax.set_ylim(-0.09, 1.02)
        ax.set_yticks(np.linspace(0, 1, 5))
        ax.grid(axis="y")
        ax.spines["left"].set_visible(False)
        ax.set_xlabel("time in seconds")
        ax.set_ylabel("score of the frame")
        if not any(np.isfinite(scored.score).any() for scored, *_ in styles):
            ax.text(
                0.5, 0.5, "no face was found in either clip", transform=ax.transAxes, ha="center"
            )
        _legend(figure, [(s.name, style) for s, style, _ in styles], columns=1 + (width > 600))

    return svg(width, 240 if width > 600 else 270, draw)


def sphere(ds: xr.Dataset, *, colour: str, width: float = 440) -> str:
    """Draw the map of the sphere by a variable; its legend is `maps.colouring(ds, colour)`."""

    def draw(figure: Figure) -> None:
        ax = figure.add_subplot()
        maps.draw_map(ax, ds, colour=colour)
        ax.set_axis_off()

    return svg(width, width * 0.86, draw)


def layers(table: pd.DataFrame, *, part: Literal["weight", "bias"], width: float = 440) -> str:
    """Draw how far each layer norm moved, in per cent of its norm, by depth."""

    def draw(figure: Figure) -> None:
        ax = figure.add_subplot()
        moved = 100 * table[part].to_numpy(dtype=float)
        moved = np.where(np.isfinite(moved), moved, np.nan)
        depth = table["depth"].to_numpy(dtype=float)
        ax.vlines(depth, 0, moved, color=TUNED, linewidth=1.2, alpha=0.5)
        ax.plot(depth, moved, "o" if part == "weight" else "s", color=TUNED, markersize=4.5)
        ax.set_ylim(bottom=0)
        if not np.isfinite(moved).any() or not np.nanmax(moved):
            ax.set_ylim(0, 1)
        ax.set_xlim(-0.03, 1.03)
        ax.set_xticks([0, 0.5, 1], ["first", "middle", "last"])
        ax.grid(axis="y")
        ax.spines["left"].set_visible(False)
        ax.set_xlabel("layer norm, by depth")
        ax.set_ylabel("change in %")

    return svg(width, 230, draw)


def curve(table: pd.DataFrame, *, column: str, width: float = 300) -> str:
    """Draw one column of the training table by epoch."""

    def draw(figure: Figure) -> None:
        ax = figure.add_subplot()
        ax.plot(table["epoch"], table[column], color=TUNED, marker="o", markersize=3.5)
        ax.margins(y=0.15)
        ax.grid(axis="y")
        ax.yaxis.set_major_locator(MaxNLocator(nbins=4))
        ax.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))
        ax.spines["left"].set_visible(False)
        ax.set_xlabel("epoch")

    return svg(width, 180, draw)


def marker(look: Look, *, side: float = 14) -> str:
    """Draw the marker of a category alone, for a legend in the page."""
    style = MarkerStyle(look.marker)
    path = style.get_path().transformed(style.get_transform())
    vertices = np.asarray(path.vertices) * (side * (0.26 if look.marker == "." else 0.42))
    words = {Path.MOVETO: "M", Path.LINETO: "L", Path.CURVE3: "Q", Path.CURVE4: "C"}
    shape = []
    for points, code in Path(vertices, path.codes).iter_segments(curves=True, simplify=False):
        if code == Path.CLOSEPOLY:
            shape.append("Z")
        else:
            shape.append(words[code] + " ".join(f"{p:.2f}" for p in points))
    half = side / 2
    return (
        f'<svg viewBox="{-half:g} {-half:g} {side:g} {side:g}" width="{side:g}" height="{side:g}" '
        f'aria-hidden="true"><path transform="scale(1 -1)" d="{"".join(shape)}" '
        f'fill="{look.colour}"/></svg>'
    )


def _dot(ax: Any, y: float, row: Any, detector: str) -> None:
    style = _DETECTOR_STYLE[detector]
    value, low, high = (float(row[f"{detector}{end}"]) for end in ("", "_low", "_high"))
    if np.isfinite(low) and np.isfinite(high):
        ax.plot([low, high], [y, y], color=style["color"], linewidth=1.6)
    ax.plot([value], [y], linestyle="none", **style)


def _legend(figure: Figure, entries: list[tuple[str, dict[str, Any]]], *, columns: int = 2) -> None:
    handles = [Line2D([], [], label=name, **style) for name, style in entries]
    figure.legend(
        handles=handles, loc="outside upper left", ncols=columns, labelcolor=INK, borderaxespad=0.2
    )


def svg(width: float, height: float, draw: Callable[[Figure], None]) -> str:
    """Draw on a canvas of so many CSS pixels and return the cleaned `<svg>` element."""
    keys = ("Date", "Creator", "Format", "Type")
    with _STYLE_LOCK, mpl.rc_context(_STYLE):
        figure = Figure(figsize=(width / 72, height / 72), dpi=72, layout="constrained")
        draw(figure)
        buffer = io.StringIO()
        figure.savefig(
            buffer, format="svg", transparent=True, dpi=180, metadata=dict.fromkeys(keys)
        )
    return _clean(buffer.getvalue(), width, height)


def drawn(figure: Figure, draw: Callable[[Figure], None]) -> Figure:
    """Draw on a figure as the pages do, on white paper; return it."""
    with _STYLE_LOCK, mpl.rc_context(_STYLE):
        draw(figure)
    figure.set_facecolor("white")
    return figure


def png(width: float, height: float, draw: Callable[[Figure], None]) -> bytes:
    """Draw on white paper and return a PNG file with two pixels a CSS pixel."""
    figure = Figure(figsize=(width / 72, height / 72), dpi=72, layout="constrained")
    buffer = io.BytesIO()
    about = {"Software": None}  # its version
    drawn(figure, draw).savefig(buffer, format="png", dpi=144, metadata=about)
    return buffer.getvalue()


def _clean(svg: str, width: float, height: float) -> str:
    """Make matplotlib's file an element of a page: its inks, its font, ids of its own."""
    svg = re.sub(r"<svg [^>]*>", "", svg[svg.index("<svg") :], count=1)
    svg = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>", "", svg, flags=re.DOTALL)
    used = {name for _, name in re.findall(_POINTER, svg)}
    mark = "g" + hashlib.sha256(svg.encode()).hexdigest()[:8]

    def tidy(match: re.Match[str]) -> str:
        tag = re.sub(r"font-family: [^;\"]*;? ?", "", match[0])
        tag = re.sub(r"(?<=\d\.\d\d)\d+", "", tag)
        for sentinel, variable in _INK.items():
            tag = tag.replace(sentinel, variable)
        tag = re.sub(r' id="([^"]+)"', lambda m: f' id="{mark}-{m[1]}"' * (m[1] in used), tag)
        return re.sub(_POINTER, rf"\g<1>{mark}-\g<2>", tag)

    svg = re.sub(r"<[^>]+>", tidy, svg)  # tags only: the text of a label stays as it is
    svg = re.sub(r">\s*\n\s*<", "><", svg)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
        f'viewBox="0 0 {width:g} {height:g}" '
        f'style="--natural: {width:g}px" stroke-linejoin="round">{svg.strip()}'
    )
