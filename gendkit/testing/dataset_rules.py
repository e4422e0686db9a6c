"""Rules about datasets: what clips say fits together, always in one order, and media can be had.

All clips are looked at; of media, only those of a few real and a few fake clips, of each the first
frames. A dataset that reads a folder has to be given one: `gendkit plugins check NAME:FOLDER`.
"""

from __future__ import annotations

import pickle
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gendkit.data.clips import check_ids
from gendkit.data.columns import SPLITS
from gendkit.data.datasets import build_dataset
from gendkit.data.extract import extract
from gendkit.data.manifest import Manifest
from gendkit.errors import (
    CorruptAsset,
    InvalidManifest,
    InvalidOption,
    MissingAsset,
    MissingDependency,
    MissingMedia,
)
from gendkit.plugin.manager import Plugins
from gendkit.plugin.parts import HERE, Part
from gendkit.plugin.protocols import Clip, Dataset, Frame
from gendkit.plugin.specs import DatasetSpec
from gendkit.testing.clips import facts, frames, manifest_of, seen
from gendkit.testing.fresh import in_fresh_process
from gendkit.testing.plugin_rules import UNSTATED
from gendkit.testing.rules import Given, LeftOut, RuleBroken, cannot_be_tried, demand

if TYPE_CHECKING:
    import pandas as pd

EACH = 2
"""Of how many real clips, and of how many fake ones, media are looked at."""
STRANGE = "no_such_option"

_WORKER = """
import json, pickle, sys
from pathlib import Path
from gendkit.testing.clips import seen
clips = pickle.loads(Path(sys.argv[1]).read_bytes())
print(json.dumps([seen(clip) for clip in clips]))
"""


class DatasetUnderCheck:
    """A dataset, listed once.

    Parameters
    ----------
    part
        The dataset.
    found
        Not needed: a dataset is built from its own spec.
    given
        The folder that it reads, and options of its `build`.
    """

    def __init__(self, part: Part, found: Plugins, given: Given) -> None:
        assert isinstance(part.spec, DatasetSpec)
        self.part, self.spec, self.given = part, part.spec, given

    def built(self) -> Dataset:
        """Open it anew.

        Raises
        ------
        LeftOut
            If it reads a folder and none is given.
        InvalidOption
            If it does not have an option that is given.
        """
        if self.given.options and isinstance(self.without_folder, InvalidOption):
            raise self.without_folder
        if self.given.root is None and self.without_folder is not None:
            raise LeftOut(
                f"it reads a folder; give one: gendkit plugins check {self.spec.name}:FOLDER"
            )
        return self.opened(self.given.root)

    def opened(self, root: Path | None, **options: Any) -> Dataset:
        """Open it with another folder, or with other options besides those given.

        Raises
        ------
        LeftOut
            If packages or weights that it needs are not to be had here.
        """
        with self._all_there():
            return build_dataset(self.spec, root, **{**self.given.options, **options})

    @cached_property
    def without_folder(self) -> Exception | None:
        """What it raises if it is opened without a folder; None if it opens."""
        try:
            self.opened(None)
        except (LeftOut, RuleBroken):
            raise
        except Exception as error:  # code of a plugin
            return error
        return None

    @cached_property
    def dataset(self) -> Dataset:
        """One that is shared by the rules."""
        return self.built()

    @cached_property
    def listed(self) -> list[Clip]:
        """All that it gives."""
        with self._all_there():
            return list(self.dataset.clips())

    @property
    def clips(self) -> list[Clip]:
        """All of its clips; if there are none, which another rule says, `LeftOut`."""
        if not self.listed:
            raise LeftOut("it gives no clip.")
        return self.listed

    @cached_property
    def table(self) -> pd.DataFrame:
        """One row a clip, as in a manifest without crops."""
        return manifest_of(self.clips).table

    @contextmanager
    def _all_there(self) -> Iterator[None]:
        try:
            yield
        except (MissingAsset, CorruptAsset, MissingDependency) as error:
            raise cannot_be_tried(error, self.part.source) from None

    @property
    def few(self) -> list[Clip]:
        """The clips whose media are looked at: the first of each label."""
        return [
            clip
            for label in (0, 1, -1)
            for clip in islice((c for c in self.clips if c.label == label), EACH)
        ]


def gives_clips(dataset: DatasetUnderCheck) -> None:
    """It gives at least one clip, and nothing else."""
    demand(dataset.listed, "it gives no clip; check a folder that holds some.")
    for clip in dataset.listed:
        demand(isinstance(clip, Clip), f"it gives a {type(clip).__name__}; expected a Clip.")


def names_each_clip_once(dataset: DatasetUnderCheck) -> None:
    """Each clip has an id of its own that can name a file, as have its dataset and method."""
    try:
        check_ids(dataset.clips)
    except InvalidManifest as error:
        raise RuleBroken(str(error)) from None


