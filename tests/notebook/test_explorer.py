"""The explorer's views agree with each other, with the pictures and with what Python asks."""

from __future__ import annotations

import re
import shutil
import sys

import numpy as np
import pytest
from matplotlib.colors import to_hex

import gendkit as gk
from gendkit.errors import InvalidEmbeddings, MissingDependency
from gendkit.manifold.store import ROOT
from gendkit.notebook.explorer import explore
from gendkit.notebook.gallery import Gallery
from gendkit.pages import maps
from gendkit.pages.palette import DARK, LIGHT
from gendkit.testing.demo_result import fake_demo_result

# jupyter-scatter 1.0 itself uses what pandas 3.1 deprecates.
pytestmark = pytest.mark.filterwarnings("ignore:The inplace keyword")


@pytest.fixture
def ds():
    pytest.importorskip("jscatter", reason="jupyter-scatter is not installed")
    return fake_demo_result(0, samples=150).sphere


def scatter(explorer):
    """The jupyter-scatter widget."""
    return explorer._maps[-1].widget


def lasso(explorer, rows):
    """Choose points, as the browser tells it."""
    scatter(explorer).set_trait("selection", np.array(rows, dtype=np.uint32))


def drawn(explorer):
    """Rows and colours of the discs that are drawn, in the order of drawing."""
    widget = scatter(explorer)
    colours = np.array([to_hex(c) for c in widget.color])
    return explorer._maps[-1]._row, colours[widget.points[:, 2].astype(int)]


def cards(gallery: Gallery):
    """What a gallery would tell of all its cards."""
    return [gallery._card(place) for place in range(gallery.count)]


def caption(explorer):
    return explorer.children[2].children[0].children[1].value


def toggles(explorer):
    return {
        toggle.description.rpartition(" ")[0]: toggle
        for toggle in explorer._legend._toggles.values()
    }


def test_every_sample_is_a_point_at_its_place(ds):
    points = scatter(explore(ds)).points[:, :2]
    places = ds["projection"].to_numpy()
    assert points.shape == places.shape
    # One scale for both axes: the widget's square is the map's, up to a shift and a factor.
    factor = np.ptp(points, axis=0) / np.ptp(places, axis=0)
    assert factor[0] == pytest.approx(factor[1], rel=1e-4)
    assert np.abs(points).max() < 1


def test_a_category_has_the_colour_it_has_in_pictures(ds):
    looks = {look.name: look.colour for look in maps.colouring(ds, "family").looks}
    _, colours = drawn(explore(ds))
    assert list(colours) == [looks[name] for name in maps.categories(ds, "family")]


def test_a_chosen_point_keeps_its_colour(ds):
    widget = scatter(explore(ds))
    assert widget.color_selected == widget.color


def test_points_are_opaque_enough_to_be_seen(ds):
    widget = scatter(explore(ds))
    assert widget.opacity_by == widget.size_by == "valueB"
    assert min(widget.opacity) > 0.3


def test_hovering_tells_method_score_and_video(ds):
    widget = scatter(explore(ds, colour="label"))
    assert widget.tooltip_enable
    assert list(widget.tooltip_properties) == ["method", "score", "video"]


def test_novel_points_are_hollow_and_lie_on_top(ds):
    p = np.full(150, 0.5)
    p[[4, 9]] = 0.01
    p[7] = np.nan
    explorer = explore(ds.assign(novelty_p=("sample", p)))
    rows, colours = drawn(explorer)
    assert rows[-4:].tolist() == [4, 4, 9, 9]
    assert len(rows) == 152
    assert colours[-1] == colours[-3] == LIGHT
    assert colours[-2] != LIGHT
    core, ring = scatter(explorer).size[::-1]
    assert core < ring
    explorer._on_paper(dark=True)
    assert drawn(explorer)[1][-1] == DARK
    assert "Hollow points are novel, p ≤ .05: 2 crops." in caption(explorer)


def test_choosing_either_disc_of_a_novel_point_chooses_it_once(ds):
    p = np.full(150, 0.5)
    p[4] = 0.01
    explorer = explore(ds.assign(novelty_p=("sample", p)))
    lasso(explorer, [150])
    assert explorer.selection["sample"].to_numpy().tolist() == [ds["sample"].to_numpy()[4]]
    explorer.selection = ds["sample"].to_numpy()[[4]]
    assert sorted(scatter(explorer).selection) == [149, 150]


