"""Which numbers are tuned: the weights and biases of a backbone's layer norms, found by type."""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from torch import Tensor, nn

from gendkit.errors import InvalidSpec, NothingToTune
from gendkit.markup import card


@dataclass(frozen=True, kw_only=True)
class Tuned:
    """What is tuned in a backbone.

    Attributes
    ----------
    names
        Of the tuned parameters, in the order of the module.
    numbers, total
        How many numbers are tuned, and how many the backbone has.
    """

    names: tuple[str, ...]
    numbers: int
    total: int

    @property
    def share(self) -> float:
        """Tuned numbers over all numbers."""
        return self.numbers / self.total

    def __repr__(self) -> str:
        return f"Tuned({self.numbers:,} of {self.total:,} numbers, {len(self.names)} tensors)"

    def _repr_html_(self) -> str:
        facts = {"tuned": f"{self.numbers:,} of {self.total:,} numbers ({self.share:.2%})"}
        return card("Tuned", {**facts, "tensors": f"{len(self.names):,}", "first": self.names[0]})


def norm_types(names: Iterable[str]) -> tuple[type[nn.Module], ...]:
    """Import the classes that a spec declares as `module:Class`.

    Raises
    ------
    InvalidSpec
        If one cannot be imported.
    """
    types = []
    for name in names:
        module, _, attribute = name.partition(":")
        try:
            types.append(getattr(importlib.import_module(module), attribute))
        except (ImportError, AttributeError, ValueError) as error:
            raise InvalidSpec(
                f"norm class {name!r} cannot be imported ({error}); "
                "expected 'module:Class', such as 'torch.nn:LayerNorm'."
            ) from None
    return tuple(types)


def norm_layers(
    backbone: nn.Module, types: tuple[type[nn.Module], ...] = (nn.LayerNorm,)
) -> Iterator[tuple[str, nn.Module]]:
    """Yield the names and modules of the normalisation layers, in the order of the module."""
    for name, module in backbone.named_modules():
        if isinstance(module, types):
            yield name, module


def norm_parameters(
    backbone: nn.Module, types: tuple[type[nn.Module], ...] = (nn.LayerNorm,)
) -> dict[str, nn.Parameter]:
    """Return the normalisation layers' parameters by name."""
    return {
        f"{name}.{key}" if name else key: parameter
        for name, module in norm_layers(backbone, types)
        for key, parameter in module.named_parameters(recurse=False)
    }


def tune_layer_norms(
    backbone: nn.Module, types: tuple[type[nn.Module], ...] = (nn.LayerNorm,)
) -> Tuned:
    """Freeze the backbone except its layer norms.

    Layer norms are found by type, so a renamed layer cannot silently stay frozen. The backbone is
    put in evaluation mode: it has neither dropout nor layer drop while it is tuned.

    Raises
    ------
    NothingToTune
        If there are none: training would then change only the head.
    """
    tuned = norm_parameters(backbone, types)
    if not tuned:
        wanted = " or ".join(t.__name__ for t in types)
        raise NothingToTune(
            f"{type(backbone).__name__} has no {wanted} with weights; GenD cannot tune it. "
            "A spec may declare other classes as norm_classes."
        )
    backbone.eval()
    backbone.requires_grad_(False)
    for parameter in tuned.values():
        parameter.requires_grad_(True)
    return Tuned(
        names=tuple(tuned),
        numbers=sum(p.numel() for p in tuned.values()),
        total=sum(p.numel() for p in backbone.parameters()),
    )


def copy_of(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return detached float32 copies on the CPU."""
    return {name: p.detach().to("cpu", copy=True).float() for name, p in tensors.items()}
