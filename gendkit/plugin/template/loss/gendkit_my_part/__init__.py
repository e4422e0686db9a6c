"""Declares a loss; torch is imported when it is built."""

from __future__ import annotations

from collections.abc import Iterator

from gendkit.plugin import Loss, LossSpec, hookimpl


@hookimpl
def gendkit_losses() -> Iterator[LossSpec]:
    """Yield the loss."""
    yield LossSpec(
        name="my-part",
        summary="cross-entropy that looks more at the crops that are still wrong",
        reference="Lin et al., Focal Loss for Dense Object Detection, ICCV 2017",
        separable=True,
        build=_build,
    )


def _build(*, gamma: float = 2.0) -> Loss:
    from gendkit_my_part.loss import Focal

    return Focal(gamma=gamma)
