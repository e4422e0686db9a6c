"""Years of generators, and that clips bear them."""

from __future__ import annotations

import pytest

from gendkit_benchmarks.generators import YEARS, generator_year


@pytest.mark.parametrize(
    ("method", "year"),
    [
        ("Deepfakes", 2017), ("NeuralTextures", 2019), ("video_retalking", 2022),
        ("VideoRetalking", 2022), ("wav2lip", 2020), ("LivePortrait", 2024), ("FaceSwap", None),
        ("unknown", None), ("", None),
    ],
)  # fmt: skip
def test_a_generator_is_known_by_its_name_however_it_is_written(method, year):
    assert generator_year(method) == year


def test_each_year_has_a_source_and_two_spellings_agree():
    assert all(2014 < year < 2026 and source for year, source in YEARS.values())
    by_source = {}
    for year, source in YEARS.values():
        assert by_source.setdefault(source, year) == year


def test_clips_of_the_other_readers_bear_the_year_of_their_generator(tree, clips):
    real, fake = "original_sequences/youtube", "manipulated_sequences"
    root = tree(
        f"{real}/c23/videos/000.mp4",
        *(f"{fake}/{m}/c23/videos/000_003.mp4" for m in ("Deepfakes", "FaceShifter", "FaceSwap")),
    )
    found = clips("faceforensics", root)
    years = {video.split("/")[1]: clip.generator_year for video, clip in found.items()}
    assert years == {"youtube": None, "Deepfakes": 2017, "FaceShifter": 2019, "FaceSwap": None}
    assert found["c23/FaceShifter/000_003"].year == 2020
