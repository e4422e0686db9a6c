import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from gendkit.errors import InvalidEmbeddings
from gendkit.report import maps
from gendkit.testing.demo_result import fake_demo_result


@pytest.fixture
def ds():
    return fake_demo_result(0, samples=120).sphere


def test_two_axes_are_the_map_whatever_their_order(ds):
    assert np.array_equal(maps.places(ds.transpose(..., "sample")), ds["projection"].to_numpy())


def test_three_axes_are_unrolled_with_equal_areas(ds):
    rng = np.random.default_rng(0)
    points = rng.normal(size=(20_000, 3))
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    ball = ds.isel(sample=np.zeros(20_000, int)).drop_vars("projection")
    places = maps.places(ball.assign(projection=(("sample", "axis"), points)))
    u, v = places[:, 0] / (2 * 2**0.5), places[:, 1] / 2**0.5
    radius = np.hypot(u, v)
    assert radius.max() <= 1 + 1e-9
    # Uniform on the sphere stays uniform in the ellipse: a quarter lies within half its axes.
    assert (radius < 0.5).mean() == pytest.approx(0.25, abs=0.012)
    pole = ball.isel(sample=[0]).assign(projection=(("sample", "axis"), [[0.0, 0.0, 1.0]]))
    assert maps.places(pole)[0] == pytest.approx([0, 2**0.5])


def test_a_map_without_projection_says_how_to_get_one(ds):
    with pytest.raises(InvalidEmbeddings, match=r"gendkit\.project"):
        maps.places(ds.drop_vars("projection"))


def test_a_projection_of_other_shape_is_refused(ds):
    with pytest.raises(InvalidEmbeddings, match="needs 2 or 3"):
        maps.places(
            ds.drop_vars("projection").assign(projection=(("sample", "axis"), np.ones((120, 4))))
        )
    with pytest.raises(InvalidEmbeddings, match="expected sample, axis"):
        maps.places(ds.drop_vars("projection").assign(projection=("sample", np.ones(120))))


def test_an_unknown_variable_lists_those_there_are(ds):
    with pytest.raises(InvalidEmbeddings, match=r"'nonsense'.*family.*method.*score"):
        maps.colouring(ds, "nonsense")
    with pytest.raises(InvalidEmbeddings, match="'embedding'"):
        maps.colouring(ds, "embedding")


def test_real_faces_are_named_where_method_and_family_are_empty(ds):
    for variable in ("method", "family"):
        meaning = maps.colouring(ds, variable)
        assert meaning.looks[0].name == "real"
        assert ((meaning.each == "real") == (ds["label"].to_numpy() == 0)).all()


def test_labels_are_words_and_unknown_is_one_of_them(ds):
    labels = ds["label"].to_numpy().copy()
    labels[0] = -1
    meaning = maps.colouring(ds.assign(label=("sample", labels)), "label")
    assert [look.name for look in meaning.looks] == ["real", "fake", "unknown"]
    assert meaning.each[0] == "unknown"


def test_other_empty_values_are_none(ds):
    assert set(maps.colouring(ds, "degradation").each) == {"none"}


def test_numbers_are_continuous(ds):
    meaning = maps.colouring(ds, "score")
    assert meaning.continuous
    assert np.array_equal(meaning.each, ds["score"].to_numpy())


def test_rare_categories_are_gathered_and_counted(ds):
    names = np.array([f"p{i % 30:02}" if i < 90 else "p00" for i in range(120)], dtype=object)
    meaning = maps.colouring(ds.assign(person=("sample", names)), "person")
    assert len(meaning.looks) == maps.MANY
    assert meaning.looks[-1].name == "11 others"
    assert (meaning.each == "p00").sum() == 33
    assert (meaning.each == "11 others").sum() == 33
    assert set(meaning.each) == {look.name for look in meaning.looks}


def novelty(values):
    return {"novelty_p": ("sample", np.resize(np.asarray(values, dtype=np.float32), 120))}


def test_faces_of_a_low_chance_are_novel_and_those_without_one_are_not(ds):
    assert not maps.novel(ds).any()
    chance = ds.assign(**novelty([0.04, 0.05, 0.06, np.nan]))
    assert maps.novel(chance)[:4].tolist() == [True, True, False, False]


@pytest.mark.parametrize("colour", ["family", "score"])
def test_novel_faces_are_hollow_and_lie_on_top_in_the_colour_of_their_kind(ds, colour):
    ax = Figure().add_subplot()
    chance = ds.assign(**novelty([0.01, 0.5]))
    maps.draw_map(ax, chance, colour=colour)
    hollow = [c for c in ax.collections if not len(c.get_facecolor())]
    solid = [c for c in ax.collections if len(c.get_facecolor())]
    assert sum(len(c.get_offsets()) for c in hollow) == 60
    assert sum(len(c.get_offsets()) for c in solid) == 60
    assert min(c.get_zorder() for c in hollow) > max(c.get_zorder() for c in solid)
    full = Figure().add_subplot()
    maps.draw_map(full, ds, colour=colour)
    shown = {
        tuple(place): to_hex(edge)
        for c in hollow
        for place, edge in zip(
            c.get_offsets().tolist(), np.resize(c.get_edgecolor(), (60, 4)), strict=False
        )
    }
    for c in full.collections:
        c.update_scalarmappable()
        faces = np.resize(c.get_facecolor(), (len(c.get_offsets()), 4))
        for place, face in zip(c.get_offsets().tolist(), faces, strict=True):
            assert shown.get(tuple(place), to_hex(face)) == to_hex(face)


def test_what_a_map_is_worth_is_told_in_a_line(ds):
    assert maps.told(ds) == "A map is for finding, never evidence."
    ds["projection"].attrs.update(
        method="umap-sphere", laid_out=5000, trustworthiness=0.91, placement_error=0.25
    )
    assert maps.told(ds) == (
        "A map is for finding, never evidence. umap-sphere of 5,000 crops, trustworthiness 0.910, "
        "placement error 0.250."
    )
