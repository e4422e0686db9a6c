"""The weights of the three networks: files of facenet-pytorch's wheel, in the cache of gendkit.

The wheel is downloaded and never installed, because its own dependencies clash with gendkit's.
"""

from __future__ import annotations

from pathlib import Path

from gendkit.data.assets import Asset, asset_paths


def _asset(name: str, *, stage: str, sha256: str, size: int) -> Asset:
    return Asset(
        name=f"mtcnn-{name}",
        summary=f"MTCNN's {stage} network",
        distribution="facenet-pytorch",
        version="2.6.0",
        member=f"facenet_pytorch/data/{name}.pt",
        sha256=sha256,
        size=size,
        licence="MIT",
        origin="Zhang et al., MTCNN; ported by David Sandberg and Tim Esler (facenet-pytorch)",
        wheel_sha256="ecb82b27beb226d106f2219efe8f829b01b87a8595badd01545679bdb9f19cca",
        wheel_size=1_881_930,
    )


ASSETS = (
    _asset(
        "pnet",
        stage="proposal",
        sha256="a2a71925e0b9996a42f63e47efc1ca19043e69558b5c523b978d611dfae49c8f",
        size=28_570,
    ),
    _asset(
        "rnet",
        stage="refinement",
        sha256="bbb937de72efc9ef83b186c49f5f558467a1d7e3453a8ece0d71a886633f6a86",
        size=403_147,
    ),
    _asset(
        "onet",
        stage="output",
        sha256="165bfbe42940416ccfb977545cf0e976d5bf321f67083ae2aaaa5c764280118d",
        size=1_559_269,
    ),
)
"""One a network, in the order of the stages."""


def weights() -> list[Path]:
    """Return the paths of the weights, in the order of the stages, fetched if they are missing.

    Raises
    ------
    MissingAsset, CorruptAsset
        If they are not to be had, or are not the expected ones.
    """
    return asset_paths(ASSETS)
