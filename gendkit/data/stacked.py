"""Crops of one size in a sharded zarr array: any zarr reads it, and we read it fast.

`crops.zarr` is a zarr v3 group of three arrays: `crops` (N, S, S, 3) uint8, a chunk a crop, each
with its CRC-32C; `crc32` (N,), a second checksum of each; `png_bytes` (N,), the size of the PNG
file that it was made from. A manifest's path for crop n is `crops.zarr/crops/n`.

Reading goes by the index at the end of each shard, as the zarr specification lays it down, from
mapped memory. zarr itself takes half a millisecond a chunk, and gives zeros for one that is gone.
"""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import replace
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from gendkit.data.packed import FILE as PACK
from gendkit.data.packed import PackedCrops
from gendkit.errors import InvalidArgument, InvalidManifest, UnreadableMedia, first_line
from gendkit.output import new_folder

if TYPE_CHECKING:
    import pandas as pd

    from gendkit.data.manifest import Manifest

FOLDER = "crops.zarr"
ARRAY = "crops"
SHARD_BYTES = 1 << 26
"""Of pixels in a shard, about; one is held in memory while it is written."""
PATH = re.compile(rf"{FOLDER}/{ARRAY}/(0|[1-9]\d{{0,17}})", re.ASCII)
ABSENT = np.uint64(2**64 - 1)
"""Place and length of a chunk that is not there, in a shard's index."""
CHECKSUM = 4
"""Bytes of the CRC-32C behind each chunk and each index."""
AGAIN = "extract the crops anew, or copy the folder again"
Store = Literal["png", "zarr"]
Shard = tuple[NDArray[np.uint8], NDArray[np.uint64]]


class StackedCrops:
    """The crops in a `crops.zarr`; any number of threads may read at once.

    Parameters
    ----------
    path
        Of the folder `crops.zarr`.

    Attributes
    ----------
    side
        S, in pixels.

    Raises
    ------
    UnreadableMedia
        If it is no such store, or damaged in what describes it.
    """

    def __init__(self, path: Path) -> None:
        import zarr

        self.path = path
        try:
            layout = json.loads((path / ARRAY / "zarr.json").read_text("utf-8"))
            count, self.side, self._rows = _counts(layout)
            group = zarr.open_group(path, mode="r")
            self._crc32 = group["crc32"][:].tolist()
            self._bytes = group["png_bytes"][:].tolist()
        except Exception as error:  # zarr raises many kinds for what it cannot read
            raise UnreadableMedia(
                f"{path} is no store of crops that this version reads ({first_line(error)}); "
                f"{AGAIN}."
            ) from None
        sizes = sum(size > 0 for size in self._bytes)  # zarr gives zeros for what is gone
        if not len(self._crc32) == sizes == count:
            raise UnreadableMedia(
                f"{path} holds {count} crops, but {len(self._crc32)} checksums and {sizes} sizes; "
                f"{AGAIN}."
            )
        self._shards: dict[int, Shard] = {}

    def __reduce__(self) -> tuple[type[StackedCrops], tuple[Path]]:
        return StackedCrops, (self.path,)  # another process maps the files itself

    def __len__(self) -> int:
        return len(self._crc32)

    def crop(self, path: str, source: Path) -> NDArray[np.uint8]:
        """Read a crop as RGB uint8 (S, S, 3).

        Parameters
        ----------
        path
            In the manifest.
        source
            Not looked at: the crops themselves are here.

        Raises
        ------
        InvalidManifest
            If there is no such crop.
        UnreadableMedia
            If its pixels are gone or damaged.
        """
        out = np.empty((self.side, self.side, 3), np.uint8)
        self.read([path], out[None])
        return out

    def read(self, paths: Iterable[str], out: NDArray[np.uint8]) -> None:
        """Read the crops at B paths into an array (B, S, S, 3).

        Raises
        ------
        InvalidManifest, UnreadableMedia
            As `crop`.
        """
        for path, place in zip(paths, out, strict=True):
            number = self._number(path)
            shard, at = divmod(number, self._rows)
            try:
                pixels, index = self._shards.get(shard) or self._mapped(shard)
            except (OSError, ValueError) as error:
                raise self._damaged(path, first_line(error)) from None
            start, length = index[at].tolist()
            place.reshape(-1)[:] = self._chunk(path, pixels, start, length, place.size)
            if zlib.crc32(place.data) != self._crc32[number]:
                raise self._damaged(path, "its checksum is another")

    def source_bytes(self, path: str) -> int:
        """Return the size of the PNG file that a crop was made from.

        Raises
        ------
        InvalidManifest
            If there is no such crop.
        """
        size: int = self._bytes[self._number(path)]
        return size

    def _number(self, path: str) -> int:
        found = PATH.fullmatch(path)
        if found is None or int(found[1]) >= len(self):
            raise InvalidManifest(
                f"{self.path} holds {len(self)} crops and none is {path!r}; expected is "
                f"{FOLDER}/{ARRAY}/NUMBER: {AGAIN}."
            )
        return int(found[1])

    def _chunk(
        self, path: str, pixels: NDArray[np.uint8], start: int, length: int, size: int
    ) -> NDArray[np.uint8]:
        if start == ABSENT:
            raise self._damaged(path, "the shard lacks it")
        if length != size + CHECKSUM or start + length > len(pixels):
            raise self._damaged(path, "the shard's index points elsewhere")
        return pixels[start : start + size]

    def _mapped(self, shard: int) -> Shard:
        """Map a shard and read its index: place and length of each chunk, and a CRC-32C.

        The sum of the index is not looked at: each crop has its own.
        """
        with (self.path / ARRAY / f"c/{shard}/0/0/0").open("rb") as file:
            pixels = np.frombuffer(mmap(file.fileno(), 0, access=ACCESS_READ), np.uint8)
        end = len(pixels) - CHECKSUM
        index = np.frombuffer(pixels[end - 16 * self._rows : end].tobytes(), "<u8")
        return self._shards.setdefault(shard, (pixels, index.reshape(self._rows, 2)))

    def _damaged(self, path: str, why: str) -> UnreadableMedia:
        return UnreadableMedia(f"the crop {path} in {self.path} is damaged ({why}); {AGAIN}.")


