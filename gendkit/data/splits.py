"""The committed split: which identities and which families are for training, development and final.

Everything is chosen on development; final is computed last, and each computation of it is logged.
In goes a dataset's name and an identity, or a family's name, out comes its split. The numbers stand
in `splits.json` beside this file and are never changed, only replaced under a new version.

- Identities: half train, a fifth development, the rest final. `synthetic` goes by the last digit
  of the index, so that a larger data set keeps the split of a smaller one; `photos` goes by the
  SHA-256 of the identity's name.
- Families: `self-blend` and `landmark-swap` train, `upsampling` development, `reenactment` and
  `lip-replacement` final.

What is rendered:

=============  ====  ==========================  ====================
identities     real  seen families               unseen families
=============  ====  ==========================  ====================
train          yes   those of train              none
development    yes   those of train              those of development
final          yes   those of train              those of final
=============  ====  ==========================  ====================

So development and final both measure new people under known families and under unknown ones, and no
family of final is ever seen before.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Any, Literal, get_args

from gendkit.errors import UnknownPart

Split = Literal["train", "development", "final"]
SPLITS: tuple[Split, ...] = get_args(Split)


def split_of_identity(dataset: str, identity: str) -> Split:
    """Return the split of a person of a dataset.

    Parameters
    ----------
    dataset
        `synthetic` or `photos`.
    identity
        For `synthetic` the index in digits, for `photos` any name.

    Raises
    ------
    UnknownPart
        If the split says nothing about the dataset, or an identity of `synthetic` is no index.
    """
    rules = _committed()["identities"]
    if dataset not in rules:
        raise UnknownPart(
            f"the committed split has no rule for dataset {dataset!r}; it has {', '.join(rules)}."
        )
    rule = rules[dataset]
    if rule["rule"] == "order":
        if not (identity.isascii() and identity.isdigit()):
            raise UnknownPart(f"identities of {dataset} are indices such as '7', got {identity!r}.")
        place = int(identity) % rule["period"]
        return next(split for split in SPLITS if place in rule[split])
    digest = hashlib.sha256((rule["prefix"] + identity).encode()).hexdigest()
    fraction = int(digest[:8], 16) / 2**32
    return next((s for s in SPLITS[:2] if fraction < rule[s]), "final")


def split_of_family(name: str) -> Split:
    """Return the split of a family of forgeries, or raise UnknownPart."""
    families: Mapping[str, Split] = _committed()["families"]
    if name not in families:
        raise UnknownPart(
            f"the committed split has no family {name!r}; it has {', '.join(families)}."
        )
    return families[name]


def rendered_families(split: Split) -> tuple[str, ...]:
    """Return the families that are rendered for a split's identities, seen ones first."""
    return seen_families(split) + unseen_families(split)


def seen_families(split: Split) -> tuple[str, ...]:
    """Return those families of a split's fakes that training has seen."""
    return _families(split, "seen")


def unseen_families(split: Split) -> tuple[str, ...]:
    """Return those families of a split's fakes that training has not seen."""
    return _families(split, "unseen")


def _families(split: Split, role: str) -> tuple[str, ...]:
    wanted = _committed()["rendered"]
    if split not in wanted:
        raise UnknownPart(f"no split is named {split!r}; there is {', '.join(SPLITS)}.")
    families: Mapping[str, Split] = _committed()["families"]
    return tuple(f for f, of in families.items() if of in wanted[split][role])


@cache
def _committed() -> Mapping[str, Any]:
    text = resources.files("gendkit.data").joinpath("splits.json").read_text("utf-8")
    content: Mapping[str, Any] = json.loads(text)
    return content
