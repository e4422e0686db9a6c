"""What a recipe's `augmentation` says: a named one, a chain of degradations, or one after another.

    gend                                     the method's
    jpeg:40..100@0.5                         a chain alone
    gend, blur:3..9:0.5..2@0.1               the method's, then a chain
    gend-batched, noise:0..0.05              on the device, after the resize to the input
    none-batched, jpeg:40..100               a chain alone, there

A text enters, a value leaves; nothing is loaded that touches a picture.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from gendkit.data.degrade import KINDS, Chain
from gendkit.errors import InvalidArgument

NONE = "none"
ON_HOST = ("gend", "light", NONE)
"""Of each crop at its own resolution, before the resize; see `gendkit.data.augment`."""
ON_DEVICE = ("gend-batched", "none-batched")
"""Of a whole batch, after the resize; see `gendkit.data.batched`."""


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """A named augmentation and the chain that comes after it.

    `str` gives its text in one way of writing, from which `parse` makes the same.

    Attributes
    ----------
    name
        In `ON_HOST` or `ON_DEVICE`; this is also where the chain is done.
    chain
        Of which each sample draws its own values; without steps, nothing more is done.
    """

    name: str = NONE
    chain: Chain = field(default_factory=Chain)

    def __str__(self) -> str:
        named = [] if self.name == NONE and self.chain.steps else [self.name]
        return ",".join([*named, *map(str, self.chain.steps)])

    @property
    def batched(self) -> bool:
        """Whether whole batches are augmented on the device."""
        return self.name in ON_DEVICE

    @classmethod
    def parse(cls, text: str) -> Augmentation:
        """Read a text such as `gend, jpeg:40..100@0.5`.

        Raises
        ------
        InvalidArgument
            For an unknown name or step, or a value that a step cannot have.
        """
        first, _, rest = (part.strip() for part in text.partition(","))
        names = (*ON_HOST, *ON_DEVICE)
        if late := [part.strip() for part in rest.split(",") if part.strip() in names]:
            raise InvalidArgument(f"{text!r}: {late[0]} stands at the beginning, or not at all.")
        if first in names:
            return cls(name=first, chain=Chain.parse(rest) if "," in text else Chain())
        if first and ":" not in first and first.partition("@")[0] not in KINDS:
            raise InvalidArgument(
                f"no augmentation is named {first!r}; there is {', '.join(names)}, and steps such "
                f"as {', '.join(kind.example for kind in KINDS.values())}."
            )
        return cls(chain=Chain.parse(text))