def test_a_lasso_is_the_selection_in_python(ds):
    explorer = explore(ds)
    assert explorer.selection.sizes["sample"] == 0
    lasso(explorer, [77, 3])
    assert explorer.selection.identical(ds.isel(sample=[3, 77]))
    assert explorer.face == ""


@pytest.mark.parametrize("kind", ["dataset", "ids", "mask", "array", "one"])
def test_a_selection_can_be_set_by_what_one_has(embedded, kind):
    ds = embedded()
    rows = [2] if kind == "one" else [2, 20, 31]
    ids = ds["sample"].to_numpy()[rows]
    wanted = {
        "dataset": ds.isel(sample=rows[::-1]),
        "ids": [str(name) for name in ids[::-1]],
        "mask": np.isin(np.arange(32), rows),
        "array": ds["sample"].isin(ids),
        "one": str(ids[0]),
    }[kind]
    explorer = explore(ds)
    explorer.selection = wanted
    assert explorer.selection["sample"].to_numpy().tolist() == ids.tolist()
    assert scatter(explorer).selection.tolist() == rows


def test_a_selection_that_cannot_be_is_refused_and_changes_nothing(ds):
    explorer = explore(ds)
    explorer.selection = ds["sample"].to_numpy()[:3]
    with pytest.raises(InvalidEmbeddings, match=r"1 of 2 samples.*'nobody'"):
        explorer.selection = ["nobody", str(ds["sample"].to_numpy()[0])]
    with pytest.raises(InvalidEmbeddings, match=r"shape \(3,\).*150"):
        explorer.selection = [True, False, True]
    assert explorer.selection.sizes["sample"] == 3


def test_the_legend_hides_a_category_and_what_is_chosen_of_it(ds):
    explorer = explore(ds, colour="label")
    label = ds["label"].to_numpy()
    assert {n: t.description for n, t in toggles(explorer).items()} == {
        "real": f"real {(label == 0).sum()}",
        "fake": f"fake {(label == 1).sum()}",
    }
    explorer.selection = np.ones(150, dtype=bool)
    toggles(explorer)["fake"].value = False
    assert scatter(explorer).filter.tolist() == np.flatnonzero(label == 0).tolist()
    assert set(explorer.selection["label"].to_numpy()) == {0}
    toggles(explorer)["fake"].value = True
    assert scatter(explorer).filter is None


def test_setting_a_selection_shows_what_the_legend_hides_of_it(ds):
    explorer = explore(ds, colour="label")
    toggles(explorer)["fake"].value = False
    explorer.selection = ds["label"] == 1
    assert scatter(explorer).filter is None
    assert all(toggle.value for toggle in toggles(explorer).values())
    assert explorer.selection.sizes["sample"] == (ds["label"] == 1).sum()


def test_a_quantity_is_filtered_by_a_range_and_no_value_is_grey(ds):
    score = ds["score"].to_numpy().copy()
    score[[0, 5]] = np.nan
    explorer = explore(ds.assign(score=("sample", score)), colour="score")
    assert set(drawn(explorer)[1][[0, 5]]) == {maps.UNKNOWN}
    explorer._legend._slider.value = (0.6, explorer._legend._slider.max)
    shown = scatter(explorer).filter.tolist()
    assert shown == np.flatnonzero((score >= 0.6) | np.isnan(score)).tolist()
    toggles(explorer)["unknown"].value = False
    assert scatter(explorer).filter.tolist() == np.flatnonzero(score >= 0.6).tolist()
    explorer._legend.reset()
    assert scatter(explorer).filter is None


def test_any_variable_of_each_crop_can_be_coloured_by(ds):
    explorer = explore(ds)
    offered = explorer._colour.options
    assert offered[0] == "family"
    assert set(maps.variables(ds)) - set(offered) == {"sample"}
    for variable in offered:
        explorer._colour.value = variable
        _, colours = drawn(explorer)
        assert len(set(colours)) <= 256
        assert explorer._shades.variable == variable


def test_what_is_asked_for_is_offered_even_if_it_tells_every_crop_apart(ds):
    explorer = explore(ds, colour="sample")
    assert "sample" in explorer._colour.options
    assert list(toggles(explorer))[-1] == "131 others"


def test_a_legend_with_everything_off_shows_nothing(ds):
    explorer = explore(ds, colour="label")
    for toggle in toggles(explorer).values():
        toggle.value = False
    assert scatter(explorer).filter.tolist() == []
    assert explorer._gallery.count == 0


