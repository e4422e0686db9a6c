"""All crops of a manifest in one file, as plain pixels beside the PNG files, for fast reading.

`crops.pack` is: MAGIC; the place of the index, 8 bytes, little endian; the index's sha256; the
pixels of one crop after the other, RGB uint8; the index, a Parquet table with one row a crop: its
path in the manifest, place, height, width, CRC-32, and the size of the file it was packed from.
"""

from __future__ import annotations

import hashlib
import io
import os
import struct
import zlib
from collections.abc import Callable, Iterable
from functools import cached_property
from mmap import ACCESS_READ, mmap
from pathlib import Path

import numpy as np
import pyarrow
import pyarrow.parquet as parquet
from numpy.typing import NDArray

from gendkit.data.png import read_crop
from gendkit.errors import InvalidManifest, UnreadableMedia, first_line
from gendkit.output import part_of

FILE = "crops.pack"
MAGIC = b"gendpk01"
Place = tuple[int, int, int, int, int]
HEADER = struct.Struct("<8sQ32s")
SCHEMA = pyarrow.schema(
    [
        ("path", pyarrow.string()),
        ("start", pyarrow.int64()),
        ("height", pyarrow.int32()),
        ("width", pyarrow.int32()),
        ("crc32", pyarrow.uint32()),
        ("source_bytes", pyarrow.int64()),
    ]
)


class PackedCrops:
    """The crops in a pack, read one by one; any number of threads may do so at once.

    Parameters
    ----------
    path
        Of the file.

    Raises
    ------
    UnreadableMedia
        If it is no pack, is cut off, or its index is damaged.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        index = _read_index(path)
        paths, *columns = (index[name].to_pylist() for name in SCHEMA.names)
        self._rows: dict[str, Place] = dict(zip(paths, zip(*columns, strict=True), strict=True))

    def __reduce__(self) -> tuple[type[PackedCrops], tuple[Path]]:
        return PackedCrops, (self.path,)  # another process maps the file itself

    def __len__(self) -> int:
        return len(self._rows)

    def crop(self, path: str, source: Path) -> NDArray[np.uint8]:
        """Read a crop as RGB uint8 (H, W, 3).

        Parameters
        ----------
        path
            In the manifest.
        source
            The file that it was packed from; it may be gone.

        Raises
        ------
        InvalidManifest
            If the crop is not in the pack, or `source` is not as large as when it was packed.
        UnreadableMedia
            If the pixels are damaged.
        """
        start, height, width, crc, size = self._row(path)
        now = _size(source)
        if now not in (None, size):
            raise InvalidManifest(
                f"{source} has {now} bytes, but had {size} when {self.path.name} was "
                "packed from it; remove the pack and pack the crops anew."
            )
        crop = np.array(self._pixels[start : start + height * width * 3])
        if zlib.crc32(crop.data) != crc:
            raise UnreadableMedia(
                f"the crop {path} in {self.path} is damaged; remove the pack and pack anew."
            )
        return crop.reshape(height, width, 3)

    def source_bytes(self, path: str) -> int:
        """Return the size of the file that a crop was packed from.

        Raises
        ------
        InvalidManifest
            If the crop is not in the pack.
        """
        return self._row(path)[4]

    @cached_property
    def _pixels(self) -> NDArray[np.uint8]:
        with self.path.open("rb") as file:
            return np.frombuffer(mmap(file.fileno(), 0, access=ACCESS_READ), np.uint8)

    def _row(self, path: str) -> Place:
        if path not in self._rows:
            raise InvalidManifest(
                f"{self.path} does not hold the crop {path}: it is older than the manifest; remove "
                "it and pack the crops anew."
            )
        return self._rows[path]


def write_pack(
    root: Path, paths: Iterable[str], *, progress: Callable[[int], None] | None = None
) -> PackedCrops:
    """Pack the crops at some paths below a folder into its `crops.pack`, whole or not at all.

    Raises
    ------
    MissingMedia, UnreadableMedia
        If a crop is gone or damaged.
    """
    rows = []
    part = part_of(root / FILE)
    try:
        with part.open("wb") as file:
            file.write(bytes(HEADER.size))
            for number, path in enumerate(paths, start=1):
                crop = read_crop(root / path)
                height, width = crop.shape[:2]
                size = (root / path).stat().st_size
                rows.append((path, file.tell(), height, width, zlib.crc32(crop.data), size))
                file.write(crop.data)
                if progress is not None:
                    progress(number)
            index, start = _index_bytes(rows), file.tell()
            file.write(index)
            file.seek(0)
            file.write(HEADER.pack(MAGIC, start, hashlib.sha256(index).digest()))
            file.flush()
            os.fsync(file.fileno())
        part.replace(root / FILE)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    return PackedCrops(root / FILE)


def _index_bytes(rows: list[tuple[str, int, int, int, int, int]]) -> bytes:
    columns = list(zip(*rows, strict=True)) or [()] * len(SCHEMA.names)
    buffer = io.BytesIO()
    table = pyarrow.table([list(column) for column in columns], schema=SCHEMA)
    parquet.write_table(table, buffer, compression="zstd")
    return buffer.getvalue()


def _read_index(path: Path) -> pyarrow.Table:
    with path.open("rb") as file:
        header = file.read(HEADER.size)
        if len(header) < HEADER.size or not header.startswith(MAGIC):
            raise UnreadableMedia(
                f"{path} is no pack of crops that this version reads; remove it and pack anew."
            )
        _, start, digest = HEADER.unpack(header)
        file.seek(start)
        index = file.read()
    if hashlib.sha256(index).digest() != digest:
        raise UnreadableMedia(f"{path} is cut off or damaged; remove it and pack the crops anew.")
    try:
        return parquet.read_table(io.BytesIO(index), schema=SCHEMA)
    except (pyarrow.ArrowException, OSError) as error:
        raise UnreadableMedia(
            f"{path} has no index of crops ({first_line(error)}); remove it and pack anew."
        ) from None


def _size(path: Path) -> int | None:
    try:
        return os.stat(path).st_size
    except OSError:
        return None