def kept_together(root: Path, paths: pd.Series[str]) -> PackedCrops | StackedCrops | None:
    """Return what holds the crops of a folder: the zarr array that the paths name, or a pack.

    Raises
    ------
    UnreadableMedia
        If it is damaged.
    """
    if paths.str.startswith(f"{FOLDER}/").any():
        return StackedCrops(root / FOLDER)
    return PackedCrops(root / PACK) if (root / PACK).is_file() else None


def check_store(store: str, *, size: int | None, pack: bool) -> None:
    """Refuse a way of keeping crops that does not go with the rest, before any work.

    Raises
    ------
    InvalidArgument
        If there is no such store, or a zarr array is wanted of crops without a size, or of packed
        ones.
    """
    if store not in get_args(Store):
        raise InvalidArgument(f"store {store!r} is not one of {', '.join(get_args(Store))}.")
    if store == "zarr" and size is None:
        raise InvalidArgument(
            "a zarr array holds crops of one size: give it in pixels, such as --size 224 "
            "(size=224), or keep PNG files of native size."
        )
    if store == "zarr" and pack:
        raise InvalidArgument("a pack is made of PNG files: give either --pack or --store zarr.")


def to_zarr(manifest: Manifest, out: str | Path) -> Manifest:
    """Write a manifest's crops into `crops.zarr` in a new folder, with a manifest of their own.

    Raises
    ------
    OutputExists, UnwritableOutput
        If the folder holds something, or cannot be made.
    InvalidManifest
        If there is no crop, or they are not all square and of one size.
    MissingMedia, UnreadableMedia
        If a crop is gone or damaged.
    """
    with new_folder(out) as part:
        write_into(manifest, part)
    return type(manifest).read(out)


def write_into(manifest: Manifest, folder: Path) -> None:
    """Write a manifest's crops and the manifest itself into a folder that has neither.

    Raises
    ------
    InvalidManifest, MissingMedia, UnreadableMedia
        As `to_zarr`.
    """
    table = manifest.table.copy()
    rows: dict[str, int] = {}
    for row, path in enumerate(table["path"]):
        if path:
            rows.setdefault(path, row)
    numbers = {path: number for number, path in enumerate(rows)}
    table["path"] = [f"{FOLDER}/{ARRAY}/{numbers[p]}" if p else "" for p in table["path"]]
    _write(manifest, rows, folder / FOLDER)
    replace(manifest, table=table, meta={**manifest.meta, "store": "zarr"}).write(folder)


