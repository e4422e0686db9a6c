"""Celeb-DF++: Celeb-DF's real videos, and fakes of 22 methods in three kinds.

The folders are those of the owners' README; the lines of the list are read as their preprocessing
reads them. What is not certain, `verified=False`: how the files of the 21 new methods are named.
So they get a method, a family, a label and a split, but no pair and no people: no check for leaks
knows anything about them. Celeb-DF's own fakes, which come along, are named as in Celeb-DF. The
owners' README calls their folder Celeb-DF, their code Celeb-DF-v2; either is read.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from gendkit_benchmarks.celeb_df import CELEB, SYNTHESIS, YOUTUBE, CelebDF
from gendkit_benchmarks.facts import CELEB_DF_PP
from gendkit_benchmarks.tree import Part

KINDS = {
    "FaceSwap": (
        "face-swap",
        ("BlendFace", "GHOST", "HifiFace", "InSwapper", "MobileFaceSwap", "SimSwap", "UniFace"),
    ),
    "FaceReenact": (
        "reenactment",
        ("DaGAN", "FSRT", "HyperReenact", "LIA", "LivePortrait", "MCNET", "TPSMM"),
    ),
    "TalkingFace": (
        "talking-face",
        ("AniTalker", "EchoMimic", "EDTalk", "FLOAT", "IP_LAP", "Real3DPortrait", "SadTalker"),
    ),
}
OLD = ("Celeb-DF", "Celeb-DF-v2")
"""How the folder of Celeb-DF's own fakes is called, in the README and in the code."""


def celeb_df_pp(root: str | Path | None, *, rest: str) -> CelebDF:
    """Return the dataset; see `CelebDF` for its options and errors."""
    there = [name for name in OLD if root and (Path(root) / _swaps(name)).is_dir()]
    old = replace(
        SYNTHESIS, name=_swaps((there or OLD)[0]), folder=_swaps((there or OLD)[0]), year=2019
    )
    return CelebDF(
        root, rest=rest, of=CELEB_DF_PP, parts=(CELEB, YOUTUBE, old, *_new()), in_list=None
    )


def _swaps(method: str) -> str:
    return f"Celeb-synthesis/FaceSwap/{method}"


def _new() -> Iterator[Part]:
    for kind, (family, methods) in KINDS.items():
        for method in methods:
            folder = f"Celeb-synthesis/{kind}/{method}"
            yield Part(
                name=folder, folder=folder, expected=None, pattern=r"[A-Za-z0-9_.-]+",
                method=method, family=family,
            )  # fmt: skip
