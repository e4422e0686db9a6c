"""The built-in datasets: drawn faces, and any folder of photos, with forgeries of both.

In go options, out come clips of a picture each, or of a short film. For every identity and variant
there are a real clip and one fake of each family that `gendkit.data.splits` renders for the
identity's split, all made under one `Plan`. Media are rendered when a clip is read.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path

from gendkit.builtin.fitted import fitted_tools
from gendkit.builtin.options import (
    checked_splits,
    fraction,
    safe_name,
    seed_of,
    whole,
    yes_or_no,
)
from gendkit.builtin.photo_folder import Examined, examined_photos, pictures_in
from gendkit.builtin.renderings import Drawing, Pair, Source
from gendkit.data.controls import DEGRADATIONS
from gendkit.data.forge import Plan, describe, family_named, match_donors
from gendkit.data.forge.geometry import Floats
from gendkit.data.splits import (
    QUICK,
    SPLITS,
    Split,
    chosen_families,
    rendered_families,
    split_of_identity,
)
from gendkit.plugin.protocols import Clip

log = logging.getLogger(__name__)

SIDES = (128, 4096)
"""Least and largest side, in pixels, of a drawn picture."""


class SyntheticFaces:
    """Drawn faces and forgeries of them; needs no file.

    Parameters
    ----------
    identities
        Number of people.
    clips
        Pictures of each, with their own pose, light and plan.
    size
        Side of the drawn picture in pixels.
    seed
        Another seed gives other people.
    controls
        Add negative controls: for people of development and final, each degradation of their first
        real clip and of one of its fakes.
    splits
        Which splits to give; a text names one, or several with commas in between.
    families
        Which forgeries: `quick` for those that need no fitting longer than seconds, `all`, or
        names with commas in between. Networks of the others are fitted on the people of a split
        when its clips are listed, which takes minutes the first time and is then kept in the cache.
    motion
        What part of the pairs, 0 to 1, are films of two seconds in place of pictures.
    crossed
        Make every chosen family of every person, of whatever split, for a study that leaves out
        families by itself; else the committed table says which.

    Raises
    ------
    InvalidOption, UnknownPart
        For an option that cannot be, and for a split that does not exist.
    """

    name = "synthetic"
    licence = "CC0-1.0"

    def __init__(
        self,
        *,
        identities: int = 100,
        clips: int = 2,
        size: int = 256,
        seed: int = 0,
        controls: bool = True,
        splits: str | Sequence[Split] = SPLITS,
        families: str | Sequence[str] = QUICK,
        motion: float = 0.0,
        crossed: bool = False,
    ) -> None:
        self._identities = whole("identities", identities, least=1)
        self._clips = whole("clips", clips, least=1)
        self._size = whole("size", size, least=SIDES[0], most=SIDES[1])
        self._seed = whole("seed", seed, least=0)
        self._controls = yes_or_no("controls", controls)
        self._splits = checked_splits(splits)
        self._families = chosen_families(families)
        self._motion = fraction("motion", motion)
        self._crossed = yes_or_no("crossed", crossed)

    def clips(self) -> Iterator[Clip]:
        """Yield the clips, split by split, person by person."""
        for split in self._splits:
            people = {
                str(i): [
                    Drawing(identity=i, clip=c, size=self._size, seed=self._seed)
                    for c in range(self._clips)
                ]
                for i in range(self._identities)
                if split_of_identity(self.name, str(i)) == split
            }
            yield from _clips_of(
                people, dataset=self.name, split=split, seed=self._seed, controls=self._controls,
                licence=self.licence, descriptions=None, chosen=self._families,
                motion=self._motion, crossed=self._crossed,
            )  # fmt: skip


class Photos:
    """A folder of face photos, one a person, and forgeries of them.

    The name of a file is the name of the person; this class is the only place that reads it.

    Parameters
    ----------
    root
        A folder with pictures directly inside.
    variants
        How often each photo is used, each time with its own jitter and plan.
    seed
        Of jitter and plans. The split does not depend on it.
    controls, splits, families, motion, crossed
        As for `SyntheticFaces`.

    Raises
    ------
    MissingMedia
        If the folder does not exist or holds no picture.
    InvalidOption, UnknownPart
        As for `SyntheticFaces`.
    """

    name = "photos"
    licence = "that of the photos"

    def __init__(
        self,
        root: str | Path,
        *,
        variants: int = 2,
        seed: int = 0,
        controls: bool = True,
        splits: str | Sequence[Split] = SPLITS,
        families: str | Sequence[str] = QUICK,
        motion: float = 0.0,
        crossed: bool = False,
    ) -> None:
        self._variants = whole("variants", variants, least=1)
        self._seed = whole("seed", seed, least=0)
        self._controls = yes_or_no("controls", controls)
        self._splits = checked_splits(splits)
        self._families = chosen_families(families)
        self._motion = fraction("motion", motion)
        self._crossed = yes_or_no("crossed", crossed)
        self._paths = pictures_in(root, dataset=self.name)

    @property
    def excluded(self) -> Mapping[str, str]:
        """The photos that are left out, by file name, and why."""
        return dict(self._examined[1])

    def clips(self) -> Iterator[Clip]:
        """Yield the clips, split by split, person by person in the order of their names."""
        photos = self._examined[0]
        for split in self._splits:
            chosen = {
                name: photo
                for name, photo in photos.items()
                if split_of_identity(self.name, name) == split
            }
            yield from _clips_of(
                {name: [photo] * self._variants for name, (photo, _) in chosen.items()},
                dataset=self.name, split=split, seed=self._seed, controls=self._controls,
                licence=self.licence,
                descriptions={name: description for name, (_, description) in chosen.items()},
                chosen=self._families, motion=self._motion, crossed=self._crossed,
            )  # fmt: skip

    @cached_property
    def _examined(self) -> Examined:
        return examined_photos(self._paths, dataset=self.name, splits=self._splits)


def _clips_of(
    people: Mapping[str, Sequence[Source]],
    *,
    dataset: str,
    split: Split,
    seed: int,
    controls: bool,
    licence: str,
    descriptions: Mapping[str, Floats] | None,
    chosen: Sequence[str],
    motion: float,
    crossed: bool,
) -> Iterator[Clip]:
    """Yield the clips of the people of one split; donors and fitted parts come from among them."""
    if not people:
        return
    families = tuple(chosen) if crossed else rendered_families(split, chosen)
    if descriptions is None:
        descriptions = {name: describe(sources[0]()) for name, sources in people.items()}
    donors = match_donors(descriptions)
    if not donors:
        lone = [f for f in families if family_named(f).needs_donor]
        families = tuple(f for f in families if f not in lone)
        if lone:
            log.warning(
                "%s: %s has one person, so no donor for %s", dataset, split, ", ".join(lone)
            )
    tools = fitted_tools(families, people, dataset=dataset, split=split, seed=seed)
    for number, (name, sources) in enumerate(people.items()):
        for variant, source in enumerate(sources):
            donor = donors.get(name, "")
            pair = Pair(
                dataset=dataset, split=split, licence=licence, identity=name, donor=donor,
                stem=f"{safe_name(name)}/{variant}",
                target=source,
                lender=people[donor][variant] if donor else None,
                tools=tools,
                plan=Plan.draw(seed_of(seed, dataset, name, variant)),
                moving=seed_of(seed, dataset, name, variant, "motion") < motion * 2**56,
            )  # fmt: skip
            yield pair.clip()
            for family in families:
                yield pair.clip(family=family)
            if controls and split != "train" and variant == 0:
                for at, degradation in enumerate(DEGRADATIONS):
                    yield pair.clip(degradation=degradation.name)
                    if families:
                        family = families[(number + at) % len(families)]
                        yield pair.clip(family=family, degradation=degradation.name)
