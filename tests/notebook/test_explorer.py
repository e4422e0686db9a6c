import sys

import numpy as np
import pytest
from matplotlib.colors import to_hex

from gendkit.errors import InvalidEmbeddings, MissingDependency
from gendkit.notebook.explorer import explore
from gendkit.pages import maps
from gendkit.testing.demo_result import fake_demo_result

# jupyter-scatter 1.0 itself uses what pandas 3.1 deprecates.
pytestmark = pytest.mark.filterwarnings("ignore:The inplace keyword")


@pytest.fixture
def ds():
    pytest.importorskip("jscatter", reason="jupyter-scatter is not installed")
    return fake_demo_result(0, samples=150).sphere


def test_every_sample_is_a_point_at_its_place(ds):
    points = explore(ds).widget.points[:, :2]
    places = ds["projection"].to_numpy()
    assert points.shape == places.shape
    # One scale for both axes: the widget's square is the map's, up to a shift and a factor.
    factor = np.ptp(points, axis=0) / np.ptp(places, axis=0)
    assert factor[0] == pytest.approx(factor[1], rel=1e-4)
    assert np.abs(points).max() < 1


def test_a_category_has_the_colour_it_has_in_pictures(ds):
    scatter = explore(ds)
    shown = {
        name: to_hex(colour)
        for name, colour, _ in scatter.widget.legend_encoding["color"]["values"]
    }
    assert shown == {look.name: look.colour for look in maps.colouring(ds, "family").looks}
    codes = scatter.widget.points[:, 2].astype(int)
    names = list(shown)
    assert [names[c] for c in codes] == maps.categories(ds, "family")
    assert scatter.widget.legend


def test_points_are_not_drawn_with_the_first_opacity_of_a_table(ds):
    """What jupyter-scatter 1.0 does with a fixed opacity, and then nothing is to be seen."""
    widget = explore(ds).widget
    assert widget.opacity_by == "density" or np.min(widget.opacity) > 0.5


def test_hovering_tells_method_score_and_video(ds):
    widget = explore(ds, colour="label").widget
    assert widget.tooltip_enable
    assert list(widget.tooltip_properties) == ["label", "method", "score", "video"]


def test_a_selection_names_samples(ds):
    scatter = explore(ds)
    wanted = list(ds["sample"].to_numpy()[[3, 77]])
    scatter.selection(wanted)
    assert list(scatter.selection()) == wanted
    assert list(ds.sel(sample=list(scatter.selection()))["video"].to_numpy()) == list(
        ds["video"].to_numpy()[[3, 77]]
    )


def test_points_without_a_value_are_hidden_and_not_drawn_as_zero(ds):
    score = ds["score"].to_numpy().copy()
    score[[0, 5]] = np.nan
    scatter = explore(ds.assign(score=("sample", score)), colour="score")
    assert set(range(150)) - set(scatter.widget.filter) == {0, 5}
    whole = explore(ds, colour="score")
    assert whole.widget.filter is None


def test_an_unknown_variable_is_refused_with_those_there_are(ds):
    with pytest.raises(InvalidEmbeddings, match=r"'nonsense'.*family.*score"):
        explore(ds, colour="nonsense")


def test_without_the_widget_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "jscatter", None)
    with pytest.raises(MissingDependency, match=r"gendkit\[notebook\]"):
        explore(fake_demo_result(0, samples=20).sphere)


def test_twenty_thousand_points_are_one_array(ds):
    many = fake_demo_result(0, samples=20_000).sphere
    points = explore(many).widget.points
    assert len(points) == 20_000
    assert np.isfinite(points).all()
