"""What is shown is escaped, in one line, and brings no style that reaches beyond itself."""

from __future__ import annotations

import re

import pytest

from gendkit.markup import Html, card, grid, tag, visible

EVIL = "<script>alert(1)</script>\"'&\x1b[31m\u202e\n"


def test_control_characters_stand_as_their_codes():
    assert visible("a\x1b[31mb\nc\u202ed\udcff") == r"a\x1b[31mb\nc\u202ed\udcff"
    assert visible("Zoë 日本 – 100 %") == "Zoë 日本 – 100 %"
    assert visible(None) == "None"


def test_hostile_text_is_text_wherever_it_stands_in_a_card():
    shown = card(EVIL, {EVIL: EVIL}, grid([EVIL], [[EVIL]]))
    assert "<script" not in shown
    assert shown.count("&lt;script&gt;alert(1)") == 5
    assert not re.search("[\x00-\x1f\u202e]", shown)


def test_markup_that_was_made_on_purpose_stays_markup():
    assert "<em>well</em>" in card("so", {"it": tag("em", "well")})
    assert "<b>" in card("so", {}, Html(text="<b>1</b>"))


def test_facts_that_are_none_are_left_out():
    shown = card("so", {"kept": "1", "left": None})
    assert "kept" in shown
    assert "left" not in shown.replace("text-align:left", "")


def test_a_card_brings_no_style_sheet_and_no_name_that_others_could_have():
    shown = card("so", {"kept": "1"}, grid(["a"], [["b"]]))
    assert not re.search(r"<style|<script|\b(class|id)=", shown)


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.12345, "0.123"), (-0.5, "−0.500"), (1e-5, "1.0e−05"), (0.0, "0.000"), (19200, "19,200")],
)
def test_numbers_are_written_for_reading(value: float, text: str):
    assert f">{text}</td>" in grid(["n"], [[value]]).text


def test_numbers_stand_on_the_right_and_words_on_the_left():
    sides = re.findall(r"<td style=\"[^\"]*text-align:(\w+)", grid(["a", "n"], [["x", 1]]).text)
    assert sides == ["left", "right"]


def test_a_table_without_rows_has_its_head():
    assert grid(["a", "b"], []).text.count("<th ") == 2


def test_markup_holds_no_orders_and_keeps_its_lines() -> None:
    assert str(tag("pre", "a\tb\nc")) == "<pre>a\tb\nc</pre>"
    shown = str(tag("p", "a\x1b[31m\r\x9b\u202eb\u2066", title="\x00\u202e"))
    assert shown == r'<p title="\x00\u202e">a\x1b[31m\r\x9b\u202eb\u2066</p>'
