"""Every rule about datasets can be broken, and the built-in ones keep them all."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from gendkit.errors import InvalidOption, MissingAsset, MissingDependency, MissingMedia
from gendkit.plugin import Clip, DatasetSpec, Frame
from gendkit.plugin.manager import HERE, plugins
from gendkit.plugin.parts import Part, Source
from gendkit.testing import dataset_rules as rules
from gendkit.testing.dataset_rules import RULES, DatasetUnderCheck
from gendkit.testing.rules import Given

from .trying import RuleFunction, broken, rule_functions, tried

HOME = "https://example.org/access"
POINTS = ((22, 29), (42, 29), (32, 41), (24, 52), (40, 52))
PEOPLE = {"ann": "train", "bob": "train", "eve": "development", "fay": "final"}


@dataclass
class Noise:
    """Renders two frames of noise with landmarks."""

    seed: int
    points: Any = POINTS
    grey: bool = False
    moody: bool = False
    looks: int = 0

    def __call__(self) -> Iterable[Frame]:
        self.looks += 1
        rng = np.random.default_rng(self.seed + (self.moody and self.looks == 2))
        for index in range(2):
            image = rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)
            points = None if self.points is None else np.array(self.points, np.float32)
            yield Frame(index=index, image=image[..., 0] if self.grey else image, landmarks=points)


def noisy_clips() -> list[Clip]:
    """A real clip and a fake one of each of four people."""
    return [
        Clip(
            video=f"{person}/{'fake' if label else 'real'}",
            media=Noise(2 * number + label),
            dataset="noise",
            label=label,
            method="grid" if label else "",
            family="grid" if label else "",
            pair=f"{person}/real",
            target_identity=person,
            split=split,
            licence="CC0-1.0",
        )
        for number, (person, split) in enumerate(PEOPLE.items())
        for label in (0, 1)
    ]


class Listed:
    """Gives clips of a list."""

    def __init__(self, clips: list[Clip]) -> None:
        self._clips = clips

    def clips(self) -> Iterable[Clip]:
        return iter(self._clips)


class Moody:
    """Gives its clips in another order the second time."""

    def __init__(self) -> None:
        self.times = 0

    def clips(self) -> Iterable[Clip]:
        self.times += 1
        return noisy_clips()[:: 1 if self.times == 1 else -1]


class Pictures:
    """Reads a folder of pictures, of which nothing is known."""

    def __init__(self, root: Path | None, **errors: str) -> None:
        where = {"missing": f"no folder {root}; access: {HOME}", "empty": "", **errors}
        if root is None:
            raise MissingMedia("pictures needs a folder; write pictures:FOLDER.")
        if not root.is_dir():
            raise MissingMedia(where["missing"])
        self.paths = sorted(root.glob("*.png"))
        if not self.paths:
            raise MissingMedia(where["empty"] or f"no *.png in {root}; access: {HOME}")

    def clips(self) -> Iterable[Clip]:
        for path in self.paths:
            yield Clip(video=path.name, media=path, dataset="pictures", label=-1, licence="MIT")


def checked(build: Callable[..., Any], *, root: Path | None = None) -> DatasetUnderCheck:
    spec = DatasetSpec(name="it", summary="for tests", licence="MIT", homepage=HOME, build=build)
    part = Part(
        kind="dataset", spec=spec, source=Source(plugin="it", distribution=HERE, version="")
    )
    return DatasetUnderCheck(part, plugins(), Given(root=root))


def of_clips(make: Callable[[], list[Clip]] | Callable[[], Any]) -> DatasetUnderCheck:
    """A dataset that takes no folder and no options."""

    def build(root: Path | None) -> Any:
        if root is not None:
            raise InvalidOption("it takes no folder.")
        made = make()
        return Listed(made) if isinstance(made, list) else made

    return checked(build)


def with_clip(number: int, **changes: Any) -> DatasetUnderCheck:
    """One of whose clips one says something else."""

    def make() -> list[Clip]:
        clips = noisy_clips()
        clips[number] = replace(clips[number], **changes)
        return clips

    return of_clips(make)


def pictures(root: Path | None) -> Pictures:
    return Pictures(root)


def folder_of(root: Path, build: Callable[..., Any] = pictures) -> DatasetUnderCheck:
    for number in range(3):
        pixels = np.full((20, 30, 3), 40 * number, np.uint8)
        Image.fromarray(pixels).save(root / f"{number}.png")
    return checked(build, root=root)


def _crashing(root: Path | None) -> Any:
    if root is not None and not root.is_dir():
        raise FileNotFoundError(f"[Errno 2] No such file or directory: '{root}'")
    return Pictures(root)


def _silent(root: Path | None) -> Any:
    return Pictures(root, empty=f"no *.png in {root}.")


def _needing(root: Path | None) -> Any:
    return Pictures(Path(root))  # type: ignore[arg-type]


def _deaf(root: Path | None, **_: Any) -> Any:
    return Pictures(root)


Maker = Callable[[Path], DatasetUnderCheck]
WRONG: Mapping[RuleFunction, tuple[Maker, str]] = {
    rules.gives_clips: (lambda _: of_clips(list), "it gives no clip"),
    rules.names_each_clip_once: (
        lambda _: with_clip(7, video="fay/real"), "two clips of 'noise' have the id 'fay/real'"
    ),
    rules.says_what_real_and_fake_are: (
        lambda _: with_clip(7, method=""), "clip 'fay/fake' is fake and names no method"
    ),
    rules.knows_its_splits: (
        lambda _: of_clips(lambda: [replace(c, split=c.split.replace("final", "test"))
                                    for c in noisy_clips()]),
        "is of the split 'test'; expected one of train, development, final, or nothing",
    ),
    rules.states_the_licence_of_each_clip: (
        lambda _: with_clip(7, licence=""), "the licence of clip 'fay/fake' is ''"
    ),
    rules.lets_no_split_leak: (
        lambda _: with_clip(7, donor_identity="ann"), "are linked by a target or donor"
    ),
    rules.gives_the_same_clips_twice: (
        lambda _: of_clips(Moody), "it gives 'fay/fake' instead of 'ann/real' as clip 0"
    ),
    rules.has_media_to_be_looked_at: (
        lambda _: with_clip(0, media=Noise(0, points=None, grey=True)),
        "a frame of clip 'ann/real' is uint8 (64, 64); expected RGB uint8 (H, W, 3)",
    ),
    rules.renders_the_same_frames_twice: (
        lambda _: with_clip(0, media=Noise(0, moody=True)), "'ann/real' gave other frames"
    ),
    rules.goes_to_a_worker: (
        lambda _: with_clip(0, media=lambda: Noise(0)()), "pickle"
    ),
    rules.makes_a_manifest: (
        lambda _: with_clip(0, media=Noise(0, points=POINTS[:1] * 5)), "gave no crop: "
    ),
    rules.bears_no_folder: (
        lambda root: folder_of(root, _needing), "without a folder it raised TypeError"
    ),
    rules.says_what_a_missing_folder_lacks: (
        lambda root: folder_of(root, _crashing),
        "for a folder that is not there it raised FileNotFoundError",
    ),
    rules.says_what_an_empty_folder_lacks: (
        lambda root: folder_of(root, _silent), f"does not say where access is given, {HOME}: no *"
    ),
    rules.refuses_an_unknown_option: (
        lambda root: folder_of(root, _deaf), "it took the option 'no_such_option' without a word"
    ),
}  # fmt: skip


@pytest.mark.parametrize("rule", WRONG, ids=lambda rule: rule.__name__)
def test_each_wrong_one_breaks_its_rule_alone(rule: RuleFunction, tmp_path: Path) -> None:
    make, words = WRONG[rule]
    found = broken(tried("dataset", make(tmp_path)))
    assert set(found) == {rule.__name__}, found
    assert words in found[rule.__name__]


@pytest.mark.parametrize(
    ("changes", "rule", "words"),
    [
        ({"label": 2}, "says_what_real_and_fake_are", "has the label 2; expected 0 real, 1 fake"),
        ({"method": "grid"}, "says_what_real_and_fake_are", "is real and has the method 'grid'"),
        ({"video": "a b"}, "names_each_clip_once", "'a b' cannot name a file"),
        ({"media": "a.mp4"}, "has_media_to_be_looked_at", "are a str; expected a Path"),
        ({"media": Path("gone.mp4")}, "has_media_to_be_looked_at", "MissingMedia: gone.mp4 is no"),
        ({"media": Noise(0, points=POINTS[:4])}, "has_media_to_be_looked_at", "are float32 (4, 2)"),
        ({"media": list}, "has_media_to_be_looked_at", "of clip 'ann/real' hold no frame"),
        ({"year": "long ago"}, "makes_a_manifest", "column year"),
    ],
)
def test_other_wrong_clips_are_told_too(changes: dict[str, Any], rule: str, words: str) -> None:
    made = {"video": "ann/real", **changes}
    assert words in broken(tried("dataset", with_clip(0, **made)))[rule]


def test_a_right_one_that_is_generated_keeps_every_rule() -> None:
    found = tried("dataset", of_clips(noisy_clips))
    assert {o.verdict for o in found.values()} == {"kept"}, broken(found)


def test_a_right_one_of_files_keeps_every_rule_but_those_about_what_it_has_not(
    tmp_path: Path,
) -> None:
    found = tried("dataset", folder_of(tmp_path))
    left_out = {name for name, o in found.items() if o.verdict == "left out"}
    assert not broken(found)
    assert left_out == {"renders_the_same_frames_twice", "lets_no_split_leak"}


def test_of_one_without_clips_nothing_is_said_about_clips() -> None:
    found = tried("dataset", of_clips(list))
    reasons = {o.reason for o in found.values() if o.verdict == "left out"}
    assert reasons == {"it gives no clip."}
    assert {name for name, o in found.items() if o.verdict == "kept"} == {
        "bears_no_folder", "says_what_a_missing_folder_lacks", "says_what_an_empty_folder_lacks",
        "refuses_an_unknown_option",
    }  # fmt: skip


def test_one_that_needs_a_folder_says_how_to_give_it() -> None:
    found = tried("dataset", checked(pictures))
    assert not broken(found)
    kept = {name for name, o in found.items() if o.verdict == "kept"}
    assert kept == {
        *("bears_no_folder", "says_what_a_missing_folder_lacks"),
        "says_what_an_empty_folder_lacks",
    }
    reason = "it reads a folder; give one: gendkit plugins check it:FOLDER"
    assert {o.reason for o in found.values() if o.verdict == "left out"} == {reason}


@pytest.mark.parametrize("lazy", [True, False])
def test_without_a_package_nothing_is_kept_but_what_was_seen_and_nothing_broken(lazy: bool) -> None:
    class Lacking:
        def clips(self) -> Iterable[Clip]:
            raise MissingAsset("fetch it")

    def build(root: Path | None) -> Any:
        if root is not None:
            raise InvalidOption("it takes no folder.")
        if lazy:
            return Lacking()
        raise MissingDependency("install it")

    found = tried("dataset", checked(build))
    assert not broken(found)
    assert {o.reason for o in found.values() if o.verdict == "left out"} == {
        f"it cannot be tried here: {'fetch it' if lazy else 'install it'}"
    }
    assert found["gives_clips"].verdict == "left out"


def test_one_that_takes_no_folder_has_to_say_so() -> None:
    found = broken(tried("dataset", checked(lambda root: Listed(noisy_clips()))))
    assert set(found) == {"says_what_a_missing_folder_lacks", "says_what_an_empty_folder_lacks"}
    assert "it took an empty folder without a word" in found["says_what_an_empty_folder_lacks"]


def test_every_rule_is_listed_and_has_a_wrong_one() -> None:
    assert set(RULES) == rule_functions("dataset")
    assert set(WRONG) == set(RULES)
    assert len(RULES) == len(set(RULES))


@pytest.mark.slow
def test_drawn_faces_keep_every_rule() -> None:
    given = Given(options={"identities": 20, "clips": 1})
    part = plugins().part("dataset", "synthetic")
    found = tried("dataset", DatasetUnderCheck(part, plugins(), given))
    assert {o.verdict for o in found.values()} == {"kept"}, broken(found)


@pytest.mark.slow
def test_photos_keep_every_rule(tmp_path: Path, asset: Callable[[str], Path]) -> None:
    from gendkit.data.drawn import draw_face

    asset("centerface")
    for person in range(12):
        face = draw_face(identity=person, clip=0, size=256)
        Image.fromarray(face.image).save(tmp_path / f"person-{person}.png")
    part = plugins().part("dataset", "photos")
    found = tried("dataset", DatasetUnderCheck(part, plugins(), Given(root=tmp_path)))
    assert {o.verdict for o in found.values()} == {"kept"}, broken(found)
