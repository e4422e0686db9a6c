from itertools import combinations

import pytest

from gendkit.pages import palette


def test_contrast_of_black_on_white_is_21():
    assert palette.contrast("#000000", "#ffffff") == pytest.approx(21)
    assert palette.contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)


@pytest.mark.parametrize("paper", [palette.LIGHT, palette.DARK])
def test_every_colour_is_seen_on_light_and_on_dark(paper):
    colours = {*palette.SERIES, palette.REAL, palette.FAKE, palette.PROBE, palette.TUNED}
    for colour in colours:
        assert palette.contrast(colour, paper) >= 3, colour


def test_sixty_four_categories_look_different():
    names = [f"family {i}" for i in range(64)]
    drawn = {(look.colour, look.marker) for look in palette.looks(names)}
    assert len(drawn) == 64


def test_the_first_eight_categories_differ_in_shape_and_in_colour():
    given = palette.looks(["real", *"abcdefgh"])
    for one, other in combinations(given, 2):
        assert one.marker != other.marker
        assert one.colour != other.colour


def test_real_and_fake_look_the_same_wherever_they_stand():
    assert palette.looks(["a", "real", "fake"])[1:] == palette.looks(["real", "fake"])


# What red-green blindness leaves of a colour: Machado et al. 2009, severity 1, on linear RGB.
DEUTAN = (
    (0.367322, 0.860646, -0.227968),
    (0.280085, 0.672501, 0.047413),
    (-0.01182, 0.04294, 0.968881),
)
PROTAN = (
    (0.152286, 1.052583, -0.204868),
    (0.114503, 0.786281, 0.099216),
    (-0.003882, -0.048116, 1.051998),
)


@pytest.mark.parametrize("matrix", [DEUTAN, PROTAN])
@pytest.mark.parametrize(
    ("one", "other"), [(palette.REAL, palette.FAKE), (palette.PROBE, palette.TUNED)]
)
def test_opposites_stay_apart_for_the_colour_blind(matrix, one, other):
    def seen(colour):
        rgb = [(int(colour[i : i + 2], 16) / 255) ** 2.2 for i in (1, 3, 5)]
        linear = [sum(w * c for w, c in zip(row, rgb, strict=True)) for row in matrix]
        return [max(0.0, c) ** (1 / 2.2) for c in linear]

    apart = sum((a - b) ** 2 for a, b in zip(seen(one), seen(other), strict=True)) ** 0.5
    assert apart > 0.15
