"""What a result rests on, as plain values for a JSON file: the data and the versions."""

from __future__ import annotations

import hashlib
import json
import platform
from collections import Counter
from dataclasses import asdict
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gendkit.data.manifest import COVERAGE, Manifest
from gendkit.errors import UnreadableMedia, first_line
from gendkit.train.course import RECORD

if TYPE_CHECKING:
    from gendkit.model.adapter import Header

EXTRACTION = ("extractor", "threshold", "scale", "size")
READ = ("sample", "label", "dataset", "video", "pair", "target_identity", "donor_identity")


def describe(manifest: Manifest, *, read: str = "") -> dict[str, Any]:
    """Return counts of a manifest, with a digest of its samples and labels.

    Parameters
    ----------
    read
        The digest of all that training reads of it, if it did; see `digest`.
    """
    table = manifest.table
    digest = hashlib.sha256()
    for sample, label in zip(table["sample"], table["label"], strict=True):
        digest.update(f"{sample}\t{label}\n".encode())
    return {
        "crops": len(table),
        "real": int((table["label"] == 0).sum()),
        "fake": int((table["label"] == 1).sum()),
        "videos": int(table[["dataset", "video"]].drop_duplicates().shape[0]),
        "identities": len(set(table["target_identity"]) - {""}),
        "datasets": sorted(set(table["dataset"]) - {""}),
        "families": sorted(set(table["family"]) - {""}),
        "licences": {str(name): int(n) for name, n in sorted(Counter(table["licence"]).items())},
        "coverage": manifest.faces().meta[COVERAGE],
        "digest": digest.hexdigest(),
        **({"read": read} if read else {}),
    }


def digest(manifest: Manifest) -> str:
    """Return a digest of all that training reads of a manifest, in its order.

    Of the crops themselves only the files' sizes are looked at, so that no file is read; a pack
    knows those that it was made from, so that packed crops have the same digest.
    """
    table = manifest.table
    whole = hashlib.sha256(json.dumps(extraction(manifest), sort_keys=True, default=str).encode())
    for path, *values in table[["path", *READ]].itertuples(index=False, name=None):
        whole.update(json.dumps([manifest.file_size(path), *values], default=str).encode())
    return whole.hexdigest()


def extraction(manifest: Manifest) -> dict[str, Any]:
    """Return how a manifest's crops were made, as far as is known."""
    return {k: manifest.meta[k] for k in EXTRACTION if manifest.meta.get(k) is not None}


def training_of(header: Header) -> dict[str, Any]:
    """Return what an adapter's header tells of its training but the seed."""
    return {
        "recipe": {name: value for name, value in header.recipe.items() if name != "seed"},
        "backbone": header.backbone_hash,
        "norms": header.norms_hash,
        "preprocessing": asdict(header.preprocessing),
        "crops": dict(header.extraction),
    }


def record_beside(adapter: str | Path, digest: str) -> dict[str, Any]:
    """Return the record of an adapter's run, which lies beside it; empty if there is none.

    Parameters
    ----------
    adapter
        Its file, or the folder of the run.
    digest
        The adapter's hash: the record of another one is none.

    Raises
    ------
    UnreadableMedia
        If the record is damaged.
    """
    path = Path(adapter)
    file = (path if path.is_dir() else path.parent) / RECORD
    if not file.is_file():
        return {}
    try:
        record = json.loads(file.read_text(encoding="utf-8"))
        record.get("data", {}).get("train", {}).get("digest")
    except (OSError, ValueError, AttributeError) as error:
        raise UnreadableMedia(f"{file} is no record of a run: {first_line(error)}.") from None
    return dict(record) if record.get("adapter") == digest else {}


def versions() -> dict[str, str]:
    """Return the versions that a result may depend on."""
    names = ("gendkit", "torch", "torchvision", "timm", "numpy", "scikit-learn")
    return {"python": platform.python_version(), **{n: metadata.version(n) for n in names}}
