"""What is declared of each benchmark: its name, licence, where access is given, and its layout.

No more than facts about the datasets; nothing of them is shipped.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Benchmark:
    """A dataset as its owners give it out.

    Attributes
    ----------
    name
        By which users ask for it, and which its clips bear.
    summary, licence, homepage
        As in the spec; the licence as the owners state it.
    year
        In which it was released.
    layout
        What is expected below the root, for the error when there is nothing.
    """

    name: str
    summary: str
    licence: str
    homepage: str
    year: int
    layout: str


FACEFORENSICS = Benchmark(
    name="faceforensics",
    summary="FaceForensics++ with DeepFakeDetection and FaceShifter, one compression at a time",
    licence="FaceForensics Terms of Use",
    homepage="https://github.com/ondyari/FaceForensics",
    year=2019,
    layout=(
        "original_sequences/youtube/COMPRESSION/videos/TARGET.mp4 and "
        "manipulated_sequences/METHOD/COMPRESSION/videos/TARGET_SOURCE.mp4"
    ),
)
CELEB_DF = Benchmark(
    name="celeb-df",
    summary="Celeb-DF v2, with the owners' list of testing videos as the final split",
    licence="Terms to Use Celeb-DF",
    homepage="https://github.com/yuezunli/celeb-deepfakeforensics",
    year=2019,
    layout=(
        "Celeb-real/idT_NNNN.mp4, YouTube-real/NNNNN.mp4, Celeb-synthesis/idT_idD_NNNN.mp4 and "
        "List_of_testing_videos.txt"
    ),
)
