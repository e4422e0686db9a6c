"""Calibration: a share that is said is the share that is found."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit

from gendkit.errors import InvalidLabels
from gendkit.measure.calibration import (
    EDGE,
    Isotonic,
    Temperature,
    fit_isotonic,
    fit_temperature,
    logit,
    reliability,
)


def _overconfident(count: int = 4000, *, times: float = 3.0) -> tuple[np.ndarray, np.ndarray]:
    """Labels of true log odds x, and scores that say `times` as much."""
    rng = np.random.default_rng(0)
    x = rng.normal(0, 1.5, count)
    return (rng.random(count) < expit(x)).astype(int), np.asarray(expit(times * x))


def test_the_temperature_is_how_many_times_too_sure_it_was() -> None:
    y, s = _overconfident()
    found = fit_temperature(y, s)
    assert found.value == pytest.approx(3, rel=0.1)
    assert found([0.5]).tolist() == [0.5]
    np.testing.assert_allclose(Temperature(value=1.0)([0.2, 0.7]), [0.2, 0.7])


def test_what_was_calibrated_is_found_as_it_is_said() -> None:
    y, s = _overconfident()
    raw = reliability(y, s)
    assert (raw["said"] - raw["found"]).abs().max() > 0.1
    for fitted in (fit_temperature(y, s), fit_isotonic(y, s)):
        table = reliability(y, fitted(s))
        assert (table["said"] - table["found"]).abs().max() < 0.06
        assert table["clips"].sum() == len(y)
        assert ((table["low"] <= table["found"]) & (table["found"] <= table["high"])).all()


def test_isotonic_never_falls_and_stays_level_beyond_its_ends() -> None:
    y, s = _overconfident(200)
    found = fit_isotonic(y, s)
    at = found(np.linspace(0, 1, 500))
    assert (np.diff(at) >= 0).all()
    assert at[0] == found.shares[0]
    assert at[-1] == found.shares[-1]
    line = Isotonic(scores=(0.2, 0.4), shares=(0.0, 1.0))
    np.testing.assert_allclose(line([0.1, 0.3, 0.9]), [0, 0.5, 1])


def test_intervals_are_those_of_clopper_and_pearson() -> None:
    table = reliability([0] * 9 + [1], [0.3] * 10)
    assert table["clips"].tolist() == [10]
    assert table["found"].tolist() == [0.1]
    assert table["low"][0] == pytest.approx(0.00253, abs=1e-5)
    assert table["high"][0] == pytest.approx(0.44502, abs=1e-5)
    ends = reliability([0] * 5 + [1] * 5, [0.1] * 5 + [0.9] * 5, bins=2)
    assert ends["low"][0] == 0
    assert ends["high"][1] == 1
    assert ends["clips"].tolist() == [5, 5]


def test_a_logit_is_finite_at_the_ends() -> None:
    assert logit([0, 0.5, 1]).tolist() == [
        pytest.approx(np.log(EDGE), rel=1e-6),
        0,
        pytest.approx(-np.log(EDGE), rel=1e-6),
    ]


def test_one_class_is_refused() -> None:
    for fit in (fit_temperature, fit_isotonic, reliability):
        with pytest.raises(InvalidLabels, match="of one class"):
            fit([1, 1], [0.2, 0.4])
