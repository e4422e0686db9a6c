"""The charts of a clip report: its record enters, `<svg>` elements leave."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from gendkit.pages.figures import INK, LINE, MUTED, svg
from gendkit.pages.palette import TUNED

Frames = Sequence[Mapping[str, Any]]


def scores(frames: Frames, track: int, *, width: float = 900) -> str:
    """Draw one person's scores over time; frames without this face are ticks below the axis.

    Parameters
    ----------
    frames
        As in the record of a clip report. Where there are no time stamps, frame numbers are taken.
    track
        Whose.
    """
    timed = all(frame["time"] is not None for frame in frames)
    key = "time" if timed else "frame"
    own = [f for f in frames if f["track"] == track and f["score"] is not None]
    there = {f["frame"] for f in own}
    missing = sorted({f[key] for f in frames if f["frame"] not in there})

    def draw(figure: Figure) -> None:
        ax = figure.add_subplot()
        style: dict[str, Any] = {"color": TUNED, "marker": "o", "markersize": 4}
        ax.plot([f[key] for f in own], [f["score"] for f in own], **style)
        mean = float(np.mean([f["score"] for f in own]))
        ax.axhline(mean, color=TUNED, linewidth=1, linestyle=(0, (1, 2)))
        ax.plot(missing, np.full(len(missing), -0.05), "x", color=MUTED, markersize=4)
        ax.set_ylim(-0.09, 1.02)
        ax.set_yticks(np.linspace(0, 1, 5))
        ax.grid(axis="y")
        ax.spines["left"].set_visible(False)
        ax.set_xlabel("time in seconds" if timed else "frame")
        ax.set_ylabel("score of the frame")
        handles = [
            Line2D([], [], label="score", **style),
            Line2D([], [], label="mean", color=TUNED, linewidth=1, linestyle=(0, (1, 2))),
        ]
        if missing:
            handles.append(
                Line2D(
                    [], [], label="looked at, this face not found", color=MUTED, marker="x",
                    markersize=4, linestyle="none",
                )
            )  # fmt: skip
        figure.legend(
            handles=handles, loc="outside upper left", ncols=3 if width > 600 else 1,
            labelcolor=INK, borderaxespad=0.2,
        )  # fmt: skip

    return svg(width, 220 if width > 600 else 270, draw)


def sensitivity(rows: Sequence[Mapping[str, Any]], *, width: float = 720) -> str:
    """Draw the score under each change, a line a change, beside the score without one.

    Parameters
    ----------
    rows
        Of one person, as in the record of a clip report.
    """
    base = next(row["score"] for row in rows if row["change"] == "none")
    there = [row for row in rows if row["change"] != "none" and row["score"] is not None]
    kinds = list(dict.fromkeys(row["change"] for row in there))

    def draw(figure: Figure) -> None:
        ax = figure.add_subplot()
        for y, kind in enumerate(kinds):
            values = [row["score"] for row in there if row["change"] == kind]
            ax.plot([min(values), max(values)], [y, y], color=LINE, linewidth=5, zorder=1)
            ax.plot(
                values, [y] * len(values), "o", color=TUNED, markersize=5, alpha=0.75, zorder=2,
                markeredgewidth=0,
            )  # fmt: skip
        ax.axvline(base, color=INK, linewidth=1.2, linestyle=(0, (3, 3)), zorder=3)
        ax.set_xlim(-0.02, 1.02)
        ax.set_ylim(len(kinds) - 0.5, -0.5)
        ax.set_yticks(range(len(kinds)), kinds)
        ax.tick_params(axis="y", labelcolor=INK)
        ax.grid(axis="x")
        ax.spines["left"].set_visible(False)
        ax.set_xlabel("score; dashed, without a change")

    return svg(width, 62 + 30 * max(1, len(kinds)), draw)
