from dataclasses import replace

import numpy as np
import pytest

from gendkit.pages import findings
from gendkit.testing.demo_result import fake_demo_result

RESULT = fake_demo_result(0, samples=50)


def found(mean, low, high, *, group="unseen", **changes):
    numbers = {"probe": 0.7, "tuned": 0.7 + mean, "tuned_low": 0.65, "tuned_high": 0.9} | changes
    return findings.Effect(group=group, families=3, mean=mean, low=low, high=high, **numbers)


NAN = float("nan")
GAIN = found(0.06, 0.02, 0.10)
LOSS = found(-0.06, -0.10, -0.02)
UNCLEAR = found(0.01, -0.02, 0.04)
UNKNOWN = found(NAN, NAN, NAN)


@pytest.mark.parametrize(
    ("effect", "direction"),
    [
        (GAIN, "gain"),
        (LOSS, "loss"),
        (UNCLEAR, "unclear"),
        (UNKNOWN, "unknown"),
        (found(0.06, 0.0, 0.1), "unclear"),
        (found(0.06, NAN, 0.1), "unclear"),
    ],
)
def test_a_direction_needs_the_whole_interval_on_one_side_of_zero(effect, direction):
    assert effect.direction == direction


def test_the_headline_follows_the_unseen_families():
    assert "better" in findings.headline(LOSS, GAIN)
    assert "worse" in findings.headline(GAIN, LOSS)
    assert "no clear effect" in findings.headline(GAIN, UNCLEAR)


def test_without_unseen_families_the_headline_says_that_none_were_measured():
    for unseen in (None, UNKNOWN):
        assert "no others were measured" in findings.headline(GAIN, unseen)
    assert "not measured" in findings.headline(None, None)


def test_a_comparison_has_its_numbers_and_its_word():
    assert "a gain of +0.060 (95\N{NO-BREAK SPACE}% interval +0.020 to +0.100)" in (
        findings.comparison(GAIN)
    )
    assert "a loss of −0.060" in findings.comparison(LOSS)
    assert "kept out of training" in findings.comparison(LOSS)
    assert "seen in training" in findings.comparison(replace(LOSS, group="seen"))


def test_an_interval_with_zero_claims_neither_gain_nor_loss():
    text = findings.comparison(UNCLEAR)
    assert "contains zero" in text
    assert "gain" not in text
    assert "loss" not in text


def test_a_missing_interval_or_number_is_said():
    assert "no interval could be computed" in findings.comparison(found(0.06, NAN, NAN))
    assert "could not be computed" in findings.comparison(UNKNOWN)


def test_a_gain_that_does_not_clear_chance_is_qualified():
    assert "chance" in findings.comparison(replace(GAIN, tuned_low=0.48))
    assert "chance" not in findings.comparison(GAIN)


def test_the_effect_counts_only_families_with_a_number():
    families = RESULT.families.copy()
    families.loc[families["family"] == "diffusion-edit", "difference"] = np.nan
    effect = findings.effect(families, RESULT.groups, "unseen")
    assert effect is not None
    assert effect.families == 2
    assert effect.mean == RESULT.groups["difference"][1]
    assert findings.effect(families, RESULT.groups.iloc[:1], "unseen") is None


def test_a_control_is_named_only_if_its_interval_leaves_out_one_half():
    families = RESULT.families.copy()
    control = families["group"] == "control"
    families.loc[control, ["tuned", "tuned_low", "tuned_high"]] = [0.5, 0.45, 0.55]
    assert "For none of the 8" in findings.controls(families)
    families.loc[families["family"] == "jpeg", ["tuned", "tuned_low"]] = [0.6, 0.51]
    text = findings.controls(families)
    assert "For 1 of 8" in text
    assert "jpeg (0.600)" in text
    assert "blur" not in text
    assert "No negative control" in findings.controls(families[~control])
    unsure = families.assign(tuned_low=np.nan, tuned_high=np.nan)
    assert "For no negative control could an interval be" in findings.controls(unsure)


def test_a_twin_that_scores_lower_is_not_called_found():
    assert "in 30 of 30 pairs" in findings.twins(RESULT.clip, RESULT.twin)
    assert "does not find this forgery" in findings.twins(RESULT.twin, RESULT.clip)


def test_a_clip_without_a_face_is_not_compared():
    nothing = replace(RESULT.clip, clip_score=NAN)
    assert f"No face was found in {nothing.name}, so" in findings.twins(nothing, RESULT.twin)


def test_neighbours_are_counted_among_the_nearest_of_both_kinds():
    near = RESULT.neighbourhood
    # fakes .910 .893 .876 .859 .842, reals .860 .843 .826 ...: of the five nearest one is real
    assert "Of the 5" in findings.surroundings(near)
    assert "4 are fake" in findings.surroundings(near)
    # Beyond the second real nothing is known of the reals, so only two may be counted.
    few = findings.surroundings(replace(near, reals=near.reals[:2]))
    assert "Of the 2" in few
    assert "2 are fake" in few
    assert "not both" in findings.surroundings(replace(near, reals=()))


def test_movement_ignores_what_is_not_finite():
    layers = RESULT.layers.copy()
    layers["bias"] = np.nan
    layers.loc[3, "weight"] = np.inf
    layers.loc[4, "weight"] = 0.5
    text = findings.movement(layers)
    assert "50.0\N{NO-BREAK SPACE}% at most (in blocks.2.norm1)" in text
    assert "for the biases there is no number" in text
