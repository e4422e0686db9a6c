"""What the families of one split are fitted on: its own people and nobody else.

In go the names of families and the sources of a split's people, out comes for each family that has
to be fitted what its clips carry.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence

from gendkit.builtin.renderings import Source
from gendkit.data.forge import Tools, family_named
from gendkit.data.splits import Split

log = logging.getLogger(__name__)

FITTED_ON = 16
"""How many people of a split the generators of its fakes are fitted on, unless all are needed."""


def fitted_tools(
    families: Iterable[str],
    people: Mapping[str, Sequence[Source]],
    *,
    dataset: str,
    split: Split,
    seed: int,
) -> dict[str, Tools]:
    """Fit those families that need it, on all people or on the first ones.

    A picture that is used several times is seen once.
    """
    tools: dict[str, Tools] = {}
    for name in families:
        family = family_named(name)
        if family.fit is None:
            continue
        names = list(people) if family.fits_everyone else list(people)[:FITTED_ON]
        log.info("%s: %s is fitted on %d people of %s", dataset, name, len(names), split)
        tools[name] = family.fit({p: list(dict.fromkeys(people[p])) for p in names}, seed=seed)
    return tools
