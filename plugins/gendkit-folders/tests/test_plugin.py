"""The plugin once installed: what is listed, at what cost."""

from __future__ import annotations

from importlib import metadata

import pytest

import gendkit as gk
from gendkit.errors import InvalidOption
from gendkit.plugin import plugins

OURS = "gendkit-folders"
NAMES = ["class-folders", "hf-datasets", "table"]


def test_the_datasets_are_listed_with_where_they_come_from() -> None:
    ours = [p for p in plugins().parts if p.source.distribution == OURS]
    assert sorted(p.name for p in ours) == NAMES
    assert {p.kind for p in ours} == {"dataset"}
    assert {p.source.version for p in ours} == {metadata.version(OURS)}
    assert metadata.metadata(OURS)["License-Expression"] == "MIT"


@pytest.mark.parametrize("name", NAMES)
def test_an_option_that_there_is_not_is_refused(name: str) -> None:
    with pytest.raises(InvalidOption, match=f"dataset {name} .*'colour'"):
        gk.dataset(name, colour="red")
