"""The extractor on drawn faces, whose landmarks are known."""

from __future__ import annotations

import numpy as np
import pytest
from gendkit.data.drawn import draw_face
from gendkit.data.extractors import build_extractor
from gendkit.data.faces import largest_face
from gendkit.errors import PluginError


def test_landmarks_are_where_they_were_drawn_in_most_of_twenty_faces() -> None:
    extractor, found = build_extractor("my-part"), 0
    for identity in range(20):
        drawn = draw_face(identity=identity, clip=0)
        face = largest_face(extractor(drawn.image))
        if face is not None:
            eyes = np.linalg.norm(drawn.landmarks[1] - drawn.landmarks[0])
            apart = np.linalg.norm(drawn.landmarks - face.landmarks, axis=1)
            found += bool((apart < 0.4 * eyes).all())
    assert found >= 15  # a network finds them all


def test_a_wall_of_skin_colour_is_no_face() -> None:
    wall = np.full((48, 64, 3), (222, 172, 138), np.uint8)
    assert build_extractor("my-part")(wall) == []


def test_an_impossible_threshold_is_refused() -> None:
    with pytest.raises(PluginError, match="a threshold is 0 to 1, got 2"):
        build_extractor("my-part", threshold=2)
