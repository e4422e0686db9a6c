"""Chains of degradations as text and as values: read, written, drawn, or refused."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gendkit.data import degrade
from gendkit.data.degrade import INTERPOLATIONS, KINDS, Chain, Drawn, Range, Step
from gendkit.errors import InvalidArgument


def test_a_text_is_read_into_steps_and_written_in_one_way() -> None:
    chain = Chain.parse(" resize:112:bicubic,jpeg:60.0 , noise:3e-2, blur:3..9:.5..2@.1")
    assert chain == Chain(
        steps=(
            degrade.resize(112, "bicubic"),
            degrade.jpeg(60),
            degrade.noise(0.03),
            replace(degrade.blur(Range(low=3, high=9), Range(low=0.5, high=2)), probability=0.1),
        )
    )
    assert str(chain) == "resize:112:bicubic,jpeg:60,noise:0.03,blur:3..9:0.5..2@0.1"


def test_each_step_names_its_values_and_their_units() -> None:
    said = {n: [(p.name, p.unit) for p in kind.parameters] for n, kind in KINDS.items()}
    assert [*said] == ["jpeg", "blur", "resize", "noise", "colour", "h264"]
    assert said["blur"] == [
        ("kernel", "side of the kernel in pixels"), ("sigma", "standard deviation in pixels"),
    ]  # fmt: skip
    for name, kind in KINDS.items():
        assert Step.parse(kind.example).name == name
        assert str(Step.parse(kind.example)) == kind.example
    assert str(degrade.colour(1.1)) == "colour:1.1:1:1:0"
    assert str(degrade.h264(28)) == "h264:28"


STEPS = st.one_of(
    st.builds(degrade.jpeg, st.integers(1, 100)),
    st.builds(degrade.blur, st.integers(0, 49).map(lambda n: 2 * n + 1), st.floats(0.01, 50)),
    st.builds(degrade.resize, st.integers(1, 8192), st.sampled_from(INTERPOLATIONS)),
    st.builds(degrade.noise, st.floats(0, 1)),
    st.builds(degrade.colour, *[st.floats(0, 10)] * 3, st.floats(-0.5, 0.5)),
    st.builds(
        lambda ends, often: replace(
            degrade.h264(Range(low=min(ends), high=max(ends))), probability=often
        ),
        st.tuples(st.integers(0, 51), st.integers(0, 51)),
        st.floats(0, 1, exclude_min=True),
    ),
)


@given(st.lists(STEPS, min_size=1, max_size=5))
def test_every_chain_comes_back_from_its_text(steps: list[Step]) -> None:
    chain = Chain(steps=tuple(steps))
    assert Chain.parse(str(chain)) == chain


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "'': here a step is expected, such as jpeg:60, blur:7:1"),
        ("jpeg:60,,noise:.1", "between commas a step is expected"),
        ("gif:3", "no step is named 'gif'; there are jpeg:60, blur:7:1"),
        ("jepg:4", "Was 'jpeg' meant"),
        ("jpeg", "jpeg takes quality, such as jpeg:60; got nothing"),
        ("jpeg:", "quality is nothing; it is a whole number from 1 to 100"),
        ("jpeg:0", "quality is 0; it is a whole number from 1 to 100, the quality of libjpeg"),
        ("jpeg:101", "quality is 101"),
        ("jpeg:60.5", "quality is 60.5; it is a whole number"),
        ("jpeg:60:4", "jpeg takes quality, such as jpeg:60; got 60:4"),
        ("jpeg:sixty", "quality is sixty"),
        ("jpeg:90..40", "quality is 90..40; the lower end of a range comes first"),
        ("jpeg:40..200", "quality is 200"),
        ("jpeg:60@0", "@0 says how often the step is done; it is above 0 and at most 1"),
        ("jpeg:60@nan", "@nan says how often"),
        ("jpeg:60@often", "'often' says how often the step is done; give a number"),
        ("jpeg:60@", "'' says how often"),
        ("blur:5", "blur takes kernel:sigma, such as blur:7:1; got 5"),
        ("blur:4:1", "kernel is 4; it is an odd number from 1 to 99, the side of the kernel"),
        ("blur:3..8:1", "kernel is 8; it is an odd number"),
        ("blur:5:0", "sigma is 0; it is a number from 0.01 to 50, the standard deviation in pix"),
        ("noise:nan", "sigma is nan; it is a number from 0 to 1"),
        ("noise:0..inf", "sigma is inf"),
        ("noise:-.1", "sigma is -0.1"),
        ("resize:64", "resize takes side:interpolation, such as resize:112:bicubic; got 64"),
        ("resize:64:cubic", "interpolation is cubic; it is one of nearest, bilinear, bicubic"),
        ("resize:64:1", "interpolation is 1; it is one of"),
        ("resize:64:1..2", "interpolation is 1"),
        ("colour:1:1:1:0.6", "hue is 0.6; it is a number from -0.5 to 0.5"),
        ("h264:52", "crf is 52; it is a whole number from 0 to 51"),
    ],
)  # fmt: skip
def test_nonsense_is_refused_with_what_is_expected(text: str, said: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        Chain.parse(text)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_truth_value_is_no_number() -> None:
    with pytest.raises(InvalidArgument, match="quality is 1"):
        degrade.jpeg(True)


def test_ranges_are_drawn_evenly_and_in_their_limits() -> None:
    chain = Chain.parse("jpeg:40..43,blur:3..9:0.5..2,resize:64..65:area,noise:0.1..0.3")
    drawn = [chain.draw(np.random.default_rng(i)) for i in range(1500)]
    first = [[one.steps[k].arguments[0] for one in drawn] for k in range(4)]
    qualities, kernels, sides = map(Counter, first[:3])
    assert qualities.keys() == {40, 41, 42, 43}
    assert kernels.keys() == {3, 5, 7, 9}
    assert sides.keys() == {64, 65}
    for counts in (qualities, kernels, sides):
        assert min(counts.values()) > 0.8 * 1500 / len(counts)
    sigmas = np.array(first[3], dtype=float)
    assert 0.1 <= sigmas.min() < 0.102
    assert 0.298 < sigmas.max() <= 0.3
    assert all(step.exact for one in drawn for step in one.steps)


def test_a_probability_is_how_often_a_step_is_done() -> None:
    chain = Chain.parse("jpeg:60@0.25,noise:0.1")
    drawn = [chain.draw(np.random.default_rng(i)) for i in range(1500)]
    done = np.array([len(one.steps) == 2 for one in drawn])
    assert done.mean() == pytest.approx(0.25, abs=0.04)
    assert all(str(one.steps[-1]) == "noise:0.1" for one in drawn)
    assert len({one.seed for one in drawn}) == 1500


def test_one_generator_draws_the_same_and_another_something_else() -> None:
    chain = Chain.parse("jpeg:1..100,noise:0..1")
    one, again, other = (chain.draw(np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert one == again != other


def test_what_is_exact_needs_no_draw_and_what_is_not_is_refused_without_one() -> None:
    chain = Chain.parse("jpeg:60,noise:0.1")
    assert chain.at(3) == Drawn(steps=chain.steps, seed=3)
    assert Chain().at(0) == Drawn()
    for text in ("jpeg:60,noise:0.1..0.2", "jpeg:60@0.5"):
        with pytest.raises(InvalidArgument, match="every value is to be given exactly"):
            Chain.parse(text).at(0)
