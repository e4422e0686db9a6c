"""Rules about face extractors: they find drawn faces, put landmarks in order, and bear any frame.

Eight portraits are drawn of eight people who do not exist, 256, 384 and 512 px wide; their
landmarks are known. A frame reaches from -0.5 to its width or height less 0.5, as a pixel's centre
has integer coordinates.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from gendkit.data.drawn import DrawnFace
from gendkit.data.extractors import build_from
from gendkit.data.faces import largest_face
from gendkit.errors import CorruptAsset, MissingAsset, MissingDependency
from gendkit.plugin.manager import Plugins
from gendkit.plugin.parts import Part
from gendkit.plugin.protocols import Face, FaceExtractor
from gendkit.plugin.specs import FaceExtractorSpec
from gendkit.testing.portraits import PEOPLE, cut_frames, large_frame, portraits
from gendkit.testing.rules import Given, LeftOut, RuleBroken, cannot_be_tried, demand

if TYPE_CHECKING:
    from gendkit.plugin.protocols import Image

LEAST = 6
"""How many of the eight portraits it has to find."""
NEAR = 0.4
"""How far a landmark may be from where it was drawn, in distances between the eyes."""
THREADS = 4

Faces = list[Face]


class FaceExtractorUnderCheck:
    """A face extractor, built once with its declared threshold, and what it makes of portraits.

    Parameters
    ----------
    part
        The face extractor.
    found
        Not needed: a face extractor is built from its own spec.
    given
        Options of its `build`.
    """

    def __init__(self, part: Part, found: Plugins, given: Given) -> None:
        assert isinstance(part.spec, FaceExtractorSpec)
        self.part, self.spec, self.given = part, part.spec, given

    def built(self, *, threshold: float | None = None) -> FaceExtractor:
        """Build it anew.

        Raises
        ------
        LeftOut
            If its weights or packages are not to be had here.
        """
        if self._lacks is not None:
            raise self._lacks
        asked = {} if threshold is None else {"threshold": threshold}
        return build_from(self.part, {**self.given.options, **asked})

    @cached_property
    def extractor(self) -> FaceExtractor:
        """One that is shared by the rules."""
        return self.built()

    @cached_property
    def portraits(self) -> list[tuple[DrawnFace, Faces]]:
        """Each portrait with the faces that are found in it."""
        return [(drawn, self.ask(drawn.image)) for drawn in portraits()]

    @property
    def faces(self) -> list[tuple[DrawnFace, Face]]:
        """The portraits in which a face is found, each with its largest one.

        Raises
        ------
        LeftOut
            If there are none, which another rule says.
        """
        largest = [(drawn, largest_face(faces)) for drawn, faces in self.portraits]
        found = [(drawn, face) for drawn, face in largest if face is not None]
        if not found:
            raise LeftOut("it finds no drawn face.")
        return found

    def ask(self, image: Image, *, extractor: FaceExtractor | None = None) -> Faces:
        """Return the faces in a copy of an image, in memory of its own."""
        return (extractor or self.extractor)(np.array(image, order="C"))

    @cached_property
    def _lacks(self) -> LeftOut | RuleBroken | None:
        """Why it cannot be built here, asked once, as it may take long; None if it can."""
        try:
            build_from(self.part, self.given.options)
        except (MissingAsset, CorruptAsset, MissingDependency) as error:
            return cannot_be_tried(error, self.part.source)
        return None


def gives_the_whole_frame_if_it_looks_for_no_face(extractor: FaceExtractorUnderCheck) -> None:
    """One that says it looks for no face gives one for each frame, whose box is the whole frame."""
    extractor.built()  # one that cannot be built says why
    if extractor.spec.detects:
        raise LeftOut("it says that it looks for faces.")
    for frame in [portraits()[0].image, *cut_frames(), np.zeros((64, 48, 3), np.uint8)]:
        height, width = frame.shape[:2]
        boxes = [tuple(face.box) for face in extractor.ask(frame)]
        demand(
            boxes == [(0, 0, width - 1, height - 1)],
            f"of a frame of {width} x {height} px it gave {boxes}; expected 0, 0, both sides - 1.",
        )


def finds_drawn_faces(extractor: FaceExtractorUnderCheck) -> None:
    """Of eight drawn portraits of 256 to 512 px, it finds a face in at least six."""
    _leave_out_unless_it_looks(extractor)
    found = sum(bool(faces) for _, faces in extractor.portraits)
    demand(
        found >= LEAST,
        f"it finds a face in {found} of {PEOPLE} portraits; at least {LEAST}. If it was trained on "
        "photos alone, a lower declared threshold may do.",
    )


def finds_nothing_on_an_empty_frame(extractor: FaceExtractorUnderCheck) -> None:
    """On a black, a grey and a white frame it gives an empty list."""
    _leave_out_unless_it_looks(extractor)
    for level, name in ((0, "black"), (128, "grey"), (255, "white")):
        faces = extractor.ask(np.full((256, 256, 3), level, np.uint8))
        demand(
            isinstance(faces, list) and not faces,
            f"on a {name} frame it gave {_said(faces)}; expected an empty list.",
        )


def gives_faces_as_declared(extractor: FaceExtractorUnderCheck) -> None:
    """It gives a list of `Face`: four numbers, five float32 landmarks (5, 2), one confidence."""
    for _, faces in extractor.portraits:
        demand(isinstance(faces, list), f"it gave {_said(faces)}; expected a list of faces.")
        for face in faces:
            demand(isinstance(face, Face), f"it gave a {type(face).__name__}; expected a Face.")
            box, points, sure = face.box, face.landmarks, face.confidence
            demand(
                isinstance(box, tuple) and len(box) == 4 and bool(np.isfinite(box).all()),
                f"a box is {box!r}; expected a tuple of four finite numbers.",
            )
            demand(
                isinstance(points, np.ndarray)
                and points.shape == (5, 2)
                and points.dtype == np.float32
                and bool(np.isfinite(points).all()),
                f"landmarks are {getattr(points, 'dtype', type(points).__name__)} of shape "
                f"{np.shape(points)}; expected finite float32 (5, 2).",
            )
            demand(isinstance(sure, float), f"a confidence is {sure!r}; expected a float.")


def keeps_faces_inside_the_frame(extractor: FaceExtractorUnderCheck) -> None:
    """Boxes and landmarks lie inside the frame, also where its edge cuts a face, and in 4K."""
    frames = [drawn.image for drawn in portraits()] + cut_frames() + [large_frame()]
    for frame in frames:
        height, width = frame.shape[:2]
        for face in extractor.ask(frame):
            points = np.concatenate([np.reshape(face.box, (2, 2)), face.landmarks])
            outside = (points < -0.5) | (points > np.array([width, height]) - 0.5)
            demand(
                not outside.any(),
                f"in a frame of {width} x {height} px it put a corner or landmark at "
                f"{_place(points[outside.any(axis=1)])}; clip them to 0 and the side less 1.",
            )
            left, top, right, bottom = face.box
            demand(
                left < right and top < bottom,
                f"a box is {face.box}; expected left < right and top < bottom.",
            )


def puts_landmarks_in_order(extractor: FaceExtractorUnderCheck) -> None:
    """Landmarks are the image's left and right eye, the nose, the left and right mouth corner."""
    _leave_out_unless_it_looks(extractor)
    for _, face in extractor.faces:
        (left, right, nose, mouth_left, mouth_right) = face.landmarks
        text = f"landmarks are {np.round(face.landmarks).astype(int).tolist()}"
        demand(left[0] < right[0], f"{text}; the left eye comes first, left as one looks at it.")
        demand(mouth_left[0] < mouth_right[0], f"{text}; the mouth's left corner comes first.")
        demand(max(left[1], right[1]) < nose[1], f"{text}; the eyes stand above the nose.")
        demand(
            nose[1] < min(mouth_left[1], mouth_right[1]),
            f"{text}; the nose stands above the mouth.",
        )


