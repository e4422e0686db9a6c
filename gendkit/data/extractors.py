"""Face extractors by name, and how a manifest records which one was asked.

A name enters, a `FaceExtractor` leaves. What goes wrong while a plugin's extractor is built is told
as an error that names plugin and part; it never becomes the reason of a frame.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from gendkit.errors import CorruptAsset, MissingAsset, MissingDependency, PluginError
from gendkit.markup import visible
from gendkit.plugin.manager import plugins
from gendkit.plugin.parts import Source

if TYPE_CHECKING:
    from gendkit.plugin.protocols import Face, FaceExtractor, Image
    from gendkit.plugin.specs import FaceExtractorSpec

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
    part = plugins().part("face-extractor", name)
    return _built(plugins().spec("face-extractor", name), part.source, options)


def prepared(extractor: str | FaceExtractor) -> tuple[FaceExtractor, dict[str, str]]:
    """Return an extractor that several threads may call, and the record of it for a manifest.

    A name gives one that each thread builds when it is first asked. A built extractor is recorded
    by its attribute `name` if that is the name of an installed part; otherwise its name is empty,
    because nothing could build it again.
    """
    if isinstance(extractor, str):
        source = plugins().part("face-extractor", extractor).source
        spec = plugins().spec("face-extractor", extractor)
        origin = f"{source.distribution} {source.version}".strip()
        return _PerThread(spec, source), {"extractor": extractor, "extractor_source": origin}
    named = getattr(extractor, "name", "")
    known = {part.name for part in plugins().parts if part.kind == "face-extractor"}
    made = f"{type(extractor).__module__}.{type(extractor).__qualname__}"
    record = {"extractor": named if isinstance(named, str) and named in known else ""}
    return extractor, {**record, "extractor_source": f"built by the caller: {made}"}


class _PerThread:
    """A face extractor that each thread builds for itself when it is first asked.

    Frames that bring landmarks need none, and then no weights are opened or fetched.
    """

    def __init__(self, spec: FaceExtractorSpec, source: Source) -> None:
        self._spec = spec
        self._source = source
        self._local = threading.local()

    @property
    def threshold(self) -> float:
        return self._spec.threshold

    def __call__(self, image: Image, /) -> list[Face]:
        if not hasattr(self._local, "built"):
            self._local.built = _built(self._spec, self._source, {})
        faces: list[Face] = self._local.built(image)
        return faces


def _built(spec: FaceExtractorSpec, source: Source, options: dict[str, Any]) -> FaceExtractor:
    who = f"face-extractor {spec.name!r} of plugin {source.plugin!r}"
    origin = f"{source.distribution} {source.version}".strip()
    try:
        built = spec.build(**options)
    except UNBUILT:
        raise
    except Exception as error:  # code of a plugin
        why = visible(" ".join(f"{type(error).__name__}: {error}".split()))
        raise PluginError(
            f"{who} ({origin}) cannot be built: {why}; mend or update it, or name another one."
        ) from error
    if not callable(built):
        raise PluginError(
            f"{who} ({origin}) was built as {type(built).__name__}; expected a function from an "
            "image to faces: mend or update it, or name another one."
        )
    return built
