"""The built-in datasets: drawn faces, and any folder of photos, with forgeries of both.

In go options, out come clips of one picture each. For every identity and variant there are a real
clip and one fake of each family that `gendkit.data.splits` renders for the identity's split, all
made under one `Plan`. Media are rendered when a clip is read, from seeds alone.
"""

from __future__ import annotations

import hashlib
import logging
import numbers
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gendkit.builtin.renderings import Drawing, Pair, Photo, Source
from gendkit.data.controls import DEGRADATIONS
from gendkit.data.examine import rounded_points
from gendkit.data.forge import (
    Plan,
    Subject,
    describe,
    family_named,
    fit_upsampler,
    match_donors,
)
from gendkit.data.forge.geometry import Floats, eye_distance
from gendkit.data.splits import SPLITS, Split, rendered_families, split_of_identity
from gendkit.errors import (
    InvalidImage,
    InvalidOption,
    MissingMedia,
    UnknownPart,
    UnreadableMedia,
)
from gendkit.plugin.protocols import Clip

if TYPE_CHECKING:
    from gendkit.plugin.protocols import Face

log = logging.getLogger(__name__)

MIN_SIDE = 40.0
"""Least distance of the eyes, in pixels, of a photo that is used: its crop has 160 a side."""
SIDES = (128, 4096)
"""Least and largest side, in pixels, of a drawn picture."""
FITTED_ON = 16
"""How many people of a split the upsampler of its fakes is fitted on."""


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
    ) -> None:
        self._identities = _whole("identities", identities, least=1)
        self._clips = _whole("clips", clips, least=1)
        self._size = _whole("size", size, least=SIDES[0], most=SIDES[1])
        self._seed = _whole("seed", seed, least=0)
        self._controls = _yes_or_no("controls", controls)
        self._splits = _checked_splits(splits)

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
                licence=self.licence, descriptions=None,
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
    controls, splits
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
    ) -> None:
        self._variants = _whole("variants", variants, least=1)
        self._seed = _whole("seed", seed, least=0)
        self._controls = _yes_or_no("controls", controls)
        self._splits = _checked_splits(splits)
        self._paths = _pictures(root)

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
            )  # fmt: skip

    @cached_property
    def _examined(
        self,
    ) -> tuple[dict[str, tuple[Photo, Floats]], dict[str, str]]:
        """Find the face of every photo of the wanted splits, once."""
        from gendkit.data.extractors import build_extractor
        from gendkit.data.faces import largest_face
        from gendkit.data.media import read_image

        detect = build_extractor("centerface")
        found, excluded = {}, {}
        for path in self._paths:
            if split_of_identity(self.name, path.stem) not in self._splits:
                continue
            try:
                image = read_image(path)
                face = None if path.stem in found else largest_face(detect(image))
                reason = _why_not(face, again=path.stem in found)
                if face is not None and not reason:
                    subject = Subject(image=image, landmarks=face.landmarks)
                    found[path.stem] = (_photo(path, face), describe(subject))
            except (UnreadableMedia, InvalidImage) as error:
                reason = str(error)
            if reason:
                excluded[path.name] = reason
                log.warning("photos: %s is left out: %s", path.name, reason)
        return found, excluded


def _clips_of(
    people: Mapping[str, Sequence[Source]],
    *,
    dataset: str,
    split: Split,
    seed: int,
    controls: bool,
    licence: str,
    descriptions: Mapping[str, Floats] | None,
) -> Iterator[Clip]:
    """Yield the clips of the people of one split; donors and fitted parts come from among them."""
    if not people:
        return
    families = rendered_families(split)
    if descriptions is None:
        descriptions = {name: describe(sources[0]()) for name, sources in people.items()}
    donors = match_donors(descriptions)
    if not donors:
        lone = [f for f in families if family_named(f).needs_donor]
        families = tuple(f for f in families if f not in lone)
        log.warning("%s: %s has one person, so no donor for %s", dataset, split, ", ".join(lone))
    upsampler = None
    if any(family_named(f).needs_upsampler for f in families):
        pictures = (sources[0]().image for sources in list(people.values())[:FITTED_ON])
        upsampler = fit_upsampler(pictures, seed=seed)

    for number, (name, sources) in enumerate(people.items()):
        for variant, source in enumerate(sources):
            donor = donors.get(name, "")
            pair = Pair(
                dataset=dataset, split=split, licence=licence, identity=name, donor=donor,
                stem=f"{_safe(name)}/{variant}",
                target=source,
                lender=people[donor][variant] if donor else None,
                upsampler=upsampler,
                plan=Plan.draw(_seed(seed, dataset, name, variant)),
            )  # fmt: skip
            yield pair.clip()
            for family in families:
                yield pair.clip(family=family)
            if controls and split != "train" and variant == 0:
                for at, degradation in enumerate(DEGRADATIONS):
                    family = families[(number + at) % len(families)]
                    yield pair.clip(degradation=degradation.name)
                    yield pair.clip(family=family, degradation=degradation.name)


def _photo(path: Path, face: Face) -> Photo:
    return Photo(path=path, landmarks=rounded_points(face.landmarks))


def _why_not(face: Face | None, *, again: bool) -> str:
    if again:
        return "there is already a photo of that name"
    if face is None:
        return "no face was found"
    if (distance := eye_distance(face.landmarks)) < MIN_SIDE:
        return f"the eyes are {distance:.0f} px apart, {MIN_SIDE:.0f} are needed"
    return ""


def _pictures(root: str | Path) -> list[Path]:
    from gendkit.data.media import is_image

    root = Path(root)
    sought = "photos of one face each, such as a-name.jpg, directly in the folder"
    if not root.is_dir():
        raise MissingMedia(f"{root} is no folder; `photos` looks for {sought}.")
    paths = sorted(p for p in root.iterdir() if p.is_file() and is_image(p))
    if not paths:
        raise MissingMedia(f"no photo in {root}; `photos` looks for {sought}.")
    return paths


def _checked_splits(splits: str | Iterable[Split]) -> tuple[Split, ...]:
    there = f"there is {', '.join(SPLITS)}"
    if isinstance(splits, str):
        wanted: list[Any] = [name.strip() for name in splits.split(",") if name.strip()]
    elif isinstance(splits, Iterable):
        wanted = list(splits)
    else:
        raise InvalidOption(f"splits must be a name or a list of names, got {splits!r}; {there}.")
    if not wanted:
        raise InvalidOption(f"splits names none; {there}.")
    if unknown := [s for s in wanted if s not in SPLITS]:
        raise UnknownPart(f"no split is named {unknown[0]!r}; {there}.")
    return tuple(s for s in SPLITS if s in wanted)


def _whole(name: str, value: Any, *, least: int, most: int | None = None) -> int:
    number = isinstance(value, numbers.Integral) and not isinstance(value, bool)
    if number and least <= value and (most is None or value <= most):
        return int(value)
    bounds = f"of {least} or more" if most is None else f"from {least} to {most}"
    raise InvalidOption(f"{name} must be a whole number {bounds}, got {value!r}.")


def _yes_or_no(name: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise InvalidOption(f"{name} must be true or false, got {value!r}.")
    return value


def _seed(*parts: object) -> int:
    text = "/".join(str(part) for part in parts)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:7], "big")


def _safe(name: str) -> str:
    """Return a name in the characters of a clip's id; one that had to be changed gets a digest."""
    safe = re.sub(r"[^A-Za-z0-9_.-]", "_", name)
    if safe == name and safe.strip("."):
        return name
    return f"{safe}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"
