"""The page of an adapter's card: a `Card` enters, one self-contained HTML document leaves."""

from __future__ import annotations

import json
from collections.abc import Mapping

import yaml

from gendkit.evaluate.card import Card, result_words
from gendkit.markup import Html, join, tag
from gendkit.model.kinds import WORDS
from gendkit.pages.page import bullets, facts, page, prose, section, table


def card_page(card: Card) -> str:
    """Return the page."""
    header = card.adapter.header
    numbers = sum(t.numel() for t in (*card.adapter.tuned.values(), *card.adapter.head.values()))
    lead = join(
        tag("h1", card.name),
        prose(
            "Tells face crops of real from those of manipulated videos: "
            f"{numbers:,} numbers, {WORDS[header.kind]} {header.backbone} and a linear head. A "
            "file without a face is not examined, which is not the same as real."
        ),
    )
    parts: list[tuple[str, str, Html]] = [
        ("limits", "Known limits", bullets(card.limits)),
        ("results", "Results", _results(card)),
        *(
            (anchor, title, facts(list(about.items())))
            for anchor, title, about in (
                ("training", "Training data", card.training),
                ("selection", "Selection", card.selection),
                ("licences", "Licences", card.licences),
                ("belongs", "What it belongs to", _belongs(card)),
            )
            if about
        ),
    ]
    if header.recipe:
        parts.append(("recipe", "How it was made", tag("pre", _recipe(header.recipe))))
    return page(
        f"Card of {card.name}",
        *(section(anchor, title, content) for anchor, title, content in parts),
        lead=lead,
        contents=[(anchor, title) for anchor, title, _ in parts],
        foot=f"Written by gendkit of what is recorded of adapter {card.adapter.hash[:12]}.",
    )


def _results(card: Card) -> Html:
    if not card.results:
        return prose("None were given when this card was written.")
    rows = [(r.data, r.metric, *result_words(r)) for r in card.results]
    shown = table(
        ("data", "metric", "value", "95 % interval"), [(None, rows)],
        caption="What was measured, with its interval where there is one",
    )  # fmt: skip
    return tag("div", shown, class_="worded")


def _belongs(card: Card) -> dict[str, str]:
    header = card.adapter.header
    return {
        **header.facts,
        "base layer norms": header.norms_hash[:12],
        "adapter": card.adapter.hash,
    }


def _recipe(recipe: Mapping[str, object]) -> str:
    plain = json.loads(json.dumps(recipe, default=dict))  # no tuples, no mappings but dicts
    return str(yaml.safe_dump(plain, sort_keys=False, allow_unicode=True))