def test_the_gallery_shows_what_is_chosen_or_else_what_is_shown(embedded):
    ds = embedded()
    explorer = explore(ds, colour="label")
    assert explorer._gallery.count == 32
    toggles(explorer)["real"].value = False
    assert explorer._gallery.count == 16
    toggles(explorer)["real"].value = True
    lasso(explorer, [5, 6])
    first, second = cards(explorer._gallery)
    assert first.sample == str(ds["sample"].to_numpy()[5])
    assert first.title == f"{ds['score'].to_numpy()[5]:.3f}"
    assert first.lines == ("grid", "fake-ann")
    assert second.jpeg.startswith(b"\xff\xd8")
    assert "2 of 32 selected" in explorer._heading.value


def test_a_crop_that_is_gone_is_a_tile_with_the_reason(embedded):
    ds = embedded()
    shutil.rmtree(ds.attrs[ROOT] + "/fake")
    explorer = explore(ds)
    told = {card.sample: card for card in cards(explorer._gallery)}
    lost = told[str(ds["sample"].to_numpy()[4])]
    assert lost.jpeg == b""
    assert "fake/ann-0.png" in lost.reason
    assert told[str(ds["sample"].to_numpy()[0])].jpeg


def test_a_click_on_a_point_asks_for_its_nearest_reals_and_fakes(embedded):
    ds = embedded()
    explorer = explore(ds, k=3)
    lasso(explorer, [9])
    assert explorer.face == str(ds["sample"].to_numpy()[9])
    near = gk.neighbours(ds.isel(sample=[9]), ds, k=3, by_class=True)
    for c, gallery in enumerate(explorer._nearest._rows):
        shown = cards(gallery)
        assert [card.sample for card in shown] == list(near["class_neighbour"].data[0, c])
        wanted = near["class_similarity"].data[0, c]
        assert [card.title for card in shown] == [f"{s:.3f}".replace("-", "−") for s in wanted]
        for card in shown:
            row = ds.sel(sample=card.sample)
            assert card.lines[1:] == ("small", str(row["video"].data), "final", "CC0-1.0")
            assert str(row["target_identity"].data) != str(ds["target_identity"].data[9])
    (asked,) = cards(explorer._nearest._face)
    assert asked.sample == explorer.face
    assert asked.jpeg


def test_a_click_on_a_face_or_a_neighbour_goes_on_from_there(embedded):
    explorer = explore(embedded())
    gallery = explorer._gallery
    gallery._handle_custom_msg({"kind": "pick", "sample": str(cards(gallery)[3].sample)}, [])
    assert explorer.face == gallery.current == cards(gallery)[3].sample
    reals = explorer._nearest._rows[0]
    near = cards(reals)[0].sample
    reals._handle_custom_msg({"kind": "pick", "sample": near}, [])
    assert explorer.face == near
    explorer.face = ""
    assert reals.count == 0


def test_neighbours_come_from_the_reference_if_there_is_one(embedded):
    ds = embedded()
    mine, reference = ds.isel(sample=slice(0, 16)), ds.isel(sample=slice(16, None))
    explorer = explore(mine, reference)
    explorer.face = str(mine["sample"].to_numpy()[0])
    shown = {card.sample for gallery in explorer._nearest._rows for card in cards(gallery)}
    assert shown <= {str(name) for name in reference["sample"].to_numpy()}
    explorer._pick(shown.pop())
    assert explorer.face == str(mine["sample"].to_numpy()[0])


def test_without_labels_the_panel_says_so_and_the_map_still_works(ds):
    explorer = explore(ds.drop_vars("label"), colour="method")
    lasso(explorer, [3])
    assert "no labels" in explorer._nearest._note.value
    assert cards(explorer._nearest._face)[0].sample == explorer.face


def test_an_unknown_face_is_refused(ds):
    with pytest.raises(InvalidEmbeddings, match="no sample 'nobody'"):
        explore(ds).face = "nobody"


def test_scores_and_methods_of_the_chosen_stand_beside_all(ds):
    explorer = explore(ds)
    histogram, table = explorer._views
    assert sum(histogram.widget.data[0].y) == pytest.approx(100)
    assert sum(histogram.widget.data[1].y) == 0
    chosen = (ds["label"] == 0).to_numpy()
    explorer.selection = chosen
    counts = np.histogram(ds["score"].to_numpy()[chosen], bins=40, range=(0, 1))[0]
    assert histogram.widget.data[1].y == pytest.approx(100 * counts / chosen.sum())
    row = re.search(r">real</th>(.*?)</tr>", table.widget.value).group(1)
    mean = f"{ds['score'].to_numpy()[chosen].mean():.3f}"
    assert re.findall(r"<td>(.*?)</td>", row) == [str(chosen.sum())] * 2 + [mean] * 2


