"""The plugin once installed: what is listed, and from where."""

from __future__ import annotations

from importlib import metadata

import pytest

import gendkit as gk
from gendkit.errors import InvalidOption, MissingMedia
from gendkit.plugin import plugins
from gendkit.testing.fresh import in_fresh_process

OURS = "gendkit-benchmarks"
NAMES = [
    "celeb-df", "celeb-df-pp", "deepfakebench", "deepspeak-v1-1", "deepspeak-v2", "df40", "dfdc",
    "dfdm", "faceforensics", "fakeavceleb", "ffiw", "gend-tree", "idforge", "kodf", "polyglotfake",
    "uadfv",
]  # fmt: skip


def test_the_datasets_are_listed_with_their_licence_and_where_access_is_given() -> None:
    ours = [p for p in plugins().parts if p.source.distribution == OURS]
    assert sorted(p.name for p in ours) == ["benchmarks", *NAMES]
    assert {p.kind for p in ours} == {"dataset"}
    assert {p.source.version for p in ours} == {metadata.version(OURS)}
    assert all(p.spec.homepage.startswith("https://") for p in ours if p.name != "benchmarks")
    assert metadata.metadata(OURS)["License-Expression"] == "MIT"


@pytest.mark.parametrize("name", NAMES)
def test_without_a_folder_the_layout_is_told_and_a_strange_option_is_refused(name: str) -> None:
    with pytest.raises(MissingMedia, match=f"{name}.* expected .*Access: https://"):
        gk.dataset(name)
    with pytest.raises(InvalidOption, match=f"dataset {name} .*'colour'"):
        gk.dataset(name, colour="red")


def test_listing_the_datasets_checks_no_layout() -> None:
    code = (
        "import json, sys; from gendkit.plugin import plugins; "
        "names = [p.name for p in plugins().parts]; "
        "print(json.dumps(['uadfv' in names, 'gendkit_benchmarks.layout' in sys.modules]))"
    )
    assert in_fresh_process(code) == [True, False]
