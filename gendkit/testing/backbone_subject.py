"""A backbone under check: its spec, a module that is built once, and what it makes of pixels.

It is built with random weights from a fixed seed, unless `Given.pretrained` says otherwise, and
with two blocks where its `build` takes `depth` and does not refuse it by `InvalidSpec`. It is shown
pixels (3, 3, S, S) of a standard normal distribution.
"""

from __future__ import annotations

import copy
import inspect
from functools import cached_property

import torch
from torch import Tensor, nn

from gendkit.errors import InvalidSpec
from gendkit.model.backbone import build_backbone
from gendkit.model.tuning import norm_types
from gendkit.plugin.manager import Plugins
from gendkit.plugin.parts import Part
from gendkit.plugin.specs import BackboneFamily, BackboneSpec
from gendkit.testing.features import features_of
from gendkit.testing.rules import Given, LeftOut

DEPTH, COUNT = 2, 3


class BackboneUnderCheck:
    """A backbone: its spec, and a module that is built once.

    Parameters
    ----------
    part
        The backbone, or a family whose member `given` names.
    found
        Where other backbones are looked up by name.
    given
        The family's member, whether to load weights, and other layouts of them.
    """

    def __init__(self, part: Part, found: Plugins, given: Given) -> None:
        self.part, self.found, self.given = part, found, given

    @property
    def name(self) -> str:
        """The name by which users ask for it."""
        family = isinstance(self.part.spec, BackboneFamily)
        return f"{self.part.spec.name}:{self.given.key}" if family else self.part.spec.name

    @cached_property
    def spec(self) -> BackboneSpec:
        """What is declared of it."""
        if isinstance(self.part.spec, BackboneFamily) and not self.given.key:
            raise LeftOut(
                f"a family is checked by a member, such as: gendkit plugins check "
                f"{self.part.spec.pattern}"
            )
        return self.found.spec("backbone", self.name)

    @cached_property
    def depth(self) -> int | None:
        """How many blocks are built; None for all, where its `build` takes or bears no depth."""
        if self.given.pretrained or "depth" not in inspect.signature(self.spec.build).parameters:
            return None
        try:
            with torch.random.fork_rng(devices=[]):
                build_backbone(self.spec, pretrained=False, depth=DEPTH)
        except InvalidSpec:  # of a family's members some have no depth, such as ConvNeXt
            return None
        return DEPTH

    def built(self, *, image_size: int | None = None, seed: int = 0) -> nn.Module:
        """Build it anew; weights that are not loaded depend on the code and a seed alone."""
        spec, depth = self.spec, self.depth  # before the seed: to find out may draw, too
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return build_backbone(
                spec, pretrained=self.given.pretrained, depth=depth, image_size=image_size
            )

    @cached_property
    def module(self) -> nn.Module:
        """One module for the rules that leave it as it is; the others take `copied`."""
        return self.built()

    def copied(self) -> nn.Module:
        """A copy of the module, to be changed."""
        return copy.deepcopy(self.module)

    @cached_property
    def norms(self) -> tuple[type[nn.Module], ...]:
        """The classes of layer norms."""
        return norm_types(self.spec.norm_classes)

    @cached_property
    def features(self) -> Tensor:
        """What the module makes of the pixels, (3, D)."""
        return features_of(self.module, self.pixels())

    def pixels(self, *, side: int | None = None, count: int = COUNT) -> Tensor:
        """Draw normalised pixels (count, 3, S, S) from a seed."""
        side = side or self.spec.image_size
        return torch.randn(count, 3, side, side, generator=torch.Generator().manual_seed(1))
