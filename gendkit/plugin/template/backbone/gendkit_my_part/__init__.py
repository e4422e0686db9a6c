"""Declares a backbone; torch is imported when it is built."""

from __future__ import annotations

from collections.abc import Iterator

from gendkit.plugin import Backbone, BackboneSpec, hookimpl

DIM, SIDE, DEPTH = 64, 64, 2


@hookimpl
def gendkit_backbones() -> Iterator[BackboneSpec]:
    """Yield the backbone."""
    yield BackboneSpec(
        name="my-part",
        summary="two transformer blocks that nobody has trained yet",
        licence="MIT",
        dim=DIM,
        image_size=SIDE,
        build=_build,
    )


def _build(*, pretrained: bool = True, image_size: int = SIDE, depth: int = DEPTH) -> Backbone:
    import torch

    from gendkit_my_part.encoder import Encoder

    # Put your weights here: torch.load(..., weights_only=True), or safetensors. These are drawn
    # from a fixed seed, which leaves the random state of the process as it was.
    with torch.random.fork_rng(devices=[], enabled=pretrained):
        if pretrained:
            torch.default_generator.manual_seed(0)  # that of the CPU
        return Encoder(dim=DIM, side=image_size, depth=depth)