def puts_landmarks_where_they_are(extractor: FaceExtractorUnderCheck) -> None:
    """At each drawn landmark, at most 0.4 eye distances away, is one of the five, in any order."""
    _leave_out_unless_it_looks(extractor)
    for drawn, face in extractor.faces:
        eyes = float(np.linalg.norm(drawn.landmarks[0] - drawn.landmarks[1]))
        apart = np.linalg.norm(drawn.landmarks[:, None] - face.landmarks[None], axis=2)
        far = float(apart.min(axis=1).max()) / eyes
        demand(
            far <= NEAR,
            f"the nearest landmark to a drawn one is {far:.2f} distances of the eyes away; at most "
            f"{NEAR}. Landmarks are in the pixels of the frame that it was given.",
        )


def finds_two_faces(extractor: FaceExtractorUnderCheck) -> None:
    """Of two portraits side by side it finds both faces, each once."""
    _leave_out_unless_it_looks(extractor)
    pair = _pair(extractor)
    faces = extractor.ask(np.concatenate(pair, axis=1))
    sides = sorted(bool(face.landmarks[2, 0] > pair[0].shape[1]) for face in faces)
    demand(
        sides == [False, True],
        f"of two faces side by side, each found in its own picture, it gave {len(faces)}.",
    )


def puts_the_most_confident_first(extractor: FaceExtractorUnderCheck) -> None:
    """The faces of a frame come in the order of their confidence, the highest first."""
    pair = _pair(extractor)
    for order in (pair, pair[::-1]):
        sure = [face.confidence for face in extractor.ask(np.concatenate(order, axis=1))]
        demand(
            sure == sorted(sure, reverse=True),
            f"the confidences of a frame are {[round(s, 3) for s in sure]}; the highest is first.",
        )