def _write(manifest: Manifest, rows: Mapping[str, int], path: Path) -> None:
    """Write the crops of some rows, a shard at a time."""
    if not rows:
        raise InvalidManifest(
            f"no row of the manifest in {manifest.root} has a crop; a zarr array needs one."
        )
    names = list(rows)
    first = manifest.crop(rows[names[0]])
    side = _side(names[0], first)
    arrays = _created(path, len(rows), side)
    length = arrays[ARRAY].shards[0]
    for start in range(0, len(names), length):
        chosen = names[start : start + length]
        block = np.empty((len(chosen), side, side, 3), np.uint8)
        for place, name in zip(block, chosen, strict=True):
            crop = manifest.crop(rows[name])
            if crop.shape != place.shape:
                raise _other_size(name, crop, f"{side} x {side} as {names[0]}")
            place[:] = crop
        at = slice(start, start + len(chosen))
        arrays[ARRAY][at] = block
        arrays["crc32"][at] = [zlib.crc32(crop.data) for crop in block]
        arrays["png_bytes"][at] = [manifest.file_size(name) or 0 for name in chosen]


def _created(path: Path, count: int, side: int) -> dict[str, Any]:
    """Make the empty arrays."""
    import zarr
    from zarr.codecs import BytesCodec, Crc32cCodec

    group = zarr.create_group(path, attributes={"made_by": "gendkit", "version": 1})
    rows = max(1, min(count, SHARD_BYTES // (side * side * 3)))
    made = {
        ARRAY: group.create_array(
            ARRAY,
            shape=(count, side, side, 3),
            chunks=(1, side, side, 3),
            shards=(rows, side, side, 3),
            dtype="uint8",
            filters=None,
            compressors=Crc32cCodec(),
            fill_value=0,
            # A black crop is a crop, and no gap.
            config={"write_empty_chunks": True},
        )
    }
    for name, dtype in (("crc32", "uint32"), ("png_bytes", "int64")):
        made[name] = group.create_array(
            name,
            shape=(count,),
            chunks=(count,),
            dtype=dtype,
            filters=None,
            serializer=BytesCodec(endian="little"),
            compressors=Crc32cCodec(),
        )
    return made


def _counts(layout: dict[str, Any]) -> tuple[int, int, int]:
    """Return N, S and the crops in a shard from an array's `zarr.json`.

    Raises
    ------
    ValueError
        If the array is laid out in another way than `_created` does it.
    """
    (sharding,) = layout["codecs"]
    inner = sharding["configuration"]
    count, side = layout["shape"][:2]
    rows = layout["chunk_grid"]["configuration"]["chunk_shape"][0]
    key = layout["chunk_key_encoding"]
    sums = ["bytes", "crc32c"]
    told = {
        "shape": (layout["shape"], [count, side, side, 3]),
        "data_type": (layout["data_type"], "uint8"),
        "keys": (key["name"], "default"),
        "separator": (key.get("configuration", {}).get("separator", "/"), "/"),
        "shards": (layout["chunk_grid"]["configuration"]["chunk_shape"], [rows, side, side, 3]),
        "codec": (sharding["name"], "sharding_indexed"),
        "chunks": (inner["chunk_shape"], [1, side, side, 3]),
        "codecs of a chunk": ([codec["name"] for codec in inner["codecs"]], sums),
        "codecs of an index": ([codec["name"] for codec in inner["index_codecs"]], sums),
        "place of an index": (inner.get("index_location", "end"), "end"),
    }
    for name, (got, expected) in told.items():
        if got != expected:
            raise ValueError(f"{name}: {got} where {expected} is expected")
    return int(count), int(side), int(rows)


def _side(path: str, crop: NDArray[np.uint8]) -> int:
    if crop.shape[0] != crop.shape[1]:
        raise _other_size(path, crop, "as high as wide")
    return int(crop.shape[0])


def _other_size(path: str, crop: NDArray[np.uint8], expected: str) -> InvalidManifest:
    height, width = crop.shape[:2]
    return InvalidManifest(
        f"the crop {path} is {width} x {height} pixels, expected {expected}: a zarr array holds "
        "crops of one size; extract with a size, or pack them, which keeps each as it is."
    )
