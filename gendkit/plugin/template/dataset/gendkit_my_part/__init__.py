"""Declares a dataset; its files are looked at when it is built."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from gendkit.plugin import Dataset, DatasetSpec, hookimpl

NAME = "my-part"
LICENCE = "that of the media"
HOMEPAGE = ""


@hookimpl
def gendkit_datasets() -> Iterator[DatasetSpec]:
    """Yield the dataset."""
    yield DatasetSpec(
        name=NAME,
        summary="a folder of pictures and videos with their labels in clips.csv",
        licence=LICENCE,
        homepage=HOMEPAGE,
        build=_build,
    )


def _build(root: str | Path | None = None) -> Dataset:
    from gendkit_my_part.dataset import Listed

    return Listed(root, name=NAME, licence=LICENCE, homepage=HOMEPAGE)
