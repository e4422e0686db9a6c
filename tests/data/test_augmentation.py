"""The text of a recipe's augmentation: a name, a chain, or a name and a chain."""

from __future__ import annotations

import pytest

from gendkit.data.augment import AUGMENTATIONS
from gendkit.data.augmentation import NONE, ON_DEVICE, ON_HOST, Augmentation
from gendkit.data.batched import BATCHED
from gendkit.data.degrade import Chain
from gendkit.errors import InvalidArgument


def test_the_names_are_those_of_what_is_there() -> None:
    assert set(ON_HOST) == set(AUGMENTATIONS)
    assert set(ON_DEVICE) == set(BATCHED)


@pytest.mark.parametrize(
    ("text", "written", "name", "steps"),
    [
        ("gend", "gend", "gend", 0),
        (" none ", "none", NONE, 0),
        ("jpeg:40..100@.5", "jpeg:40..100@0.5", NONE, 1),
        ("none, jpeg:60", "jpeg:60", NONE, 1),
        ("gend, blur:3..9:.5..2@.1", "gend,blur:3..9:0.5..2@0.1", "gend", 1),
        ("light,jpeg:60,noise:0.1", "light,jpeg:60,noise:0.1", "light", 2),
        ("gend-batched", "gend-batched", "gend-batched", 0),
        ("none-batched, colour:0.9..1.1", "none-batched,colour:0.9..1.1:1:1:0", "none-batched", 1),
    ],
)
def test_a_text_is_read_and_written_in_one_way(
    text: str, written: str, name: str, steps: int
) -> None:
    found = Augmentation.parse(text)
    assert (str(found), found.name, len(found.chain.steps)) == (written, name, steps)
    assert Augmentation.parse(written) == found
    assert found.batched == name.endswith("batched")


def test_nothing_is_none() -> None:
    assert Augmentation() == Augmentation(name="none", chain=Chain()) == Augmentation.parse("none")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("heavy", "no augmentation is named 'heavy'; there is gend, light, none, gend-batched"),
        ("heavy, jpeg:60", "no augmentation is named 'heavy'"),
        ("", "here a step is expected, such as jpeg:60"),
        ("gend,", "here a step is expected"),
        ("gend,,jpeg:60", "between commas a step is expected"),
        ("jpeg:60, gend", "gend stands at the beginning, or not at all"),
        ("gend, light", "light stands at the beginning"),
        ("jpeg", "jpeg takes quality, such as jpeg:60"),
        ("gend, jpeg:0", "quality is 0; it is a whole number from 1 to 100"),
        ("gend, sepia:1", "no step is named 'sepia'"),
    ],
)
def test_nonsense_is_refused_with_what_is_expected(text: str, said: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        Augmentation.parse(text)
    assert said in str(caught.value)
