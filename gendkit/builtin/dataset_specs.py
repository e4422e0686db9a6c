"""Declares the built-in datasets; their module is imported when one is built."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from gendkit.plugin.specs import DatasetSpec


def datasets() -> Iterator[DatasetSpec]:
    """Yield drawn faces and any folder of photos, both with forgeries."""
    yield DatasetSpec(
        name="synthetic",
        summary="drawn faces of many identities and forgeries of them",
        licence="CC0-1.0",
        build=_synthetic,
    )
    yield DatasetSpec(
        name="photos",
        summary="a folder of face photos, one a person, and forgeries of them",
        licence="that of the photos",
        build=_photos,
    )


def _synthetic(root: Any = None, **options: Any) -> Any:
    from gendkit.builtin.datasets import SyntheticFaces

    return SyntheticFaces(**options)


def _photos(root: Any, **options: Any) -> Any:
    from gendkit.builtin.datasets import Photos

    return Photos(root, **options)