def is_as_confident_as_its_threshold(extractor: FaceExtractorUnderCheck) -> None:
    """The confidence of a face is at least the threshold, and at most 1."""
    least = extractor.extractor.threshold
    for _, face in extractor.faces:
        demand(
            least <= face.confidence <= 1,
            f"a face has the confidence {face.confidence:.3f}; expected {least} to 1.",
        )


def has_its_declared_threshold(extractor: FaceExtractorUnderCheck) -> None:
    """Built without a threshold, it has the one that the spec declares."""
    got, declared = extractor.extractor.threshold, extractor.spec.threshold
    demand(got == declared, f"its threshold is {got}; the spec declares {declared}.")


def keeps_the_threshold_that_is_asked_for(extractor: FaceExtractorUnderCheck) -> None:
    """Built with another threshold, it says so and leaves out the faces below it."""
    _leave_out_unless_it_looks(extractor)
    sure = sorted(face.confidence for _, face in extractor.faces)
    asked = (sure[0] + sure[-1]) / 2
    other = extractor.built(threshold=asked)
    demand(
        other.threshold == asked, f"built with threshold={asked}, it has {other.threshold} instead."
    )
    for drawn, faces in extractor.portraits:
        fewer = extractor.ask(drawn.image, extractor=other)
        low = [face.confidence for face in fewer if face.confidence < asked]
        demand(not low, f"built with threshold={asked:.3f}, it gave a face of {_listed(low)}.")
        demand(
            len(fewer) <= len(faces),
            f"with a higher threshold it gave {len(fewer)} faces instead of {len(faces)}.",
        )


def leaves_the_frame(extractor: FaceExtractorUnderCheck) -> None:
    """It does not write to the frame, and takes one that cannot be written to."""
    image = portraits()[0].image
    frame = image.copy()
    extractor.extractor(frame)
    demand(
        np.array_equal(frame, image),
        "it wrote to the frame, which is cropped later; work on a copy.",
    )
    extractor.extractor(image)  # is read-only


def bears_any_size(extractor: FaceExtractorUnderCheck) -> None:
    """Frames of one pixel, one row or column, odd sides and 4K give a list and no error."""
    drawn, ask = portraits()[0].image.copy(), extractor.extractor
    frames = [np.full((*size, 3), 90, np.uint8) for size in ((1, 1), (1, 301), (301, 1), (37, 53))]
    for frame in (*frames, drawn[:, :-5], drawn[::3, ::2], large_frame()):
        height, width = frame.shape[:2]
        try:
            faces = ask(frame)
        except Exception as error:  # code of a plugin
            why = f"{type(error).__name__}: {error}"
            demand(False, f"on a frame of {width} x {height} px it failed with {why}")
        demand(
            isinstance(faces, list),
            f"on a frame of {width} x {height} px it gave {_said(faces)}; expected a list.",
        )


