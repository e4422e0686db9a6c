"""A store that is written shard by shard, so that processes can share the work or take it up again.

The unit of work is a shard of zarr: parallel writes of parts of one lose rows without a word.
Beside the place of the store `NAME` lies `.NAME-embedding` until all shards are there: the store
as far as it goes, a mark for each shard that is done with the hash of its numbers, and what the
run was begun with.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import xarray as xr

from gendkit.data.manifest import Manifest
from gendkit.device import Dtype
from gendkit.errors import InvalidArgument, InvalidEmbeddings, InvalidManifest, OutputExists
from gendkit.manifold import store
from gendkit.manifold.schema import SCHEMA, attributed, check_unit
from gendkit.model.adapter import Adapter
from gendkit.model.detector import Detector, Outputs
from gendkit.model.head import CLASSES
from gendkit.output import write_whole
from gendkit.progress import Progress, silent
from gendkit.train.outputs import run_over

MADE: MappingProxyType[str, tuple[str, ...]] = MappingProxyType(
    {v.name: v.dims for v in SCHEMA if v.name in ("embedding", "logit", "score")}
)
"""What a detector gives, with its dims."""
WORDS = {"adapter": "another detector", "dtype": "another compute dtype",
         "batch_size": "another batch_size"}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Job:
    """What a process needs to embed crops.

    Attributes
    ----------
    manifest
        The crops.
    adapter
        Of the detector.
    device, dtype, batch_size
        How it runs.
    """

    manifest: Manifest
    adapter: Adapter
    device: str
    dtype: Dtype
    batch_size: int

    def of(self, rows: slice) -> Job:
        """Return the job of some rows."""
        return replace(self, manifest=self.manifest.where(rows))


class Unfinished:
    """The store of one run until it is whole.

    Parameters
    ----------
    out
        Where the store will be.
    count
        How many crops there are.
    dim
        Length of an embedding.
    """

    def __init__(self, out: Path, count: int, *, dim: int) -> None:
        self.out, self.count, self.dim = out.absolute(), count, dim
        self.shard = store.SHARD
        self.folder = self.out.with_name(f".{self.out.name}-embedding")

    def rows(self, number: int) -> slice:
        """Return the rows of a shard."""
        return slice(number * self.shard, min((number + 1) * self.shard, self.count))

    def todo(self) -> list[int]:
        """Return the shards that are not done."""
        return [number for number in self._every() if not self._mark(number).exists()]

    def begin(
        self, described: xr.Dataset, origin: Mapping[str, Any], *, resume: bool, overwrite: bool
    ) -> None:
        """Make the store with all but what the detector gives, or find it.

        Parameters
        ----------
        described
            The crops' columns, coordinates and attributes.
        origin
            What the run is begun with; a resumed one must have the same.

        Raises
        ------
        OutputExists
            If there is an interrupted run that is neither to be resumed nor replaced.
        InvalidManifest, InvalidArgument
            If it was begun with something else.
        """
        facts = {**origin, "shard": self.shard, "dim": self.dim}
        if self.folder.exists() and not self._beginning(facts, resume=resume, overwrite=overwrite):
            return
        shutil.rmtree(self.folder, ignore_errors=True)
        (self.folder / "done").mkdir(parents=True)
        store.write_into(self.folder / "store", attributed(described), final=self.out)
        self._make_arrays()
        # Last, so that a folder without it was not begun.
        write_whole(self.folder / "origin.json", json.dumps(facts).encode())

    def _beginning(self, facts: Mapping[str, Any], *, resume: bool, overwrite: bool) -> bool:
        """Tell whether to begin anew where a run was begun before."""
        place = self.folder / "origin.json"
        if not place.exists():
            return True
        if not resume:
            if overwrite:
                return True
            done = len(list((self.folder / "done").iterdir()))
            raise OutputExists(
                f"an embedding to {self.out} was interrupted after {done} shards; --resume goes on "
                "with it, --overwrite begins anew."
            )
        before = json.loads(place.read_text(encoding="utf-8"))
        if before.get("crops") != facts["crops"]:
            raise InvalidManifest(
                f"the embedding to {self.out} was begun with other crops; resume it with its own, "
                "or begin anew with --overwrite."
            )
        for name, value in facts.items():
            if before.get(name) != value:
                raise InvalidArgument(
                    f"the embedding to {self.out} was begun with {WORDS.get(name, name)}; resume "
                    "it with the same, or begin anew with --overwrite."
                )
        return False

    def _make_arrays(self) -> None:
        import zarr

        sizes = {"sample": self.count, "feature": self.dim, "class": len(CLASSES)}
        group = zarr.open_group(self.folder / "store", mode="a")
        meanings = {v.name: v.meaning for v in SCHEMA}
        for name, dims in MADE.items():
            rest = tuple(sizes[d] for d in dims[1:])
            group.create_array(
                name,
                shape=(self.count, *rest),
                chunks=(store.CHUNK, *rest),
                shards=(self.shard, *rest),
                dtype="float32",
                fill_value=float("nan"),
                dimension_names=dims,
                attributes={"meaning": meanings[name]},
            )

    def write(self, number: int, outputs: Outputs) -> None:
        """Write a shard, and then its mark.

        Raises
        ------
        InvalidEmbeddings
            If a vector is not of unit length.
        """
        import zarr

        check_unit(outputs.embedding)
        group: Any = zarr.open_group(self.folder / "store", mode="a")
        for name in MADE:
            group[name][self.rows(number)] = getattr(outputs, name)
        write_whole(self._mark(number), _digest(vars(outputs)).encode())

    def finish(self, folder: Path) -> None:
        """Move the whole store into an empty folder.

        Raises
        ------
        InvalidEmbeddings
            If a shard is missing, or is not what was written.
        """
        import zarr

        group: Any = zarr.open_group(self.folder / "store", mode="r")
        for number in self._every():
            found = {name: np.asarray(group[name][self.rows(number)]) for name in MADE}
            mark = self._mark(number)
            if not mark.exists() or mark.read_text() != _digest(found):
                mark.unlink(missing_ok=True)
                raise InvalidEmbeddings(
                    f"shard {number} of {self.out} is not what was written; --resume makes it anew."
                )
        for part in (self.folder / "store").iterdir():
            part.rename(folder / part.name)

    def remove(self) -> None:
        """Remove what is left beside the whole store."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _every(self) -> range:
        return range(-(-self.count // self.shard))

    def _mark(self, number: int) -> Path:
        return self.folder / "done" / f"{number:06d}"


def embed_shard(
    job: Job,
    unfinished: Unfinished,
    number: int,
    *,
    detector: Detector,
    progress: Progress = silent,
) -> None:
    """Embed a shard's crops, which are all that the job has, and write it."""
    start = unfinished.rows(number).start

    def told(done: int, total: int, text: str) -> None:
        progress(start + done, unfinished.count, text)

    outputs = run_over(detector, job.manifest, batch_size=job.batch_size, progress=told)
    unfinished.write(number, outputs)


def _digest(values: Mapping[str, Any]) -> str:
    whole = hashlib.sha256()
    for name in MADE:
        whole.update(np.ascontiguousarray(values[name], dtype="<f4").tobytes())
    return whole.hexdigest()
