"""Pictures of a calibration: two lines a set, whatever is missing."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

import gendkit as gk
from gendkit.errors import InvalidArgument
from gendkit.measure.likelihood import LikelihoodRatio


@pytest.fixture
def calibrated() -> Any:
    """What both pictures read of a calibration: two sets, of which one has no real."""
    rng = np.random.default_rng(0)
    label = np.array([0] * 30 + [1] * 30 + [1] * 8)
    score = np.clip(rng.normal(0.3 + 0.4 * label, 0.15), 0, 1)
    clips = pd.DataFrame(
        {
            "set": ["own"] * 60 + ["elsewhere"] * 8,
            "label": label,
            "score": score,
            "log10_lr": np.clip(4 * (score - 0.5), -1.1, 1.2),
            "temperature": score,
            "isotonic": np.round(score, 1),
        }
    )
    ratio = LikelihoodRatio(intercept=0.0, slope=1.0, low=-1.1, high=1.2, reals=30, fakes=30)
    about = SimpleNamespace(likelihood=ratio, population="30 real and 30 fake clips " * 5)
    return SimpleNamespace(clips=clips, calibration=about)


def test_tippett_lines_fall_from_all_to_none(calibrated: Any) -> None:
    figure = gk.plot_tippett(calibrated)
    assert "Calibrated on 30 real and 30 fake clips" in figure.get_suptitle()
    own, elsewhere = figure.axes
    lines = {line.get_label(): line.get_ydata() for line in own.get_lines()}
    for kind in ("real", "fake"):
        assert lines[kind][0] == 1
        assert lines[kind][-1] == 0
        assert (np.diff(lines[kind]) <= 0).all()
    assert "real" not in {line.get_label() for line in elsewhere.get_lines()}
    assert own.get_title(loc="left") == "own"
    bounds = {line.get_xdata()[0] for line in own.get_lines() if line.get_linestyle() == ":"}
    assert bounds == {-1.1, 1.2}


def test_reliability_has_a_line_a_method_and_none_of_one_class(calibrated: Any) -> None:
    own, elsewhere = gk.plot_reliability(calibrated).axes
    names = [text.get_text() for text in own.get_legend().get_texts()]
    assert names == ["the score itself", "temperature", "isotonic"]
    assert len(elsewhere.get_lines()) == 1, "the diagonal alone"


def test_what_has_no_clips_is_refused() -> None:
    with pytest.raises(InvalidArgument, match=r"give what gk\.calibrate returns"):
        gk.plot_tippett(3)
