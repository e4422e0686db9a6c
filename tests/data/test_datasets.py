"""A dataset by name: which options it has is told before it is opened."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import gendkit as gk
from gendkit.data.datasets import build_dataset
from gendkit.errors import InvalidOption, MissingMedia
from gendkit.plugin import DatasetSpec


class Nothing:
    def clips(self) -> list[Any]:
        return []


def spec(build: Any) -> DatasetSpec:
    return DatasetSpec(name="nothing", summary="for tests", licence="MIT", build=build)


def test_an_option_that_its_builder_does_not_take_is_refused_with_those_it_takes() -> None:
    def build(root: Path | None, *, years: int = 1, quality: str = "") -> Nothing:
        raise MissingMedia("opened before its options were looked at")

    with pytest.raises(InvalidOption, match="nothing has no option 'yaers'; there is years, qual"):
        build_dataset(spec(build), None, yaers=3)
    with pytest.raises(InvalidOption, match="nothing has no option 'years'; it has none"):
        build_dataset(spec(lambda root: Nothing()), None, years=3)


def test_its_builder_may_look_at_the_options_itself() -> None:
    given: dict[str, Any] = {}

    def build(root: Path | None, **options: Any) -> Nothing:
        given.update(root=root, **options)
        return Nothing()

    build_dataset(spec(build), "folder", years=3)
    assert given == {"root": Path("folder"), "years": 3}


def test_a_mistake_inside_a_builder_is_seen_in_full() -> None:
    def build(root: Path | None) -> Nothing:
        return Nothing(root)  # type: ignore[call-arg]

    with pytest.raises(TypeError, match="takes no arguments"):
        build_dataset(spec(build))


def test_built_in_ones_say_which_options_they_have() -> None:
    with pytest.raises(InvalidOption, match="no option 'people'; there is identities, clips"):
        gk.dataset("synthetic", people=3)
