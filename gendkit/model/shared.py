"""One frozen backbone in memory for many adapters: put on and taken off in milliseconds.

The frozen weights are hashed once, and again only after they were written to or moved. The layer
norms of the base are kept beside them and come back bit for bit.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from gendkit.errors import InvalidArgument, WrongBackbone
from gendkit.markup import card
from gendkit.model.adapter import UNKNOWN, Adapter, load_norms
from gendkit.model.backbone import Seen, build_backbone, frozen_hash, norms_of, tensors_hash
from gendkit.model.kinds import need_layer_norms
from gendkit.plugin.manager import plugins
from gendkit.plugin.specs import BackboneSpec


class SharedBackbone:
    """A backbone whose layer norms are exchanged while its frozen weights stay where they are.

    Detectors from `gk.load(adapter, backbone=shared)` and a `gk.Ensemble` hold nothing of their own
    but 0.1 to 0.4 MB. A lock lets one adapter at a time be on, also between threads.

    What writes through `tensor.data` or a numpy view of a frozen weight is not seen; `verify` looks
    at the numbers themselves.

    Parameters
    ----------
    module
        With the layer norms of the base: no adapter is applied to it.
    spec
        Of the module.

    Raises
    ------
    InvalidArgument
        If it was built under `torch.inference_mode`, where changes cannot be seen.
    """

    def __init__(self, module: nn.Module, spec: BackboneSpec) -> None:
        if any(t.is_inference() for t in [*module.parameters(), *module.buffers()]):
            raise InvalidArgument(
                f"backbone {spec.name} was built under torch.inference_mode, so that changes of "
                "its weights cannot be seen; build it outside."
            )
        self.module = module.eval()
        self.spec = spec
        self._base = {n: p.detach().clone() for n, p in norms_of(module, spec).items()}
        self._norms_hash = tensors_hash(self._base)
        self._lock = threading.RLock()
        self._adapter: Adapter | None = None
        self.verify()

    @classmethod
    def of(cls, name: str, *, image_size: int | None = None, device: str = "cpu") -> SharedBackbone:
        """Build one by name, such as `dinov2-vits14`, for an input size in pixels.

        Raises
        ------
        UnknownPart, InvalidSpec, MissingAsset
            As for `gendkit.model.backbone.build_backbone`.
        """
        spec = plugins().spec("backbone", name)
        return cls(build_backbone(spec, image_size=image_size).to(device), spec)

    def __repr__(self) -> str:
        on = "the base" if self._adapter is None else f"adapter {self._adapter.hash[:12]}"
        return f"SharedBackbone({self.spec.name}, {self.hash[:12]}, with {on})"

    def _repr_html_(self) -> str:
        on = "none: the base" if self._adapter is None else self._adapter.hash[:12]
        facts = {"backbone": f"{self.spec.name} ({self.hash[:12]})", "adapter on it": on}
        return card("SharedBackbone", facts)

    @property
    def hash(self) -> str:
        """Of the frozen weights when they were last verified; see `frozen_hash`."""
        return self._hash

    @property
    def base_norms(self) -> Mapping[str, Tensor]:
        """The layer norms of the base by canonical names, float32 on the CPU."""
        return {name: t.to("cpu", torch.float32, copy=True) for name, t in self._base.items()}

    @property
    def adapter(self) -> Adapter | None:
        """The one that is on; None is the base."""
        return self._adapter

    def verify(self) -> str:
        """Hash the frozen weights now, whatever was seen before, and return the hash."""
        with self._lock:
            self._hash = frozen_hash(self.module, self.spec)
            self._seen = [Seen.of(t) for t in self._frozen()]
            return self._hash

    def check(self, adapter: Adapter) -> None:
        """Refuse an adapter of another base, or of another kind than layer norms.

        Raises
        ------
        InvalidArgument
            For another kind.
        WrongBackbone
            If it was trained on other frozen weights, or from other layer norms. Those of an
            imported adapter are unknown and not compared.
        """
        need_layer_norms(adapter, "put on a shared backbone")
        header = adapter.header
        if self._changed():
            self.verify()
        if header.backbone_hash != self._hash:
            raise WrongBackbone(
                f"the adapter belongs to {header.backbone} ({header.backbone_hash[:12]}), not to "
                f"{self.spec.name} ({self._hash[:12]}); share the backbone that it was trained on."
            )
        if header.norms_hash not in (self._norms_hash, UNKNOWN):
            raise WrongBackbone(
                f"the adapter was tuned from layer norms {header.norms_hash[:12]}, but this "
                f"{self.spec.name} came with {self._norms_hash[:12]}; was an adapter applied to it "
                f"before it was shared? Take SharedBackbone.of({self.spec.name!r})."
            )

    def apply(self, adapter: Adapter) -> None:
        """Put an adapter on, in place of the one that is on.

        Raises
        ------
        WrongBackbone
            As for `check`.
        InvalidAdapter
            If its tensors are not exactly the backbone's layer norms. Then nothing is changed.
        """
        with self._lock:
            self.check(adapter)
            load_norms(self.module, self.spec, adapter.norms)
            self._adapter = adapter

    def remove(self) -> None:
        """Put the layer norms of the base back, bit for bit."""
        with self._lock:
            load_norms(self.module, self.spec, self._base)
            self._adapter = None

    @contextmanager
    def applied(self, adapter: Adapter) -> Iterator[nn.Module]:
        """Put an adapter on inside the block, and back what was on before it; other threads wait.

        Raises
        ------
        WrongBackbone, InvalidAdapter
            As for `apply`.
        """
        with self._lock:
            before = self._adapter
            self.apply(adapter)
            try:
                yield self.module
            finally:
                if before is None:
                    self.remove()
                else:
                    self.apply(before)

    def wearing(self, adapter: Adapter) -> Adapted:
        """Return the backbone as a module that has this adapter on in each of its passes.

        Raises
        ------
        WrongBackbone, InvalidAdapter
            As for `apply`.
        """
        with self.applied(adapter):
            return Adapted(self, adapter)

    def _frozen(self) -> list[Tensor]:
        norms = {id(p) for p in norms_of(self.module, self.spec).values()}
        tensors = [*self.module.parameters(), *self.module.buffers()]
        return [t for t in tensors if id(t) not in norms]

    def _changed(self) -> bool:
        frozen = self._frozen()
        return len(frozen) != len(self._seen) or not all(
            seen.still(tensor) for seen, tensor in zip(self._seen, frozen, strict=True)
        )


class Adapted(nn.Module):
    """A shared backbone with one adapter: from pixels (B, 3, H, W) to features (B, D).

    The adapter is on during a pass only, so that several of these can be used in turn. For
    gradients it must be on during the backward pass too: use `SharedBackbone.applied` around both.
    """

    def __init__(self, shared: SharedBackbone, adapter: Adapter) -> None:
        super().__init__()
        self.shared = shared
        self.adapter = adapter
        self.module = shared.module

    def forward(self, pixels: Tensor) -> Tensor:
        """Run the backbone with the adapter on."""
        with self.shared.applied(self.adapter) as module:
            features: Tensor = module(pixels)
        return features
