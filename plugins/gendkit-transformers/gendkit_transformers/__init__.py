"""Declares a family of backbones; torch and transformers are imported when one is resolved."""

from __future__ import annotations

from collections.abc import Iterator

from gendkit.plugin import BackboneFamily, ResolvedBackbone, hookimpl


@hookimpl
def gendkit_backbones() -> Iterator[BackboneFamily]:
    """Yield the vision encoders of Hugging Face transformers."""
    yield BackboneFamily(
        name="transformers",
        pattern="transformers:ID",
        summary="CLIP, SigLIP, DINOv2, DINOv3 of Hugging Face: OWNER/NAME, or a folder ./NAME",
        licence="see the model",
        resolve=_member,
    )


def _member(key: str) -> ResolvedBackbone:
    from gendkit_transformers.members import member

    return member(key)
