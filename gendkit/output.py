"""Outputs: written whole or not at all, and folders never over something else."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gendkit.errors import OutputExists, UnwritableOutput

if TYPE_CHECKING:
    from numpy.typing import NDArray


def new_folder(
    path: str | Path, *, overwrite: bool = False, marker: str | None = None
) -> AbstractContextManager[Path]:
    """Check now that a folder may be written, and write it later, at once.

    Parameters
    ----------
    path
        The folder; it may exist if it is empty.
    overwrite
        Replace a folder that holds an earlier output.
    marker
        A file that every such output has; a folder without it, or any folder if there is no such
        file, is never replaced.

    Returns
    -------
    context manager
        Gives a temporary folder beside `path`, which takes its place when the block ends well and
        is removed when it does not.

    Raises
    ------
    OutputExists
        If the folder holds something that may not be replaced.
    UnwritableOutput
        If it cannot be made where it is wanted.
    """
    path = Path(path)
    check_new_folder(path, overwrite=overwrite, marker=marker)
    return _written(path.resolve())


def check_new_folder(path: Path, *, overwrite: bool, marker: str | None) -> None:
    """Check before any work that a folder may be written; see `new_folder`.

    Raises
    ------
    OutputExists, UnwritableOutput
        As there.
    """
    if path.exists() and not path.is_dir():
        raise OutputExists(f"{path} is a file; give a folder.")
    _check_parent(path)
    if path.is_dir() and any(path.iterdir()):
        if marker is None or not (path / marker).exists():
            raise OutputExists(
                f"{path} holds other files and is never replaced; give a new folder."
            )
        if not overwrite:
            raise OutputExists(
                f"{path} already holds a run; give another folder, or --overwrite to replace it."
            )


def put_in_place(part: Path, path: Path) -> None:
    """Move a whole folder to a place on the same disk, and remove the folder that was there."""
    path = path.resolve()
    old = path.with_name(f".{path.name}-{secrets.token_hex(4)}-old")
    if path.exists():
        path.rename(old)
    try:
        part.rename(path)
    except OSError:
        if old.exists():
            old.rename(path)
        raise
    shutil.rmtree(old, ignore_errors=True)


def check_new_file(path: str | Path, *, overwrite: bool) -> None:
    """Check before any work that a file may be written.

    Raises
    ------
    OutputExists
        If there is one that may not be replaced, or a folder.
    UnwritableOutput
        If it cannot be made where it is wanted.
    """
    path = Path(path)
    if path.is_dir():
        raise OutputExists(f"{path} is a folder; give a file.")
    if path.exists() and not overwrite:
        raise OutputExists(f"{path} is already there; give another file, or --overwrite.")
    _check_parent(path)


def write_whole(path: Path, content: bytes) -> None:
    """Write a file, or replace it, whole or not at all; it is on the disk when this returns.

    Raises
    ------
    OSError
        If it cannot be written; what was there before still is.
    """
    part = part_of(path)
    try:
        with part.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    except BaseException:
        with suppress(OSError):
            part.unlink()
        raise
    with suppress(OSError):  # not every system opens a folder; the rename is then as safe as it is
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def write_array(path: Path, values: NDArray[Any]) -> None:
    """Write an array as a NumPy file, whole or not at all."""
    import numpy as np

    part = part_of(path)
    with part.open("wb") as file:
        np.save(file, values)
    part.replace(path)


def part_of(path: Path) -> Path:
    """Return where `write_whole` writes before a file takes its place."""
    return path.with_name(f"{path.name}.part")


def _check_parent(path: Path) -> None:
    """Find out before any work that nothing can be made in a folder."""
    parent = next((p for p in path.absolute().parents if p.exists()), path)  # of / there is none
    if not parent.is_dir():
        raise UnwritableOutput(f"{path} cannot be made: {parent} is a file; give another place.")
    if not os.access(parent, os.W_OK | os.X_OK):
        raise UnwritableOutput(
            f"{path} cannot be made: {parent} may not be written to; give another place."
        )


@contextmanager
def _written(path: Path) -> Iterator[Path]:
    # Beside the folder, so that moving it is a rename and no copy.
    part = path.with_name(f".{path.name}-{secrets.token_hex(4)}")
    try:
        try:
            part.mkdir(parents=True)
        except OSError as error:
            raise UnwritableOutput(
                f"{path} cannot be made: {error.strerror}; give another folder."
            ) from None
        yield part
        put_in_place(part, path)
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        raise
