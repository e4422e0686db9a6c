"""The border at which a part is built: what its plugin lacks is told in one line."""

from __future__ import annotations

from typing import Any, overload

from gendkit.plugin.manager import plugins
from gendkit.plugin.parts import HERE, KINDS, Source
from gendkit.plugin.protocols import Backbone, Dataset, FaceExtractor, Loss
from gendkit.plugin.remedies import lacking
from gendkit.plugin.specs import BackboneSpec, DatasetSpec, FaceExtractorSpec, LossSpec


@overload
def build(spec: BackboneSpec, *arguments: Any, **options: Any) -> Backbone: ...
@overload
def build(spec: FaceExtractorSpec, *arguments: Any, **options: Any) -> FaceExtractor: ...
@overload
def build(spec: LossSpec, *arguments: Any, **options: Any) -> Loss: ...
@overload
def build(spec: DatasetSpec, *arguments: Any, **options: Any) -> Dataset: ...
def build(
    spec: BackboneSpec | FaceExtractorSpec | LossSpec | DatasetSpec, *arguments: Any, **options: Any
) -> Any:
    """Call the builder of a part.

    Parameters
    ----------
    spec
        Of the part, as a plugin gives it or written on the spot.
    arguments, options
        What its builder takes.

    Raises
    ------
    MissingDependency
        If something that it imports is not installed; the message has part, plugin, distribution
        and what to run. Everything else that the builder raises is passed on.
    """
    try:
        return spec.build(*arguments, **options)
    except ImportError as error:
        kind = next(kind for kind, (_, types) in KINDS.items() if isinstance(spec, types))
        source = plugins().source_of(spec)
        if source is None:
            source = Source(plugin=spec.name, distribution=HERE, version="")
        raise lacking(f"{kind} {spec.name!r}", source, error) from error
