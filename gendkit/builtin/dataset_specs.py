"""Declares the built-in datasets; their module is imported when one is built."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from typing import Any

from gendkit.errors import InvalidOption, MissingMedia
from gendkit.plugin.specs import DatasetSpec


def datasets() -> Iterator[DatasetSpec]:
    """Yield drawn faces and any folder of photos, both with forgeries, and self-blended images."""
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
    yield DatasetSpec(
        name="self-blended",
        summary="a folder of face photos, one a person, each also blended with itself",
        licence="that of the faces",
        build=_self_blended,
    )


def _synthetic(root: Any = None, **options: Any) -> Any:
    from gendkit.builtin.datasets import SyntheticFaces

    if root is not None:
        raise InvalidOption(
            f"synthetic draws its faces and takes no folder, got {str(root)!r}; leave the folder "
            "away, or for photos of your own use the dataset photos."
        )
    _check_names(SyntheticFaces, options)
    return SyntheticFaces(**options)


def _photos(root: Any = None, **options: Any) -> Any:
    from gendkit.builtin.datasets import Photos

    if root is None:
        raise MissingMedia(
            "photos was given no folder, expected one with photos of one face each; write "
            "photos:FOLDER, in Python dataset('photos', FOLDER)."
        )
    _check_names(Photos, options)
    return Photos(root, **options)


def _self_blended(root: Any = None, **options: Any) -> Any:
    from gendkit.builtin.self_blended import SelfBlended

    if root is None and options.get("over") is None:
        raise MissingMedia(
            "self-blended was given no folder, expected one with photos of one face each; write "
            "self-blended:FOLDER, in Python dataset('self-blended', FOLDER) or "
            "dataset('self-blended', over=another dataset)."
        )
    _check_names(SelfBlended, options)
    return SelfBlended(root, **options)


def _check_names(dataset: Any, options: Mapping[str, Any]) -> None:
    known = [
        p.name for p in inspect.signature(dataset).parameters.values() if p.kind is p.KEYWORD_ONLY
    ]
    if unknown := [name for name in options if name not in known]:
        raise InvalidOption(
            f"{dataset.name} has no option {unknown[0]!r}; there is {', '.join(known)}."
        )
