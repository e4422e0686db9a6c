"""Declares the datasets; each is read by its own module, which is imported when it is built.

Their options are spelt out here, so that a misspelt one is told.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from gendkit.plugin import DatasetSpec, hookimpl

if TYPE_CHECKING:
    from gendkit.plugin.protocols import Dataset

LICENCE = "that of your media"
NOT_STATED = "not stated"


@hookimpl
def gendkit_datasets() -> Iterator[DatasetSpec]:
    """Yield the three layouts."""
    yield DatasetSpec(
        name="class-folders",
        summary="a folder a class, real or fake, with pictures and videos in it",
        licence=LICENCE,
        build=_class_folders,
    )
    yield DatasetSpec(
        name="table",
        summary="a CSV or Parquet table with one row a clip: its path, its label and more",
        licence=LICENCE,
        build=_of_rows(_table),
    )
    yield DatasetSpec(
        name="hf-datasets",
        summary="a dataset of pictures that Hugging Face datasets saved with save_to_disk",
        licence=LICENCE,
        build=_of_rows(_saved),
    )


def _class_folders(
    root: Path | None = None,
    *,
    real: str | Sequence[str] = (),
    fake: str | Sequence[str] = (),
    clips: str = "files",
    split: str = "",
    splits: Mapping[str, str] | None = None,
    dataset: str = "",
    licence: str = NOT_STATED,
) -> Dataset:
    from gendkit_folders.class_folders import ClassFolders

    return ClassFolders(
        root,
        real=real, fake=fake, clips=clips, split=split, splits=splits or {},
        dataset=dataset, licence=licence,
    )  # fmt: skip


def _of_rows(kind: Callable[[], Callable[..., Dataset]]) -> Callable[..., Dataset]:
    """Return what builds a dataset of rows; all of them have the same options."""

    def build(
        root: Path | None = None,
        *,
        media: str | Path | None = None,
        columns: Mapping[str, str] | None = None,
        labels: Mapping[str, str] | None = None,
        splits: Mapping[str, str] | None = None,
        dataset: str = "",
        licence: str = NOT_STATED,
    ) -> Dataset:
        return kind()(
            root,
            media=media, columns=columns or {}, labels=labels or {}, splits=splits or {},
            dataset=dataset, licence=licence,
        )  # fmt: skip

    return build


def _table() -> Callable[..., Dataset]:
    from gendkit_folders.table import Table

    return Table


def _saved() -> Callable[..., Dataset]:
    from gendkit_folders.saved import Saved

    return Saved
