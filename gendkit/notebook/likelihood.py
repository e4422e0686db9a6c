"""Pictures of a calibration: what `gk.calibrate` said of clips enters, a figure leaves."""

from __future__ import annotations

from textwrap import fill
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.ticker import PercentFormatter

from gendkit.errors import InvalidArgument
from gendkit.measure.calibration import reliability
from gendkit.measure.likelihood import SCALE, tippett
from gendkit.notebook.pictures import Picture
from gendkit.pages.palette import FAKE, REAL, SERIES, TUNED, Look

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from gendkit.evaluate.calibrate import Calibrated

FADED = "#5a5b5c"
"""Of lines that only help to read."""
WIDTH, HEIGHT, LETTERS = 4.4, 3.4, 15
"""Of a panel in inches, and how many letters an inch holds."""
METHODS = {
    "score": "the score itself",
    "temperature": "temperature",
    "isotonic": "isotonic",
}
LOOKS = (
    Look(name="score", colour=TUNED, marker="o"),
    Look(name="temperature", colour=SERIES[2], marker="D"),
    Look(name="isotonic", colour=SERIES[6], marker="s"),
)


def plot_tippett(calibrated: Calibrated) -> Figure:
    """Draw which share of fakes, and of reals, has at least a likelihood ratio, a panel a set.

    The farther the two lines are apart the better the score tells; reals to the right of 0 and
    fakes to the left of it are misled. Dotted are the bounds beyond which nothing is said, faint
    where the next word of the scale of ENFSI begins. On the own set each clip's ratio was fitted
    without its group of people.

    Parameters
    ----------
    calibrated
        From `gk.calibrate`.
    """
    sets = _sets(calibrated)
    ratio = calibrated.calibration.likelihood
    figure, panels = _panels(sets)
    reach = max(-ratio.low, ratio.high, 1.0) * 1.08
    for ax, (name, clips) in zip(panels, sets.items(), strict=True):
        table = tippett(clips["label"].to_numpy(), clips["log10_lr"].to_numpy())
        at = np.concatenate([[-reach], table["log10_lr"], [reach]])
        for kind, colour in (("real", REAL), ("fake", FAKE)):
            if table[kind].notna().all():
                # A share falls just after the ratio that it is of.
                share = np.concatenate([[1.0], table[kind], [0.0]])
                ax.step(at, share, where="pre", color=colour, lw=1.8, label=kind)
        for bound in (ratio.low, ratio.high):
            ax.axvline(bound, color=FADED, lw=0.9, ls=":", zorder=0)
        for least, _ in SCALE:
            for sign in (-1, 1):
                if least < reach:
                    ax.axvline(sign * least, color=FADED, lw=0.4, alpha=0.4, zorder=0)
        ax.axvline(0, color=FADED, lw=0.9, zorder=0)
        ax.set(xlim=(-reach, reach), ylim=(-0.02, 1.02), xlabel="log10 of the likelihood ratio")
        ax.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        ax.set_title(name, loc="left", fontsize="medium")
    panels[0].set_ylabel("clips with at least this ratio")
    panels[0].legend(frameon=False, fontsize="small", loc="best")
    _name(figure, calibrated)
    return figure


def plot_reliability(calibrated: Calibrated) -> Figure:
    """Draw how many clips are fakes, of those of which a share is said, a panel a set.

    On the dashed line what is said is what is found; bars are 95 % intervals of the score itself.
    It holds for the share of fakes that the own set has.

    Parameters
    ----------
    calibrated
        From `gk.calibrate`.
    """
    sets = _sets(calibrated)
    figure, panels = _panels(sets)
    for ax, (name, clips) in zip(panels, sets.items(), strict=True):
        ax.plot([0, 1], [0, 1], color=FADED, lw=0.9, ls="--", zorder=0)
        label = clips["label"].to_numpy()
        for look in LOOKS if 0 < label.mean() < 1 else ():
            table = reliability(label, clips[look.name].to_numpy())
            ax.plot(
                table["said"], table["found"], color=look.colour, marker=look.marker, ms=4.5,
                label=METHODS[look.name],
            )  # fmt: skip
            if look.name == "score":
                ax.vlines(table["said"], table["low"], table["high"], color=look.colour, lw=0.8)
        ax.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), xlabel="share of fakes that is said")
        ax.set_title(name, loc="left", fontsize="medium")
    panels[0].set_ylabel("share of fakes that is found")
    panels[0].legend(frameon=False, fontsize="small", loc="best")
    _name(figure, calibrated)
    return figure


def _sets(calibrated: Calibrated) -> dict[str, pd.DataFrame]:
    clips = getattr(calibrated, "clips", None)
    if clips is None:
        raise InvalidArgument(
            f"a {type(calibrated).__name__} has no clips to draw; give what gk.calibrate returns."
        )
    return {str(name): own for name, own in clips.groupby("set", sort=False)}


def _name(figure: Figure, calibrated: Calibrated) -> None:
    """Write on the figure which clips it is about."""
    words = f"Calibrated on {calibrated.calibration.population}"
    width = int(LETTERS * figure.get_figwidth())
    figure.suptitle(fill(words, width), fontsize="small", x=0.01, ha="left", color=FADED)


def _panels(sets: dict[str, pd.DataFrame]) -> tuple[Picture, list[Axes]]:
    figure = Picture(figsize=(WIDTH * len(sets), HEIGHT), dpi=100, layout="constrained")
    panels = figure.subplots(1, len(sets), sharey=True, squeeze=False)[0].tolist()
    for ax in panels:
        ax.spines[["top", "right"]].set_visible(False)
    return figure, panels
