"""What a result rests on, as plain values for a JSON file: the data and the versions."""

from __future__ import annotations

import hashlib
import platform
from importlib import metadata
from typing import Any

from gendkit.data.manifest import Manifest


def describe(manifest: Manifest) -> dict[str, Any]:
    """Return counts and a digest of a manifest's samples and labels."""
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
        "families": sorted(set(table["family"]) - {""}),
        "digest": digest.hexdigest(),
    }


def versions() -> dict[str, str]:
    """Return the versions that a result may depend on."""
    names = ("gendkit", "torch", "torchvision", "timm", "numpy", "scikit-learn")
    return {"python": platform.python_version(), **{n: metadata.version(n) for n in names}}
