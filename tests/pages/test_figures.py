import re
import threading
import xml.etree.ElementTree as ET
from dataclasses import replace

import matplotlib as mpl
import numpy as np
import pytest

from gendkit.pages import figures
from gendkit.pages.palette import looks
from gendkit.testing.demo_result import fake_demo_result

RESULT = fake_demo_result(0, samples=200)
DRAWINGS = {
    "auroc": lambda: figures.auroc(RESULT.families, RESULT.groups),
    "roc": lambda: figures.roc(RESULT.roc, group="unseen"),
    "timeline": lambda: figures.timeline(RESULT.clip, RESULT.twin),
    "sphere": lambda: figures.sphere(RESULT.sphere, colour="family"),
    "layers": lambda: figures.layers(RESULT.layers, part="bias"),
    "curve": lambda: figures.curve(RESULT.curve, column="loss"),
}
SVG = "{http://www.w3.org/2000/svg}"


def words(svg):
    return [element.text for element in ET.fromstring(svg).iter(f"{SVG}text")]


@pytest.mark.parametrize("name", DRAWINGS)
def test_a_drawing_is_one_element_that_takes_the_pages_ink(name):
    svg = DRAWINGS[name]()
    root = ET.fromstring(svg)
    assert root.tag == f"{SVG}svg"
    if name != "sphere":
        assert "var(--muted)" in svg
    for sentinel in (
        "#1a1b1c",
        "#5a5b5c",
        "#dadbdc",
        "#fafbfc",
        "#000000",
        "<style",
        "font-family",
    ):
        assert sentinel not in svg


@pytest.mark.parametrize("name", DRAWINGS)
def test_equal_input_gives_equal_bytes(name):
    assert DRAWINGS[name]() == DRAWINGS[name]()


@pytest.mark.parametrize("name", DRAWINGS)
def test_references_lead_to_ids_of_the_same_drawing_and_colours_are_colours(name):
    svg = DRAWINGS[name]()
    ids = re.findall(r' id="([^"]+)"', svg)
    assert len(ids) == len(set(ids))
    assert set(re.findall(r'(?:href="#|url\(#)([^")]+)', svg)) == set(ids)
    for colour in re.findall(r"(?:fill|stroke): ([^;\"]+)", svg):
        assert re.fullmatch(r"none|#[0-9a-f]{6}|var\(--(ink|muted|line|paper)\)", colour), colour


def test_two_drawings_on_a_page_share_no_id():
    one, other = (set(re.findall(r' id="([^"]+)"', DRAWINGS[n]())) for n in ("auroc", "layers"))
    assert one
    assert not one & other


def test_labels_keep_all_their_digits_and_markup_is_text():
    name = "<b>0.12345</b> $x^2$"
    families = RESULT.families.assign(family=[name, *RESULT.families["family"][1:]])
    svg = figures.auroc(families, RESULT.groups)
    assert name in words(svg)
    assert "<b>" not in svg


def test_small_values_on_an_axis_are_not_cut():
    curve = RESULT.curve.assign(loss=np.linspace(0.001, 0.004, len(RESULT.curve)))
    assert "0.002" in words(figures.curve(curve, column="loss"))


def test_every_family_and_group_is_named():
    there = words(DRAWINGS["auroc"]())
    for name in [*RESULT.families["family"], *figures.GROUPS.values()]:
        assert name in there


def test_a_family_without_a_number_keeps_its_line_with_a_dash():
    families = RESULT.families.copy()
    families.loc[1, ["probe", "tuned"]] = np.nan
    there = words(figures.auroc(families, RESULT.groups))
    assert RESULT.families["family"][1] in there
    assert there.count("–") == 1


def test_a_number_without_an_interval_is_still_drawn():
    families = RESULT.families.assign(probe_low=np.nan, probe_high=np.nan)
    whole = figures.auroc(RESULT.families, RESULT.groups)
    assert figures.auroc(families, RESULT.groups).count("<use") == whole.count("<use")


def test_a_clip_without_a_face_says_so():
    nothing = replace(
        RESULT.clip,
        score=np.full(len(RESULT.clip.time), np.nan),
        faces=(None,) * len(RESULT.clip.time),
        clip_score=float("nan"),
    )
    assert "no face was found in either clip" in words(figures.timeline(nothing, nothing))
    assert "no face was found in either clip" not in words(figures.timeline(nothing, RESULT.twin))


def test_infinite_changes_of_layers_are_left_out():
    whole = figures.layers(RESULT.layers, part="weight")
    layers = RESULT.layers.copy()
    layers.loc[:2, "weight"] = [np.inf, np.nan, 0.01]
    assert figures.layers(layers, part="weight").count("<use") == whole.count("<use") - 2


def test_many_points_become_one_picture_inside_the_drawing():
    many = figures.sphere(fake_demo_result(0, samples=2_500).sphere, colour="label")
    assert "data:image/png;base64" in many
    assert len(many) < 300_000


def test_drawing_leaves_matplotlibs_settings_alone():
    before = dict(mpl.rcParams)
    DRAWINGS["curve"]()
    assert dict(mpl.rcParams) == before


def test_threads_may_draw_at_the_same_time():
    alone = DRAWINGS["curve"]()
    drawn = []
    threads = [threading.Thread(target=lambda: drawn.append(DRAWINGS["curve"]())) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert drawn == [alone] * 4


def test_every_marker_is_drawn_inside_its_box():
    for look in looks(["real", "unknown", *"abcdefgh"]):
        svg = figures.marker(look)
        root = ET.fromstring(svg)
        left, _, side, _ = map(float, root.get("viewBox").split())
        path = root[0].get("d")
        numbers = [float(n) for n in re.findall(r"-?\d+\.\d+", path)]
        assert max(map(abs, numbers)) <= side + left
        assert root[0].get("fill") == look.colour
