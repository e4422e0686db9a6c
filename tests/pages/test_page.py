import base64
import io
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from gendkit.markup import DASH, join, number, tag
from gendkit.pages.page import estimate, interval, page, picture, section, table

EVIL = '<script>alert(\'x\')</script>" onload="y" &amp;'


def test_text_is_escaped_as_child_and_as_attribute():
    element = tag("p", EVIL, title=EVIL).text
    assert "<script" not in element
    assert element.partition(">")[0].count('"') == 2  # those around the attribute
    assert "&amp;amp;" in element


def test_markup_is_not_escaped_twice():
    assert tag("p", tag("b", "a < b"), " c").text == "<p><b>a &lt; b</b> c</p>"


def test_attributes_follow_python_values():
    element = tag("td", class_="x", aria_label="y", hidden=True, lang=None, inert=False)
    assert element.text == '<td class="x" aria-label="y" hidden></td>'


def test_void_elements_have_no_end():
    assert tag("img", alt="").text == '<img alt="">'


@pytest.mark.parametrize(
    ("value", "sign", "text"),
    [
        (0.8416, False, "0.842"),
        (-0.0213, False, "−0.021"),
        (0.05, True, "+0.050"),
        (-0.05, True, "−0.050"),
        (0.0001, True, "0.000"),
        (-0.0001, False, "0.000"),
        (float("nan"), True, DASH),
        (float("inf"), False, DASH),
    ],
)
def test_numbers_are_written_for_reading(value, sign, text):
    assert number(value, sign=sign) == text


def test_an_interval_with_one_unknown_end_is_a_dash():
    assert interval(0.1, 0.2, digits=1) == "0.1 to 0.2"
    assert interval(0.1, float("nan")) == DASH


def test_an_estimate_that_could_not_be_computed_shows_no_interval():
    assert "to" not in estimate(float("nan"), 0.1, 0.2).text.replace("not be computed", "")
    assert "0.10 to 0.20" in estimate(0.15, 0.1, 0.2).text


def test_a_table_names_its_rows_its_columns_and_itself():
    text = table(("", "a"), [("group", [["r", "1"]]), (None, [["s", "2"]])], caption="Both").text
    assert text.count('scope="col"') == 2
    assert text.count('scope="row"') == 2
    assert text.count('scope="rowgroup"') == 1
    assert "<caption>Both</caption>" in text
    assert 'aria-label="Both"' in text


def test_a_picture_keeps_its_shape_and_at_most_twice_the_pixels():
    image = np.zeros((300, 600, 3), np.uint8)
    image[:, :300] = 255
    element = picture(image, alt="half", size=100).text
    assert 'width="100" height="50"' in element
    data = element.split("base64,")[1].split('"')[0]
    decoded = Image.open(io.BytesIO(base64.b64decode(data)))
    assert decoded.size == (200, 100)
    assert np.asarray(decoded)[50, 20].min() > 240
    assert np.asarray(decoded)[50, 180].max() < 15


def test_a_small_picture_is_not_enlarged_in_its_file():
    element = picture(np.zeros((20, 20, 3), np.uint8), alt="", size=100).text
    data = element.split("base64,")[1].split('"')[0]
    assert Image.open(io.BytesIO(base64.b64decode(data))).size == (20, 20)


def test_a_page_forbids_every_request():
    text = page("t", section("a", "A", tag("p", "x")), lead=tag("h1", "t"), contents=[("a", "A")])
    assert "default-src 'none'" in text.replace("&#x27;", "'")
    assert '<a href="#a">A</a>' in text
    assert text.startswith("<!doctype html>")
    assert "@media print" in text
    assert "prefers-color-scheme: dark" in text


def test_joining_keeps_order_and_leaves_out_nothing_but_none():
    assert join("a", None, 0, tag("br")).text == "a0<br>"


def test_pages_and_maps_load_no_plotting_library():
    code = (
        "import sys, gendkit.pages.page, gendkit.pages.palette, gendkit.pages.maps, "
        "gendkit.pages.findings; heavy = {'matplotlib', 'torch', 'pandas', 'xarray'}; "
        "sys.exit(', '.join(heavy & set(sys.modules)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