def says_what_real_and_fake_are(dataset: DatasetUnderCheck) -> None:
    """A label is 0, 1 or -1; a fake has a method; a real clip has none, no family and no donor."""
    for clip in dataset.clips:
        who = f"clip {clip.video!r}"
        demand(
            clip.label in (-1, 0, 1),
            f"{who} has the label {clip.label!r}; expected 0 real, 1 fake or -1 unknown.",
        )
        if clip.label == 1:
            demand(clip.method, f"{who} is fake and names no method; call it unknown at least.")
        if clip.label == 0:
            made = {name: getattr(clip, name) for name in ("method", "family", "donor_identity")}
            wrong = [f"{name} {value!r}" for name, value in made.items() if value]
            demand(
                not wrong, f"{who} is real and has the {' and the '.join(wrong)}; leave it empty."
            )


def knows_its_splits(dataset: DatasetUnderCheck) -> None:
    """The split of a clip is train, development or final, or empty where there is none."""
    for clip in dataset.clips:
        demand(
            clip.split in ("", *SPLITS),
            f"clip {clip.video!r} is of the split {clip.split!r}; expected one of "
            f"{', '.join(SPLITS)}, or nothing.",
        )


def states_the_licence_of_each_clip(dataset: DatasetUnderCheck) -> None:
    """Each clip states the licence of its media."""
    for clip in dataset.clips:
        demand(
            str(clip.licence).strip().lower() not in UNSTATED,
            f"the licence of clip {clip.video!r} is {clip.licence!r}; give at least the spec's, "
            f"{dataset.spec.licence!r}.",
        )


def lets_no_split_leak(dataset: DatasetUnderCheck) -> None:
    """Clips that share a target clip, or a person seen or lending a face, are of one split."""
    splits = {clip.split for clip in dataset.clips} & set(SPLITS)
    if len(splits) < 2:
        raise LeftOut("it has no two splits.")
    try:
        Manifest(table=dataset.table, root=Path()).check_no_leak()
    except InvalidManifest as error:
        raise RuleBroken(str(error)) from None


def gives_the_same_clips_twice(dataset: DatasetUnderCheck) -> None:
    """Listed twice, and opened twice, it gives the same clips in the same order."""
    first = [_shown(clip) for clip in dataset.clips]
    for again, how in ((dataset.dataset, "listed"), (dataset.built(), "opened")):
        other = [_shown(clip) for clip in again.clips()]
        demand(
            len(other) == len(first), f"{how} again it gives {len(other)} clips, not {len(first)}."
        )
        at = next((k for k, (a, b) in enumerate(zip(first, other, strict=True)) if a != b), None)
        if at is not None:
            a, b = first[at], other[at]
            moved = f"{b['video']!r} instead of {a['video']!r}" if a["video"] != b["video"] else ""
            what = moved or f"another {', '.join(k for k in a if a[k] != b[k])} of {a['video']!r}"
            demand(False, f"{how} again it gives {what} as clip {at}; sort what it reads.")


def has_media_to_be_looked_at(dataset: DatasetUnderCheck) -> None:
    """Media are a file that can be read, or a function that gives numbered RGB uint8 frames."""
    for clip in dataset.few:
        who = f"clip {clip.video!r}"
        demand(
            isinstance(clip.media, Path) or callable(clip.media),
            f"the media of {who} are a {type(clip.media).__name__}; expected a Path or a function.",
        )
        last = -1
        for frame in frames(clip):
            demand(
                isinstance(frame, Frame),
                f"the media of {who} gave a {type(frame).__name__}; expected a Frame.",
            )
            image, points, mask = frame.image, frame.landmarks, frame.mask
            demand(
                image.dtype == np.uint8 and image.ndim == 3 and image.shape[2] == 3 and image.size,
                f"a frame of {who} is {_array(image)}; expected RGB uint8 (H, W, 3).",
            )
            demand(
                frame.index > last,
                f"a frame of {who} has the number {frame.index} after {last}; they count from 0, "
                "in order of display.",
            )
            demand(
                points is None or (points.shape == (5, 2) and bool(np.isfinite(points).all())),
                f"landmarks of {who} are {_array(points)}; expected finite (5, 2).",
            )
            demand(
                mask is None or (mask.shape == image.shape[:2] and mask.dtype == np.bool_),
                f"a mask of {who} is {_array(mask)}; expected bool {image.shape[:2]}.",
            )
            last = frame.index
        demand(last >= 0, f"the media of {who} hold no frame.")


def renders_the_same_frames_twice(dataset: DatasetUnderCheck) -> None:
    """A function that renders frames gives the same ones each time that it is called."""
    rendered = [clip for clip in dataset.few if not isinstance(clip.media, Path)]
    if not rendered:
        raise LeftOut("its media are files.")
    for clip in rendered:
        demand(
            seen(clip) == seen(clip),
            f"clip {clip.video!r} gave other frames when asked again; draw from a seed of its own.",
        )


