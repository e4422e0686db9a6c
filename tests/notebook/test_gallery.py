"""A gallery tells of the crops that are asked for, and keeps none of it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from gendkit.notebook import gallery as module
from gendkit.notebook.gallery import MOST, Card, Gallery


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[tuple[dict[str, Any], list[bytes]]]:
    """What galleries send to the browser."""
    messages: list[tuple[dict[str, Any], list[bytes]]] = []
    monkeypatch.setattr(
        Gallery, "send", lambda _, content, buffers=None: messages.append((content, buffers))
    )
    return messages


def card(place: int) -> Card:
    jpeg = b"" if place % 3 == 0 else b"\xff\xd8 picture %d" % place
    return Card(sample=f"s{place}", title=f"title {place}", jpeg=jpeg, reason="gone")


def ask(gallery: Gallery, start: int, stop: int, *, version: int | None = None) -> None:
    content = {
        "kind": "cards",
        "view": "v",
        "version": gallery.version if version is None else version,
        "start": start,
        "stop": stop,
    }
    gallery._handle_custom_msg(content, [])


def test_cards_are_made_when_they_are_asked_for_and_only_those(sent):
    made = []
    gallery = Gallery()
    gallery.fill(100_000, lambda place: made.append(place) or card(place))
    assert made == []
    ask(gallery, 10, 14)
    assert made == [10, 11, 12, 13]
    ((content, buffers),) = sent
    assert [told["sample"] for told in content["cards"]] == ["s10", "s11", "s12", "s13"]
    assert buffers == [card(place).jpeg for place in (10, 11, 13)]
    assert [bool(told["jpeg"]) for told in content["cards"]] == [True, True, False, True]
    assert (content["view"], content["start"]) == ("v", 10)


def test_the_state_that_a_notebook_may_save_holds_no_card(sent):
    gallery = Gallery()
    empty = set(gallery.get_state())
    gallery.fill(5, card)
    ask(gallery, 0, 5)
    state = gallery.get_state()
    assert set(state) == empty
    assert "title 1" not in str(state)
    assert "picture 1" not in str(state)
    assert state["count"] == 5


def test_no_more_are_sent_than_there_are_or_than_fit_a_message(sent):
    gallery = Gallery()
    gallery.fill(3, card)
    ask(gallery, 1, 1_000)
    gallery.fill(1_000, card)
    ask(gallery, -4, 1_000)
    assert [len(content["cards"]) for content, _ in sent] == [2, MOST]


def test_a_question_about_what_was_shown_before_stays_unanswered(sent):
    gallery = Gallery()
    gallery.fill(3, card)
    gallery.fill(2, card)
    ask(gallery, 0, 3, version=gallery.version - 1)
    assert sent == []


def test_a_click_on_a_card_is_told():
    clicked: list[str] = []
    gallery = Gallery(picked=clicked.append)
    gallery._handle_custom_msg({"kind": "pick", "sample": "s4"}, [])
    assert clicked == ["s4"]


def test_what_a_user_named_is_put_into_the_page_as_text():
    for name in ("gallery.js", "paper.js"):
        source = (Path(module.__file__).parent / name).read_text("utf-8")
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write", source)


def test_scripts_and_styles_ask_for_nothing_from_elsewhere():
    for file in Path(module.__file__).parent.glob("*.[jc]s*"):
        assert not re.search(r"https?://|//cdn|\bimport\b|@import|url\(", file.read_text("utf-8"))
