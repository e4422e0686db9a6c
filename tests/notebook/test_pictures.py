import io

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from gendkit.errors import InvalidEmbeddings
from gendkit.notebook.pictures import plot
from gendkit.testing.demo_result import fake_demo_result


@pytest.fixture
def ds():
    return fake_demo_result(0, samples=150).sphere


def legend_of(figure):
    return [text.get_text() for text in figure.axes[0].get_legend().get_texts()]


def test_every_sample_is_drawn_once(ds):
    figure = plot(ds)
    drawn = np.concatenate([np.asarray(c.get_offsets()) for c in figure.axes[0].collections])
    expected = ds["projection"].to_numpy()
    assert np.array_equal(drawn[np.lexsort(drawn.T)], expected[np.lexsort(expected.T)])


def test_the_legend_names_real_first_and_every_method(ds):
    names = legend_of(plot(ds))
    assert names[0] == "real"
    assert set(names[1:]) == set(ds["method"].to_numpy()) - {""}


def test_a_quantity_gets_a_colour_bar_and_unknown_values_stay_grey(ds):
    score = ds["score"].to_numpy().copy()
    score[:7] = np.nan
    figure = plot(ds.assign(score=("sample", score)), colour="score")
    ax, bar = figure.axes
    assert bar.get_ylabel() == "score"
    assert [len(c.get_offsets()) for c in ax.collections] == [7, 143]
    assert ax.get_legend() is None


def test_hollow_points_are_explained_and_only_where_there_are_some(ds):
    assert plot(ds).axes[0].get_xlabel() == ""
    novel = ds.assign(novelty_p=("sample", np.linspace(0, 1, 150)))
    assert plot(novel).axes[0].get_xlabel() == "hollow points are novel, p ≤ .05"


def test_axes_may_be_given(ds):
    mine = Figure()
    ax = mine.add_subplot(1, 2, 2)
    assert plot(ds, colour="label", ax=ax) is mine
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["real", "fake"]


def test_a_notebook_shows_the_figure_without_pyplot(ds):
    data, size = plot(ds)._repr_png_()
    image = Image.open(io.BytesIO(data))
    assert image.size == (2 * size["width"], 2 * size["height"])
    assert len(image.getcolors(maxcolors=1 << 24)) > 50


def test_nothing_is_left_behind_in_the_process(ds):
    before = dict(mpl.rcParams)
    plot(ds)
    assert dict(mpl.rcParams) == before


def test_a_variable_that_is_not_there_is_refused_with_those_that_are(ds):
    with pytest.raises(InvalidEmbeddings, match=r"'colour'.*family.*target_identity"):
        plot(ds, colour="colour")


def test_embeddings_without_a_projection_are_refused(ds):
    with pytest.raises(InvalidEmbeddings, match="projection"):
        plot(ds.drop_vars("projection"))