def goes_to_a_worker(dataset: DatasetUnderCheck) -> None:
    """Pickled, and unpickled in another process, clips give the same frames."""
    few = dataset.few
    packed = pickle.dumps(few)
    if dataset.part.source.distribution == HERE:
        found = [seen(clip) for clip in pickle.loads(packed)]  # our own bytes, of this moment
    else:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "clips.pickle"
            path.write_bytes(packed)
            found = in_fresh_process(_WORKER, str(path))
    for clip, digests in zip(few, found, strict=True):
        demand(digests == seen(clip), f"clip {clip.video!r} has other frames in another process.")


def makes_a_manifest(dataset: DatasetUnderCheck) -> None:
    """A few clips make a manifest: with crops where frames bring landmarks, else a row a clip."""
    manifest = manifest_of(dataset.clips)
    few = [clip for clip in dataset.few if not isinstance(clip.media, Path)]
    few = [clip for clip in few if any(f.landmarks is not None for f in frames(clip))]
    with tempfile.TemporaryDirectory() as folder:
        manifest.write(folder)
        Manifest.read(folder)
        if few:
            made = extract(few, Path(folder) / "crops", frames=1)
            made = Manifest.read(made.root)
            wrong = [reason for reason in made.table["reason"] if reason]
            demand(not wrong, f"frames that bring landmarks gave no crop: {', '.join(wrong[:1])}")


def bears_no_folder(dataset: DatasetUnderCheck) -> None:
    """Opened without a folder, it opens, or says that it needs one and how it is given."""
    error = dataset.without_folder
    demand(
        error is None or isinstance(error, MissingMedia),
        f"without a folder it raised {type(error).__name__}: {error}; expected MissingMedia that "
        f"says what is sought, and to write {dataset.spec.name}:FOLDER.",
    )


def says_what_a_missing_folder_lacks(dataset: DatasetUnderCheck) -> None:
    """For a folder that is not there, it names the folder and, if known, where access is given."""
    with tempfile.TemporaryDirectory() as folder:
        _demand_refused(dataset, Path(folder) / "absent", "a folder that is not there")


def says_what_an_empty_folder_lacks(dataset: DatasetUnderCheck) -> None:
    """For an empty folder, it names the folder and, if known, where access is given."""
    with tempfile.TemporaryDirectory() as folder:
        _demand_refused(dataset, Path(folder), "an empty folder")


def refuses_an_unknown_option(dataset: DatasetUnderCheck) -> None:
    """An option that it does not have is refused, with the option's name."""
    dataset.built()
    try:
        dataset.opened(dataset.given.root, **{STRANGE: 1})
    except InvalidOption as error:
        demand(STRANGE in str(error), f"the error does not name {STRANGE!r}: {error}")
    except Exception as error:  # code of a plugin
        demand(False, f"for an unknown option it raised {_told(error)}; expected InvalidOption.")
    else:
        demand(False, f"it took the option {STRANGE!r} without a word; raise InvalidOption.")


RULES = (
    gives_clips,
    names_each_clip_once,
    says_what_real_and_fake_are,
    knows_its_splits,
    states_the_licence_of_each_clip,
    lets_no_split_leak,
    gives_the_same_clips_twice,
    has_media_to_be_looked_at,
    renders_the_same_frames_twice,
    goes_to_a_worker,
    makes_a_manifest,
    bears_no_folder,
    says_what_a_missing_folder_lacks,
    says_what_an_empty_folder_lacks,
    refuses_an_unknown_option,
)


def _demand_refused(dataset: DatasetUnderCheck, root: Path, what: str) -> None:
    """Demand that a folder without media is refused, when it is opened or when it is listed."""
    generated = dataset.without_folder is None
    try:
        list(dataset.opened(root).clips())
    except (LeftOut, RuleBroken):
        raise
    except MissingMedia as error:
        text, home = str(error), dataset.spec.homepage
        demand(str(root) in text, f"the error about {what} does not name it: {text}")
        demand(
            not home or home in text,
            f"the error about {what} does not say where access is given, {home}: {text}",
        )
    except Exception as error:  # code of a plugin
        if generated and isinstance(error, InvalidOption):
            return  # it takes no folder, and says so
        kind = "MissingMedia, or InvalidOption if it takes none" if generated else "MissingMedia"
        demand(False, f"for {what} it raised {_told(error)}; expected {kind}.")
    else:
        demand(False, f"it took {what} without a word; raise MissingMedia, naming what is sought.")


def _shown(clip: Clip) -> dict[str, Any]:
    media = {"media": clip.media} if isinstance(clip.media, Path) else {}
    return {**facts(clip), **media}


def _array(array: Any) -> str:
    return f"{getattr(array, 'dtype', type(array).__name__)} {getattr(array, 'shape', '')}".strip()


def _told(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"
