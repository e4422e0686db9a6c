"""Every rule about face extractors can be broken, and the built-in one keeps them all."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gendkit.errors import MissingAsset, MissingDependency
from gendkit.plugin import Face, FaceExtractorSpec
from gendkit.plugin.manager import HERE, plugins
from gendkit.plugin.parts import Part, Source
from gendkit.testing import face_extractor_rules as rules
from gendkit.testing.face_extractor_rules import RULES, FaceExtractorUnderCheck
from gendkit.testing.portraits import portraits
from gendkit.testing.rules import Given

from .trying import RuleFunction, broken, rule_functions, tried

THRESHOLD = 0.5


class Finder:
    """Knows the eight portraits by a piece of the row in which the nose is."""

    def __init__(self, threshold: float = THRESHOLD) -> None:
        self.threshold = threshold

    def __call__(self, image: Any) -> list[Face]:
        return self.sorted([face for face in self.faces(image) if self.sure(face)])

    def faces(self, image: Any) -> Iterator[Face]:
        pixels = image.tobytes()
        for number, drawn in enumerate(portraits()):
            x, y = drawn.landmarks[2].astype(int)
            place = pixels.find(drawn.image[y, x - 24 : x].tobytes())
            if place >= 0:
                top, left = divmod(place // 3, image.shape[1])
                yield self.face(number, drawn.landmarks + np.array([left - x + 24, top - y]), image)

    def face(self, number: int, points: Any, image: Any) -> Face:
        points = self.inside(self.placed(points), image)
        eyes = np.linalg.norm(points[0] - points[1])
        corners = np.array([points.min(axis=0) - eyes / 2, points.max(axis=0) + eyes / 2])
        left, top, right, bottom = (float(v) for v in self.inside(corners, image).ravel())
        return Face(
            box=(left, top, right, bottom),
            landmarks=points.astype(np.float32),
            confidence=self.confidence(number),
        )

    def sure(self, face: Face) -> bool:
        return face.confidence >= self.threshold

    def sorted(self, faces: list[Face]) -> list[Face]:
        return sorted(faces, key=lambda face: -face.confidence)

    def placed(self, points: Any) -> Any:
        return points

    def inside(self, points: Any, image: Any) -> Any:
        return np.clip(points, 0, (image.shape[1] - 1, image.shape[0] - 1))

    def confidence(self, number: int) -> float:
        return 0.6 + 0.04 * number


class FindsFive(Finder):
    def faces(self, image: Any) -> Iterator[Face]:
        known = [0.6 + 0.04 * number for number in range(5)]
        return (face for face in super().faces(image) if face.confidence in known)


class SeesFacesInNothing(Finder):
    def faces(self, image: Any) -> Iterator[Face]:
        if min(image.shape[:2]) > 100 and image.min() == image.max():
            yield self.face(0, portraits()[0].landmarks, image)
        yield from super().faces(image)


class InFloat64(Finder):
    def face(self, number: int, points: Any, image: Any) -> Face:
        face = super().face(number, points, image)
        return replace(face, landmarks=face.landmarks.astype(np.float64))  # type: ignore[arg-type]


class LeavesTheFrame(Finder):
    def inside(self, points: Any, image: Any) -> Any:
        return points


class SwapsTheEyes(Finder):
    def placed(self, points: Any) -> Any:
        return points[[1, 0, 2, 3, 4]]


class LooksTooLow(Finder):
    def placed(self, points: Any) -> Any:
        return points + np.array([0, 0.6 * np.linalg.norm(points[0] - points[1])])


class FindsOne(Finder):
    def __call__(self, image: Any) -> list[Face]:
        return super().__call__(image)[:1]


class LeftToRight(Finder):
    def sorted(self, faces: list[Face]) -> list[Face]:
        return sorted(faces, key=lambda face: face.box)


class TooSure(Finder):
    def confidence(self, number: int) -> float:
        return super().confidence(number) + 0.3 * (number == 7)


class OfItsOwnMind(Finder):
    def sure(self, face: Face) -> bool:
        return face.confidence >= THRESHOLD


class Scribbles(Finder):
    def __call__(self, image: Any) -> list[Face]:
        faces = super().__call__(image)
        if image.flags.writeable:
            image[0, 0] ^= 1
        return faces


class NeedsToWrite(Finder):
    def __call__(self, image: Any) -> list[Face]:
        if not image.flags.writeable:
            raise ValueError("assignment destination is read-only")
        return super().__call__(image)


class FearsPixels(Finder):
    def __call__(self, image: Any) -> list[Face]:
        if min(image.shape[:2]) < 4:
            raise ZeroDivisionError("division by zero")
        return super().__call__(image)


class Learns(Finder):
    """Is surer of what it has seen before; not in threads, which other rules are about."""

    def __init__(self, threshold: float = THRESHOLD) -> None:
        super().__init__(threshold)
        self.seen: set[bytes] = set()

    def __call__(self, image: Any) -> list[Face]:
        faces, pixels = super().__call__(image), image.tobytes()
        again = pixels in self.seen and threading.current_thread() is threading.main_thread()
        self.seen.add(pixels)
        return [replace(f, confidence=f.confidence + 1e-9) for f in faces] if again else faces


class KeepsTheFrame(Finder):
    """Keeps the frame in itself while others call it."""

    def __init__(self, threshold: float = THRESHOLD) -> None:
        super().__init__(threshold)
        self.both = threading.Barrier(2, timeout=0.2)

    def __call__(self, image: Any) -> list[Face]:
        self.frame = image
        if threading.current_thread() is not threading.main_thread():
            with suppress(threading.BrokenBarrierError):
                self.both.wait()
        return super().__call__(self.frame)


class KeepsTheMiddle(Finder):
    """Looks for no face, and cuts off the border all the same."""

    detects = False

    def faces(self, image: Any) -> Iterator[Face]:
        height, width = image.shape[:2]
        if min(height, width) > 8:
            middle = np.array([width, height]) / 2
            points = middle + (portraits()[0].landmarks - portraits()[0].landmarks.mean(0)) / 999
            face = self.face(0, points, image)
            yield replace(face, box=(1.0, 1.0, width - 2.0, height - 2.0))


def checked(build: Callable[..., Any], **changes: Any) -> FaceExtractorUnderCheck:
    spec = FaceExtractorSpec(
        name="finder", summary="knows eight faces", licence="MIT",
        **{"threshold": THRESHOLD, "build": build, **changes},
    )  # fmt: skip
    source = Source(plugin="finder", distribution=HERE, version="")
    part = Part(kind="face-extractor", spec=spec, source=source)
    return FaceExtractorUnderCheck(part, plugins(), Given())


def made(kind: type[Finder], **changes: Any) -> FaceExtractorUnderCheck:
    def build(*, threshold: float | None = None) -> Finder:
        return kind() if threshold is None else kind(threshold)

    return checked(build, **changes)


def of_one_mind() -> FaceExtractorUnderCheck:
    """Each build gives the same one."""
    shared = KeepsTheFrame()

    def build(*, threshold: float | None = None) -> Finder:
        return shared if threshold is None else Finder(threshold)

    return checked(build)


WRONG: Mapping[RuleFunction, tuple[Callable[[], FaceExtractorUnderCheck], str]] = {
    rules.gives_the_whole_frame_if_it_looks_for_no_face: (
        lambda: made(KeepsTheMiddle, detects=False), "1.0, 1.0, 254.0, 254.0)]; expected 0, 0, both"
    ),
    rules.finds_drawn_faces: (lambda: made(FindsFive), "a face in 5 of 8 portraits; at least 6"),
    rules.finds_nothing_on_an_empty_frame: (
        lambda: made(SeesFacesInNothing), "on a black frame it gave 1 faces; expected an empty list"
    ),
    rules.gives_faces_as_declared: (
        lambda: made(InFloat64), "landmarks are float64 of shape (5, 2); expected finite float32"
    ),
    rules.keeps_faces_inside_the_frame: (lambda: made(LeavesTheFrame), "clip them to 0"),
    rules.puts_landmarks_in_order: (lambda: made(SwapsTheEyes), "the left eye comes first"),
    rules.puts_landmarks_where_they_are: (lambda: made(LooksTooLow), "is 0.60 distances"),
    rules.finds_two_faces: (lambda: made(FindsOne), "of two faces side by side"),
    rules.puts_the_most_confident_first: (lambda: made(LeftToRight), "[0.6, 0.72]; the highest"),
    rules.is_as_confident_as_its_threshold: (
        lambda: made(TooSure), "has the confidence 1.180; expected 0.5 to 1"
    ),
    rules.has_its_declared_threshold: (
        lambda: made(Finder, threshold=0.4), "its threshold is 0.5; the spec declares 0.4"
    ),
    rules.keeps_the_threshold_that_is_asked_for: (
        lambda: made(OfItsOwnMind), "built with threshold=0.740, it gave a face of 0.600"
    ),
    rules.leaves_the_frame: (lambda: made(Scribbles), "it wrote to the frame"),
    rules.bears_any_size: (
        lambda: made(FearsPixels), "on a frame of 1 x 1 px it failed with ZeroDivisionError"
    ),
    rules.answers_the_same_twice: (lambda: made(Learns), "a second call gave other boxes"),
    rules.may_be_shared_by_threads_if_it_says_so: (
        lambda: made(KeepsTheFrame, thread_safe=True), "beside other threads it gave other boxes"
    ),
    rules.may_be_built_by_several_threads: (of_one_mind, "beside other threads it gave other"),
}  # fmt: skip


@pytest.mark.parametrize("rule", WRONG, ids=lambda rule: rule.__name__)
def test_each_wrong_one_breaks_its_rule_alone(rule: RuleFunction) -> None:
    make, words = WRONG[rule]
    found = broken(tried("face-extractor", make()))
    assert set(found) == {rule.__name__}, found
    assert words in found[rule.__name__]


def test_a_right_one_keeps_every_rule() -> None:
    found = tried("face-extractor", made(Finder, thread_safe=True))
    assert left_out(found) == {"gives_the_whole_frame_if_it_looks_for_no_face"}
    assert {o.verdict for o in found.values()} == {"kept", "left out"}, broken(found)


def left_out(found: Mapping[str, Any]) -> set[str]:
    return {name for name, outcome in found.items() if outcome.verdict == "left out"}


def test_one_that_looks_for_no_face_is_spared_what_is_about_finding_and_it_is_told() -> None:
    part = plugins().part("face-extractor", "whole-frame")
    found = tried("face-extractor", FaceExtractorUnderCheck(part, plugins(), Given()))
    assert broken(found) == {}
    assert left_out(found) == {
        "finds_drawn_faces",
        "finds_nothing_on_an_empty_frame",
        "puts_landmarks_in_order",
        "puts_landmarks_where_they_are",
        "finds_two_faces",
        "keeps_the_threshold_that_is_asked_for",
    }
    assert {found[name].reason for name in left_out(found)} == {
        "it says that it looks for no face: each picture counts as one, whole."
    }


def test_one_that_needs_a_frame_of_its_own_breaks_the_rule_about_frames() -> None:
    found = broken(tried("face-extractor", made(NeedsToWrite)))
    assert found == {"leaves_the_frame": "ValueError: assignment destination is read-only"}


def test_one_that_does_not_say_that_it_is_thread_safe_is_left_out() -> None:
    outcome = tried("face-extractor", made(Finder))["may_be_shared_by_threads_if_it_says_so"]
    assert (outcome.verdict, outcome.reason[:15]) == ("left out", "it does not say")


@pytest.mark.parametrize("error", [MissingAsset("fetch it"), MissingDependency("install it")])
def test_without_its_weights_nothing_is_kept_and_nothing_broken(error: Exception) -> None:
    asked = []

    def build(**_: object) -> Any:
        asked.append(1)
        raise error

    found = tried("face-extractor", checked(build, thread_safe=True))
    assert {o.verdict for o in found.values()} == {"left out"}
    assert {o.reason for o in found.values()} == {f"it cannot be tried here: {error}"}
    assert len(asked) == 1, "what takes long to fail is asked once"


def test_one_that_cannot_be_built_is_broken() -> None:
    found = tried("face-extractor", checked(lambda **_: 17))
    assert "was built as int; expected a function" in found["finds_drawn_faces"].reason
    assert {o.verdict for o in found.values()} <= {"broken", "left out"}


def test_every_rule_is_listed_and_has_a_wrong_one() -> None:
    assert set(RULES) == rule_functions("face-extractor")
    assert set(WRONG) == set(RULES)
    assert len(RULES) == len(set(RULES))


@pytest.mark.slow
def test_the_built_in_one_keeps_every_rule(asset: Callable[[str], Path]) -> None:
    asset("centerface")
    part = plugins().part("face-extractor", "centerface")
    found = tried("face-extractor", FaceExtractorUnderCheck(part, plugins(), Given()))
    assert broken(found) == {}
    assert left_out(found) == {"gives_the_whole_frame_if_it_looks_for_no_face"}
