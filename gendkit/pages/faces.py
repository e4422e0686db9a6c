"""Rows of faces for the pages: crops with their scores enter, markup leaves.

Which kind a face is stands in words beside it; the colour and the dashes below it only repeat that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from gendkit.markup import Html, join, number, tag
from gendkit.pages.page import picture, prose

if TYPE_CHECKING:
    from gendkit.evaluate.demo.result import Neighbour, Neighbourhood, ScoredClip

SHOWN = 8


def film(clip: ScoredClip, *, kind: str) -> Html:
    """Return up to eight faces of a clip, evenly spread over the frames that have one.

    Parameters
    ----------
    kind
        `real` or `fake`: what the clip is.
    """
    there = [i for i, face in enumerate(clip.faces) if face is not None]
    chosen = np.unique(np.linspace(0, max(len(there) - 1, 0), SHOWN).round().astype(int))
    items = []
    for i in (there[c] for c in chosen if there):
        score, time = number(clip.score[i], digits=2), number(clip.time[i], digits=1)
        face = clip.faces[i]
        assert face is not None
        items.append(
            tag(
                "li",
                picture(face, alt=f"{clip.name}, face at {time} s, score {score}"),
                tag("span", score, class_="score"),
                tag("span", f"{time} s", class_="detail"),
                class_=f"is-{kind}",
            )
        )
    mean = number(clip.clip_score, digits=2)
    return join(
        tag(
            "p",
            clip.name,
            tag("span", f"{kind}, mean score {mean}", class_="detail"),
            class_="row-title",
        ),
        tag("ul", *items, class_="film") if items else prose("No face was found in this clip."),
    )


def neighbours(near: Neighbourhood) -> Html:
    """Return a face beside its nearest real and its nearest fake ones."""
    kind = {0: "real", 1: "fake"}.get(near.label, "unknown")
    detail = near.method or kind
    asked = tag(
        "div",
        picture(near.face, alt=f"The face in question: {detail}", size=208),
        tag("span", f"score {number(near.score, digits=2)}", class_="score"),
        tag("span", detail, class_="detail"),
        class_=f"face is-{kind}",
    )
    rows = join(
        _row("Nearest real faces", near.reals, kind="real"),
        _row("Nearest fakes", near.fakes, kind="fake"),
    )
    return tag("div", asked, tag("div", rows), class_="near")


def _row(title: str, near: tuple[Neighbour, ...], *, kind: str) -> Html:
    items = [
        tag(
            "li",
            picture(n.face, alt=f"{n.method or kind}, similarity {number(n.similarity)}"),
            tag("span", number(n.similarity), class_="score"),
            tag("span", n.method or kind, class_="detail"),
            class_=f"is-{kind}",
        )
        for n in near
    ]
    return join(
        tag("p", title, class_="row-title"),
        tag("ul", *items, class_="film") if items else prose("There were none."),
    )
