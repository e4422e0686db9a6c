"""The plugin once installed: what is listed, and from where."""

from __future__ import annotations

from importlib import metadata

import pytest

import gendkit as gk
from gendkit.errors import InvalidOption, MissingMedia
from gendkit.plugin import plugins

OURS = "gendkit-benchmarks"
NAMES = ["celeb-df", "celeb-df-pp", "deepfakebench", "dfdc", "faceforensics", "fakeavceleb"]


def test_the_datasets_are_listed_with_their_licence_and_where_access_is_given() -> None:
    ours = [p for p in plugins().parts if p.source.distribution == OURS]
    assert sorted(p.name for p in ours) == NAMES
    assert {p.kind for p in ours} == {"dataset"}
    assert {p.source.version for p in ours} == {metadata.version(OURS)}
    assert all(p.spec.homepage.startswith("https://") for p in ours)
    assert metadata.metadata(OURS)["License-Expression"] == "MIT"


@pytest.mark.parametrize("name", NAMES)
def test_without_a_folder_the_layout_is_told_and_a_strange_option_is_refused(name: str) -> None:
    with pytest.raises(MissingMedia, match=f"{name}.* expected .*Access: https://"):
        gk.dataset(name)
    with pytest.raises(InvalidOption, match=f"dataset {name} .*'colour'"):
        gk.dataset(name, colour="red")