def test_dragging_over_bars_chooses_by_score(ds):
    explorer = explore(ds)
    bars = explorer._views[0].widget.data[0]
    from plotly.callbacks import Points

    points = Points(trace_name="all", trace_index=0, point_inds=[30, 31], xs=[], ys=[])
    bars._dispatch_on_selection(points, None)
    score = ds["score"].to_numpy()
    wanted = np.flatnonzero((score >= 0.75) & (score < 0.8))
    assert scatter(explorer).selection.tolist() == wanted.tolist()


def test_a_globe_has_its_unrolled_map_beside_it_and_both_are_linked(embedded):
    ds = embedded(axes=3)
    p = np.full(32, 0.5)
    p[9] = 0.01
    explorer = explore(ds.assign(novelty_p=("sample", p)))
    globe, plane = explorer._maps
    solid, rings = globe.widget.data[1:3]
    assert len(solid.x) == 31
    assert (rings.marker.symbol, len(rings.x)) == ("circle-open", 1)
    assert np.allclose(np.array([rings.x, rings.y, rings.z])[:, 0], ds["projection"].data[9])
    globe._clicked(1, type("At", (), {"point_inds": [0]}))
    assert explorer.face == str(ds["sample"].to_numpy()[9])
    assert sorted(plane.widget.selection) == [31, 32]
    lasso(explorer, [0, 1])
    assert len(globe.widget.data[3].x) == 2
    toggles(explorer)["real"].value = False
    assert len(globe.widget.data[1].x) + len(globe.widget.data[2].x) == 16


def test_the_views_follow_the_page_from_light_to_dark_and_back(ds):
    explorer = explore(ds)
    histogram = explorer._views[0].widget
    for dark, paper in ((True, DARK), (False, LIGHT)):
        explorer._paper.dark = dark
        assert to_hex(scatter(explorer).background_color) == paper
        assert to_hex(scatter(explorer).tooltip_color) == paper
        assert histogram.layout.paper_bgcolor == paper
        assert histogram.layout.font.color == (LIGHT if dark else DARK)


def test_a_map_that_is_narrower_than_high_is_seen_from_farther_away(ds):
    explorer = explore(ds, height=500)
    explorer._paper.width = 800
    assert scatter(explorer).camera_distance == 1
    explorer._paper.width = 294
    assert scatter(explorer).camera_distance == pytest.approx(2)


def test_how_far_the_map_can_be_trusted_stands_beside_it(embedded):
    told = caption(explore(embedded()))
    assert "never evidence" in told
    assert "trustworthiness 0.912" in told
    assert "seed overlap 0.500" in told


def test_names_of_users_are_escaped_where_they_become_markup(ds):
    method = ds["method"].to_numpy().copy()
    method[0] = "<img src=x onerror=alert(1)>"
    explorer = explore(ds.assign(method=("sample", method)))
    assert "<img" not in explorer._views[-1].widget.value


def test_an_unknown_variable_is_refused_with_those_there_are(ds):
    with pytest.raises(InvalidEmbeddings, match=r"'nonsense'.*family.*score"):
        explore(ds, colour="nonsense")


def test_what_cannot_be_asked_is_refused_at_once(ds):
    with pytest.raises(InvalidEmbeddings, match="k must be at least 1"):
        explore(ds, k=0)
    with pytest.raises(InvalidEmbeddings, match="no crop to show"):
        explore(ds.isel(sample=[]))
    with pytest.raises(InvalidEmbeddings, match="projection"):
        explore(ds.drop_vars("projection"))
    with pytest.raises(InvalidEmbeddings, match=r"length 32.*length 31"):
        explore(ds, ds.isel(feature=slice(0, 31)))


def test_without_the_widget_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "jscatter", None)
    with pytest.raises(MissingDependency, match=r"gendkit\[notebook\]"):
        explore(fake_demo_result(0, samples=20).sphere)


@pytest.mark.slow
def test_a_hundred_thousand_points_are_one_array_and_nothing_is_made_of_each_again(ds, monkeypatch):
    many = fake_demo_result(0, samples=100_000).sphere
    explorer = explore(many)
    points = scatter(explorer).points
    assert len(points) == 100_000
    assert np.isfinite(points).all()
    made = []
    monkeypatch.setattr(explorer, "_card", made.append)
    lasso(explorer, range(50_000))
    assert explorer._gallery.count == 50_000
    assert made == []
    assert explorer.selection.sizes["sample"] == 50_000
