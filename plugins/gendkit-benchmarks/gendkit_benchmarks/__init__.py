"""Declares the benchmarks; each is read by its own module, which is imported when it is built.

Their options are spelt out here, so that a misspelt one is told.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from gendkit.plugin import DatasetSpec, hookimpl
from gendkit_benchmarks import facts
from gendkit_benchmarks.facts import Benchmark
from gendkit_benchmarks.rows import rows

if TYPE_CHECKING:
    from gendkit.plugin.protocols import Dataset


@hookimpl
def gendkit_datasets() -> Iterator[DatasetSpec]:
    """Yield a spec a benchmark."""
    yield _spec(facts.FACEFORENSICS, _faceforensics)
    yield _spec(facts.CELEB_DF, _celeb_df)
    yield _spec(facts.CELEB_DF_PP, _celeb_df_pp)
    yield _spec(facts.DEEPFAKEBENCH, _deepfakebench)
    yield _spec(facts.DFDC, _dfdc)
    yield _spec(facts.FAKEAVCELEB, _fakeavceleb)
    yield _spec(facts.GEND_TREE, _gend_tree)
    for name, row in rows().items():
        yield DatasetSpec(
            name=name, summary=row["summary"], licence=row["licence"], homepage=row["homepage"],
            build=_laid_out(name),
        )  # fmt: skip
    yield DatasetSpec(
        name="benchmarks",
        summary="a dataset that a layout file of yours describes",
        licence="as the layout says",
        build=_described,
    )


def _spec(of: Benchmark, build: Callable[..., Dataset]) -> DatasetSpec:
    return DatasetSpec(
        name=of.name, summary=of.summary, licence=of.licence, homepage=of.homepage, build=build
    )


def _faceforensics(
    root: Path | None = None,
    *,
    compression: str = "c23",
    methods: str | Sequence[str] = (),
    splits: str | Path | None = None,
    masks: bool = False,
) -> Dataset:
    from gendkit_benchmarks.faceforensics import FaceForensics

    return FaceForensics(root, compression=compression, methods=methods, splits=splits, masks=masks)


def _celeb_df(root: Path | None = None, *, rest: str = "") -> Dataset:
    from gendkit_benchmarks.celeb_df import CelebDF

    return CelebDF(root, rest=rest)


def _celeb_df_pp(root: Path | None = None, *, rest: str = "") -> Dataset:
    from gendkit_benchmarks.celeb_df_pp import celeb_df_pp

    return celeb_df_pp(root, rest=rest)


def _deepfakebench(
    root: Path | None = None,
    *,
    media: str | Path | None = None,
    prefix: str = "",
    compression: str = "c23",
) -> Dataset:
    from gendkit_benchmarks.deepfakebench import DeepfakeBench

    return DeepfakeBench(root, media=media, prefix=prefix, compression=compression)


def _dfdc(root: Path | None = None) -> Dataset:
    from gendkit_benchmarks.dfdc import DeepfakeDetectionChallenge

    return DeepfakeDetectionChallenge(root)


def _fakeavceleb(root: Path | None = None, *, voices: str = "") -> Dataset:
    from gendkit_benchmarks.fakeavceleb import FakeAVCeleb

    return FakeAVCeleb(root, voices=voices)


def _gend_tree(
    root: Path | None = None,
    *,
    train: str | Sequence[str] = (),
    development: str | Sequence[str] = (),
    final: str | Sequence[str] = (),
) -> Dataset:
    from gendkit_benchmarks.gend_tree import GendTree

    return GendTree(root, lists={"train": train, "development": development, "final": final})


def _laid_out(name: str) -> Callable[..., Dataset]:
    """Return what builds a dataset of the table."""

    def build(
        root: Path | None = None,
        *,
        layout: str | Path | None = None,
        splits: str = "",
        voices: str = "",
    ) -> Dataset:
        from gendkit_benchmarks.laid_out import LaidOut
        from gendkit_benchmarks.layout import layout_of

        return LaidOut(root, layout=layout_of(name, layout), splits=splits, voices=voices)

    return build


def _described(
    root: Path | None = None,
    *,
    layout: str | Path | None = None,
    dataset: str = "",
    splits: str = "",
    voices: str = "",
) -> Dataset:
    from gendkit_benchmarks.laid_out import LaidOut
    from gendkit_benchmarks.layout import described

    found = described(dataset, layout, root=root)
    return LaidOut(root, layout=found, splits=splits, voices=voices)
