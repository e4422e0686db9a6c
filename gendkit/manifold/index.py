"""Indices of embeddings by cosine similarity, with faiss: exact or fast, and never of others."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from gendkit.errors import InvalidEmbeddings, MissingMedia, StaleIndex, first_line
from gendkit.manifold.schema import check_unit
from gendkit.manifold.store import ADAPTER, store_hash
from gendkit.markup import card, number
from gendkit.optional import require
from gendkit.output import new_folder

FLAT = "flat"
NEAR = 10
ASKED = 1000
TRAINED = 262_144
"""The most vectors that cells and codes are learned from; they are drawn from all."""
PER_CELL = 39
"""The least vectors a cell or code is learned from, by faiss's own advice."""
MARKER, FILE = "index.json", "index.faiss"


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class SphereIndex:
    """The embeddings of a reference, ready to be searched.

    Attributes
    ----------
    kind
        As it was asked for.
    factory
        What faiss calls it.
    points
        (N, D) float32 unit vectors of the reference, by which candidates are compared exactly.
    ids
        (N,) samples.
    reference_hash, adapter_hash
        Of the store that it is of, and of the adapter by which that was embedded ("" if unknown).
    recall
        Share of the true ten nearest that it finds among its first ten, over 1,000 or fewer points
        of the reference; 1 for `flat`.
    """

    kind: str
    factory: str
    searched: Any
    points: NDArray[np.float32]
    ids: NDArray[np.object_]
    reference_hash: str
    adapter_hash: str
    recall: float

    def __repr__(self) -> str:
        return f"SphereIndex({len(self.ids)} crops, {self.kind}, recall@{NEAR} {self.recall:.3f})"

    def _repr_html_(self) -> str:
        facts = {
            "crops": f"{len(self.ids):,}",
            "kind": f"{self.kind} ({self.factory})",
            f"recall@{NEAR}": number(self.recall),
            "of the store": self.reference_hash[:12],
        }
        return card("SphereIndex", facts)

    @property
    def exact(self) -> bool:
        """Whether the nearest are found for sure."""
        return self.kind == FLAT

    def check(self, reference: xr.Dataset) -> None:
        """Refuse a reference that it was not built of.

        Raises
        ------
        StaleIndex
            Saying so.
        """
        _same(self.reference_hash, store_hash(reference), "the index")

    def search(
        self, queries: NDArray[np.float32], width: int, allowed: NDArray[np.bool_] | None = None
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Return cosines and rows (Q, width) of candidates, nearest first as far as it knows.

        Parameters
        ----------
        queries
            (Q, D) unit vectors.
        width
            How many candidates a query.
        allowed
            (N,) which rows may be candidates; not for `flat`, of which there is a part instead.

        Raises
        ------
        InvalidEmbeddings
            If this kind of index cannot leave rows out.
        """
        faiss = require("faiss", extra="cpu")
        try:
            options = _options(faiss, self.searched, width, allowed)
            values, rows = self.searched.search(queries, width, params=options)
        except (RuntimeError, TypeError) as error:
            raise InvalidEmbeddings(
                f"an index {self.kind!r} cannot be searched so: {first_line(error)}; give flat, "
                "hnsw or ivf-pq."
            ) from None
        if not self.exact:
            values = self._cosines(queries, rows)
        return values, rows

    def _cosines(
        self, queries: NDArray[np.float32], rows: NDArray[np.int64]
    ) -> NDArray[np.float32]:
        """Compute what the index may only know roughly; -inf where there is no candidate."""
        values = np.einsum("qd,qwd->qw", queries, self.points[rows], dtype=np.float32)
        return np.where(rows < 0, -np.inf, values).astype(np.float32)

    def part(self, allowed: NDArray[np.bool_]) -> SphereIndex:
        """Return an exact index of some rows."""
        faiss = require("faiss", extra="cpu")
        points = np.ascontiguousarray(self.points[allowed])
        return SphereIndex(
            kind=FLAT, factory="Flat", searched=_filled(faiss, "Flat", points), points=points,
            ids=self.ids[allowed], reference_hash=self.reference_hash,
            adapter_hash=self.adapter_hash, recall=1.0,
        )  # fmt: skip

    def save(self, path: str | Path, *, overwrite: bool = False) -> Path:
        """Write the index into a new folder; embeddings and ids stay in their store.

        Raises
        ------
        OutputExists, UnwritableOutput
            If the folder holds something else, or cannot be written.
        """
        faiss = require("faiss", extra="cpu")
        about = {
            "kind": self.kind,
            "factory": self.factory,
            "reference_hash": self.reference_hash,
            "recall": self.recall,
            "count": len(self.ids),
        }
        with new_folder(path, overwrite=overwrite, marker=MARKER) as folder:
            (folder / FILE).write_bytes(faiss.serialize_index(_on_cpu(faiss, self.searched)))
            (folder / MARKER).write_text(json.dumps(about, indent=1), encoding="utf-8")
        return Path(path)


def build_index(reference: xr.Dataset, kind: str = FLAT, *, seed: int = 0) -> SphereIndex:
    """Make an index of embeddings; on a GPU where faiss has one.

    Parameters
    ----------
    reference
        Embeddings of unit length, which is looked at once.
    kind
        `flat`: exact. `hnsw`: a graph, fast, with all vectors in memory. `ivf-pq`: cells and codes,
        small; of fewer than 78 it is exact. Or a factory string of faiss, such as `IVF1024,Flat`.
    seed
        Of the vectors that cells and codes are learned from, and of those that recall is measured
        on.

    Raises
    ------
    InvalidEmbeddings
        If a vector is not of unit length, or faiss cannot make such an index of so many.
    MissingDependency
        If faiss is not installed.
    """
    faiss = require("faiss", extra="cpu")
    points = vectors_of(reference)
    factory = _factory(kind, *points.shape)
    try:
        searched = _filled(faiss, factory, points, seed=seed)
    except RuntimeError as error:
        raise InvalidEmbeddings(
            f"faiss makes no index {kind!r} ({factory}) of {len(points)} vectors: "
            f"{_reason(error)}; there are flat, which is exact, hnsw and ivf-pq."
        ) from None
    index = SphereIndex(
        kind=kind,
        factory=factory,
        searched=searched,
        points=points,
        ids=reference["sample"].to_numpy().astype(object),
        reference_hash=store_hash(reference),
        adapter_hash=str(reference.attrs.get(ADAPTER, "")),
        recall=1.0,
    )
    return index if index.exact else _measured(faiss, index, seed)


def open_index(path: str | Path, reference: xr.Dataset) -> SphereIndex:
    """Open an index with the embeddings that it was built of.

    Raises
    ------
    MissingMedia
        If there is none.
    StaleIndex
        If it was built of other embeddings.
    InvalidEmbeddings
        If it is damaged.
    """
    faiss = require("faiss", extra="cpu")
    path = Path(path)
    if not (path / MARKER).is_file():
        raise MissingMedia(f"no index at {path}; gk.build_index(...).save writes one.")
    try:
        about = json.loads((path / MARKER).read_text(encoding="utf-8"))
        data = np.frombuffer((path / FILE).read_bytes(), np.uint8)
        searched = faiss.deserialize_index(data)
        kind, factory, recall = about["kind"], about["factory"], float(about["recall"])
        built_of = about["reference_hash"]
    except (OSError, KeyError, TypeError, ValueError, RuntimeError) as error:
        raise InvalidEmbeddings(
            f"{path} is no index, or damaged: {_reason(error)}; build it anew."
        ) from None
    found = store_hash(reference)
    _same(built_of, found, f"the index {path}")
    return SphereIndex(
        kind=kind,
        factory=factory,
        searched=_on_gpu(faiss, searched),
        points=vectors_of(reference),
        ids=reference["sample"].to_numpy().astype(object),
        reference_hash=found,
        adapter_hash=str(reference.attrs.get(ADAPTER, "")),
        recall=recall,
    )


def graph(embedding: NDArray[np.float32], k: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Return each point's k nearest (N, k), itself first, and their cosine distances (N, k)."""
    faiss = require("faiss", extra="cpu")
    points = np.ascontiguousarray(embedding, dtype=np.float32)
    similarity, rows = _filled(faiss, "Flat", points).search(points, k)
    return itself_first(rows, similarity)


def itself_first(
    rows: NDArray[np.int64], similarity: NDArray[np.float32], own: NDArray[np.int64] | None = None
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Return rows (Q, k) that were found, each query's own first, and cosine distances (Q, k).

    Exact duplicates may come before the point itself, or instead of it. Both arrays are changed.
    """
    own = np.arange(len(rows)) if own is None else own
    every = np.arange(len(rows))
    there = rows == own[:, None]
    at = np.where(there.any(1), there.argmax(1), rows.shape[1] - 1)
    rows[every, at], similarity[every, at] = rows[:, 0], similarity[:, 0]
    rows[:, 0], similarity[:, 0] = own, 1.0
    return rows, np.clip(1 - similarity, 0, 2).astype(np.float32)


def vectors_of(ds: xr.Dataset) -> NDArray[np.float32]:
    """Return embeddings (N, D), refusing those that are not of unit length."""
    vectors = np.ascontiguousarray(ds["embedding"].to_numpy(), dtype=np.float32)
    check_unit(vectors)
    return vectors


def check_lengths(one: int, other: int, done: str) -> None:
    """Refuse embeddings of two lengths; `done` is what cannot be done, such as `searched`.

    Raises
    ------
    InvalidEmbeddings
        Saying both.
    """
    if one != other:
        raise InvalidEmbeddings(
            f"embeddings of length {one} cannot be {done} among those of length {other}; embed "
            "both with one backbone."
        )


def check_adapters(ds: xr.Dataset, reference: xr.Dataset, done: str = "searched") -> None:
    """Refuse places on two spheres: each adapter turns its own. Without the attribute, trust.

    Raises
    ------
    InvalidEmbeddings
        Naming both adapters.
    """
    one, other = (str(part.attrs.get(ADAPTER, "")) for part in (ds, reference))
    if one and other and one != other:
        raise InvalidEmbeddings(
            f"embeddings by the adapter {one[:12]} cannot be {done} among those by {other[:12]}; "
            "embed both with one adapter."
        )


def _same(built_of: str, found: str, what: str) -> None:
    if built_of != found:
        raise StaleIndex(
            f"{what} is of other embeddings ({built_of[:12]}, these are {found[:12]}); build it "
            "anew, or give the reference that it is of."
        )


def _factory(kind: str, count: int, dim: int) -> str:
    """Return faiss's description of a kind for so many vectors."""
    if kind == FLAT:
        return "Flat"
    if kind == "hnsw":
        return "HNSW32,Flat"
    if kind == "ivf-pq" and count < 2 * PER_CELL:
        return "Flat"
    if kind == "ivf-pq":
        cells = max(1, min(round(4 * count**0.5), count // PER_CELL))
        codes = max(m for m in range(1, min(64, dim // 2) + 1) if dim % m == 0)
        bits = max(1, min(8, int(np.log2(count // PER_CELL))))
        return f"IVF{cells},PQ{codes}x{bits}"
    return kind


def _filled(faiss: Any, factory: str, points: NDArray[np.float32], *, seed: int = 0) -> Any:
    index = faiss.index_factory(points.shape[1], factory, faiss.METRIC_INNER_PRODUCT)
    index = _on_gpu(faiss, index)
    if not index.is_trained:
        drawn = np.random.default_rng(seed).permutation(len(points))[:TRAINED]
        index.train(points[np.sort(drawn)])
    index.add(points)
    return index


def _on_gpu(faiss: Any, index: Any) -> Any:
    """Move an index to the GPUs that faiss knows, if it knows any and can."""
    if not hasattr(faiss, "StandardGpuResources") or not faiss.get_num_gpus():
        return index
    try:
        return faiss.index_cpu_to_all_gpus(index)
    except RuntimeError:  # such as a graph, which stays
        return index


def _on_cpu(faiss: Any, index: Any) -> Any:
    return faiss.index_gpu_to_cpu(index) if hasattr(faiss, "index_gpu_to_cpu") else index


def _options(faiss: Any, index: Any, width: int, allowed: NDArray[np.bool_] | None) -> Any:
    """Return how an index of this type is searched thoroughly enough for so many candidates."""
    chosen: dict[str, Any] = {}
    if allowed is not None:
        chosen["sel"] = faiss.IDSelectorBitmap(np.packbits(allowed, bitorder="little"))
    inner = faiss.downcast_index(index)
    if isinstance(inner, faiss.IndexHNSW):
        return faiss.SearchParametersHNSW(efSearch=max(128, 2 * width), **chosen)
    if isinstance(inner, faiss.IndexIVF):
        cells = max(16, inner.nlist // 16)
        kind = faiss.IVFPQSearchParameters if _is_pq(faiss, inner) else faiss.SearchParametersIVF
        return kind(nprobe=min(inner.nlist, cells), **chosen)
    return faiss.SearchParameters(**chosen) if chosen else None


def _is_pq(faiss: Any, index: Any) -> bool:
    return isinstance(index, faiss.IndexIVFPQ)


def _measured(faiss: Any, index: SphereIndex, seed: int) -> SphereIndex:
    """Return the index with its recall."""
    count = len(index.ids)
    near = min(NEAR, count)
    if not near:
        return index
    rows = np.sort(np.random.default_rng([seed, 1]).permutation(count)[:ASKED])
    asked = index.points[rows]
    _, exact = _filled(faiss, "Flat", index.points).search(asked, near)
    _, found = index.search(asked, near)
    hits = [len(set(a) & set(b)) for a, b in zip(exact.tolist(), found.tolist(), strict=True)]
    return replace(index, recall=float(sum(hits)) / (near * len(rows)))


def _reason(error: Exception) -> str:
    """Return the last words of faiss's error, which begins with places in its source."""
    return first_line(error).rpartition("Error: ")[2] or first_line(error)
