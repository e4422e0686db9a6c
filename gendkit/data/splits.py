"""The committed split: which identities and which families are for training, development and final.

Everything is chosen on development; final is computed last, and each computation of it is logged.
In goes a dataset's name and an identity, or a family's name, out comes its split. The numbers stand
in `splits.json` beside this file and are never changed, only replaced under a new version.

- Identities: half train, a fifth development, the rest final. `synthetic` goes by the last digit
  of the index, so that a larger data set keeps the split of a smaller one; `photos` goes by the
  SHA-256 of the identity's name.
- Families: `self-blend`, `landmark-swap` and `autoencoder` train, `upsampling` and `swap-restorer`
  development, `reenactment`, `lip-replacement` and `diffusion` final. `autoencoder`,
  `swap-restorer` and `diffusion` have networks that are fitted for a minute or more, so they are
  rendered only where they are asked for; the others are the quick ones.

What is rendered:

=============  ====  ==========================  ====================
identities     real  seen families               unseen families
=============  ====  ==========================  ====================
train          yes   those of train              none
development    yes   those of train              those of development
final          yes   those of train              those of final
=============  ====  ==========================  ====================

So development and final both measure new people under known families and under unknown ones, and no
family of final is ever seen before. Where only some families are asked for, the others are left out
of the table.

`gendkit-split-2` has three families more than `gendkit-split-1`; no person and no family moved.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import resources
from typing import Any, Literal, get_args

from gendkit.errors import InvalidOption, UnknownPart

Split = Literal["train", "development", "final"]
SPLITS: tuple[Split, ...] = get_args(Split)
QUICK, ALL = "quick", "all"
"""What may stand for names of families: those that are rendered by default, and every one."""


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


def rendered_families(split: Split, families: str | Sequence[str] = QUICK) -> tuple[str, ...]:
    """Return the families that are rendered for a split's identities, seen ones first.

    Parameters
    ----------
    families
        Which are asked for; see `chosen_families`.
    """
    return seen_families(split, families) + unseen_families(split, families)


def seen_families(split: Split, families: str | Sequence[str] = QUICK) -> tuple[str, ...]:
    """Return those families of a split's fakes that training has seen."""
    return _families(split, "seen", families)


def unseen_families(split: Split, families: str | Sequence[str] = QUICK) -> tuple[str, ...]:
    """Return those families of a split's fakes that training has not seen."""
    return _families(split, "unseen", families)


def chosen_families(families: str | Sequence[str]) -> tuple[str, ...]:
    """Return the names of families that are asked for, in the order of the committed split.

    Parameters
    ----------
    families
        `quick` for those that need no fitting longer than seconds, `all`, or names: a list, or a
        text with commas in between.

    Raises
    ------
    InvalidOption
        If it is neither, or names none.
    UnknownPart
        If a name is no family's.
    """
    known: Mapping[str, Split] = _committed()["families"]
    there = f"there is {QUICK}, {ALL}, or of {', '.join(known)} some with commas"
    if isinstance(families, str):
        names: list[object] = [name.strip() for name in families.split(",") if name.strip()]
    elif isinstance(families, Sequence):
        names = list(families)
    else:
        raise InvalidOption(
            f"families must be a text or a list of names, got {families!r}; {there}."
        )
    if not names:
        raise InvalidOption(f"families names none; {there}.")
    wanted: set[object] = set()
    for name in names:
        if name == ALL:
            wanted.update(known)
        elif name == QUICK:
            wanted.update(_committed()["quick"])
        elif name in known:
            wanted.add(name)
        else:
            raise UnknownPart(f"no family of forgeries is named {name!r}; {there}.")
    return tuple(family for family in known if family in wanted)


def _families(split: Split, role: str, families: str | Sequence[str]) -> tuple[str, ...]:
    wanted = _committed()["rendered"]
    if split not in wanted:
        raise UnknownPart(f"no split is named {split!r}; there is {', '.join(SPLITS)}.")
    chosen = chosen_families(families)
    return tuple(f for f in chosen if split_of_family(f) in wanted[split][role])


@cache
def _committed() -> Mapping[str, Any]:
    text = resources.files("gendkit.data").joinpath("splits.json").read_text("utf-8")
    content: Mapping[str, Any] = json.loads(text)
    return content
