"""Face extractors by name, and how a manifest records which one was asked.

A name enters, a `FaceExtractor` leaves. What goes wrong while a plugin's extractor is built is told
as an error that names plugin and part; it never becomes the reason of a frame.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from gendkit.data.container import file_hash
from gendkit.errors import (
    CorruptAsset,
    InvalidArgument,
    MissingAsset,
    MissingDependency,
    PluginError,
)
from gendkit.markup import visible, words_of
from gendkit.plugin.building import build
from gendkit.plugin.manager import plugins
from gendkit.plugin.parts import Part
from gendkit.plugin.specs import FaceExtractorSpec

if TYPE_CHECKING:
    from gendkit.plugin.protocols import Face, FaceExtractor, Image

UNBUILT = (PluginError, MissingAsset, CorruptAsset, MissingDependency)
"""Errors which say that there is no extractor at all, not that it failed on a frame."""


def build_extractor(name: str, **options: Any) -> FaceExtractor:
    """Build a face extractor.

    Parameters
    ----------
    name
        As `gendkit plugins list` shows it.
    options
        Of its `build`, such as `threshold`.

    Raises
    ------
    UnknownPart
        If no plugin gives it.
    MissingAsset, CorruptAsset, MissingDependency
        If its weights or packages are not to be had.
    PluginError
        If it cannot be built for another reason.
    """
    return build_from(plugins().part("face-extractor", name), options)


def looks_for_faces(extractor: FaceExtractor) -> bool:
    """Tell whether an extractor looks for faces at all; see `FaceExtractorSpec.detects`."""
    return bool(getattr(extractor, "detects", True))


def prepared(extractor: str | FaceExtractor) -> tuple[FaceExtractor, dict[str, str]]:
    """Return an extractor that several threads may call, and the record of it for a manifest.

    A name gives one that is built when it is first asked: once if its spec says that it is
    thread-safe, else by each thread for itself. A built extractor is recorded by its attribute
    `name` if that is the name of an installed part; otherwise its name is empty, because nothing
    could build it again.

    Raises
    ------
    UnknownPart
        If no plugin gives it.
    InvalidArgument
        If what was built is no function with a number as its attribute `threshold`.
    """
    if isinstance(extractor, str):
        part = plugins().part("face-extractor", extractor)
        record = {"extractor": extractor, "extractor_source": part.source.origin}
        return WhenAsked(part), record | _weights(_spec_of(part))
    if not callable(extractor) or not isinstance(
        getattr(extractor, "threshold", None), int | float
    ):
        raise InvalidArgument(
            f"a {type(extractor).__name__} is no face extractor: expected a name, or a function "
            "from an image to faces with its least confidence as the attribute `threshold`."
        )
    named = getattr(extractor, "name", "")
    known = {part.name for part in plugins().parts if part.kind == "face-extractor"}
    made = f"{type(extractor).__module__}.{type(extractor).__qualname__}"
    record = {"extractor": named if isinstance(named, str) and named in known else ""}
    return extractor, {**record, "extractor_source": f"built by the caller: {made}"}


def _weights(spec: FaceExtractorSpec) -> dict[str, str]:
    """Return the sha256 of the weights that the user brought, if there are any."""
    if spec.weights is None:
        return {}
    try:
        return {"extractor_weights": file_hash(spec.weights())}
    except MissingAsset:  # which is told when it is built, if any frame needs it
        return {"extractor_weights": ""}


def build_from(part: Part, options: Mapping[str, Any]) -> FaceExtractor:
    """Build the face extractor of a part.

    Raises
    ------
    MissingAsset, CorruptAsset, MissingDependency, PluginError
        As `build_extractor`.
    """
    who = f"face-extractor {part.spec.name!r} of plugin {part.source.plugin!r}"
    who = f"{who} ({part.source.origin})"
    try:
        built = build(_spec_of(part), **options)
    except UNBUILT:
        raise
    except Exception as error:  # code of a plugin
        why = visible(words_of(error)).rstrip(".")
        raise PluginError(
            f"{who} cannot be built: {why}; mend or update it, or name another one."
        ) from error
    if not callable(built):
        raise PluginError(
            f"{who} was built as {type(built).__name__}; expected a function from an image to "
            "faces: mend or update it, or name another one."
        )
    detects = _spec_of(part).detects
    if looks_for_faces(built) is not detects:
        raise PluginError(
            f"{who} declares detects={detects}, and its attribute `detects` says the opposite: "
            "mend or update it, or name another one."
        )
    return built


class WhenAsked:
    """A face extractor that is built when it is first asked: once, or once a thread.

    Frames that bring landmarks need none, and then no weights are opened or fetched. It can be sent
    to another process, which builds its own.
    """

    def __init__(self, part: Part, options: Mapping[str, Any] | None = None) -> None:
        self._part, self._spec, self._options = part, _spec_of(part), dict(options or {})
        self._shared: FaceExtractor | None = None
        self._building = threading.Lock()
        self._local = threading.local()

    def __reduce__(self) -> tuple[Any, ...]:
        return _again, (self._part, tuple(sorted(self._options.items())))

    @property
    def name(self) -> str:
        """By which the plugin gives it."""
        return self._spec.name

    @property
    def threshold(self) -> float:
        """The least confidence that was asked for, or that is declared."""
        return float(self._options.get("threshold", self._spec.threshold))

    @property
    def detects(self) -> bool:
        """Whether it looks for faces, as declared."""
        return self._spec.detects

    def build(self) -> None:
        """Build it now, to know that it can be."""
        self._built()

    def __call__(self, image: Image, /) -> list[Face]:
        """Return the faces of an RGB image, as the part does."""
        return self._built()(image)

    def _built(self) -> FaceExtractor:
        return self._once() if self._spec.thread_safe else self._own()

    def _once(self) -> FaceExtractor:
        with self._building:
            if self._shared is None:
                self._shared = build_from(self._part, self._options)
            return self._shared

    def _own(self) -> FaceExtractor:
        if not hasattr(self._local, "built"):
            self._local.built = build_from(self._part, self._options)
        built: FaceExtractor = self._local.built
        return built


@lru_cache(maxsize=1)
def _again(part: Part, options: tuple[tuple[str, Any], ...]) -> WhenAsked:
    """Return the one of a process that is sent the same again and again: it is built once there."""
    return WhenAsked(part, dict(options))


def _spec_of(part: Part) -> FaceExtractorSpec:
    assert isinstance(part.spec, FaceExtractorSpec)
    return part.spec