def answers_the_same_twice(extractor: FaceExtractorUnderCheck) -> None:
    """The same frame gives the same faces twice, to the last bit, and from another build."""
    drawn, faces = extractor.portraits[0]
    again = extractor.ask(drawn.image)
    demand(_same(again, faces), f"a second call gave {_apart(again, faces)}")
    other = extractor.ask(drawn.image, extractor=extractor.built())
    demand(_same(other, faces), f"another build of it gave {_apart(other, faces)}")


def may_be_shared_by_threads_if_it_says_so(extractor: FaceExtractorUnderCheck) -> None:
    """One that says it is thread-safe gives several threads at once what it gives one."""
    if not extractor.spec.thread_safe:
        raise LeftOut("it does not say that it is thread-safe; each thread builds its own.")
    shared = extractor.built()
    _demand_same_in_threads(extractor, lambda: shared)


def may_be_built_by_several_threads(extractor: FaceExtractorUnderCheck) -> None:
    """Built by each thread for itself, it gives what it gives a single one."""
    _demand_same_in_threads(extractor, extractor.built)


RULES = (
    gives_the_whole_frame_if_it_looks_for_no_face,
    finds_drawn_faces,
    finds_nothing_on_an_empty_frame,
    gives_faces_as_declared,
    keeps_faces_inside_the_frame,
    puts_landmarks_in_order,
    puts_landmarks_where_they_are,
    finds_two_faces,
    puts_the_most_confident_first,
    is_as_confident_as_its_threshold,
    has_its_declared_threshold,
    keeps_the_threshold_that_is_asked_for,
    leaves_the_frame,
    bears_any_size,
    answers_the_same_twice,
    may_be_shared_by_threads_if_it_says_so,
    may_be_built_by_several_threads,
)


def _leave_out_unless_it_looks(extractor: FaceExtractorUnderCheck) -> None:
    if not extractor.spec.detects:
        raise LeftOut("it says that it looks for no face: each picture counts as one, whole.")


def _demand_same_in_threads(
    extractor: FaceExtractorUnderCheck, get: Callable[[], FaceExtractor]
) -> None:
    expected = extractor.portraits[:THREADS]

    def work(number: int) -> list[tuple[Faces, Faces]]:
        order = expected[number:] + expected[:number]  # each thread begins with another frame
        own = get()
        return [(extractor.ask(drawn.image, extractor=own), faces) for drawn, faces in order]

    with ThreadPoolExecutor(THREADS) as pool:
        for got, faces in [pair for done in pool.map(work, range(THREADS)) for pair in done]:
            demand(_same(got, faces), f"beside other threads it gave {_apart(got, faces)}")


def _pair(extractor: FaceExtractorUnderCheck) -> tuple[Image, Image]:
    """Return two portraits of one height in each of which a face is found."""
    found = [drawn.image for drawn, _ in extractor.faces]
    for image in found:
        others = [other for other in found if other is not image and other.shape == image.shape]
        if others:
            return image, others[0]
    raise LeftOut("it does not find the faces of two portraits of one size.")


def _same(a: Faces, b: Faces) -> bool:
    return len(a) == len(b) and all(
        x.box == y.box and x.confidence == y.confidence and np.array_equal(x.landmarks, y.landmarks)
        for x, y in zip(a, b, strict=True)
    )


def _apart(got: Faces, expected: Faces) -> str:
    if len(got) != len(expected):
        return f"{len(got)} faces instead of {len(expected)}."
    return "other boxes, landmarks or confidences."


def _said(faces: object) -> str:
    if isinstance(faces, list):
        return f"{len(faces)} faces"
    return f"a {type(faces).__name__}"


def _place(points: Iterable[Iterable[float]]) -> str:
    return ", ".join(f"({x:.1f}, {y:.1f})" for x, y in points)


def _listed(values: Iterable[float]) -> str:
    return ", ".join(f"{value:.3f}" for value in values)
