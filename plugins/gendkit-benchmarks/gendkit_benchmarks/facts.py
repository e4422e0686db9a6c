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
        In which it was released, if that is known.
    layout
        What is expected below the root, for the error when there is nothing.
    """

    name: str
    summary: str
    licence: str
    homepage: str
    year: int | None
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
DFDC = Benchmark(
    name="dfdc",
    summary="the Deepfake Detection Challenge, labels and originals by its metadata.json files",
    licence="agreement with the owners, accepted for the download",
    homepage="https://ai.meta.com/datasets/dfdc/",
    year=2020,
    layout="dfdc_train_part_N/metadata.json with its videos beside it, and test/labels.csv",
)
FAKEAVCELEB = Benchmark(
    name="fakeavceleb",
    summary="FakeAVCeleb by what is seen: real videos with a fake voice are left out by default",
    licence="FakeAVCeleb request form",
    homepage="https://sites.google.com/view/fakeavcelebdash-lab/",
    year=2021,
    layout=(
        "meta_data.csv and TYPE/RACE/GENDER/SOURCE/VIDEO.mp4, where a TYPE is RealVideo-RealAudio, "
        "RealVideo-FakeAudio, FakeVideo-RealAudio or FakeVideo-FakeAudio"
    ),
)
CELEB_DF_PP = Benchmark(
    name="celeb-df-pp",
    summary="Celeb-DF++, 22 methods; folders as documented, names of files verified=False",
    licence="Terms to Use Celeb-DF++",
    homepage="https://github.com/OUC-VAS/Celeb-DF-PP",
    year=2025,
    layout=(
        "Celeb-real, YouTube-real, Celeb-synthesis/KIND/METHOD/VIDEO.mp4, where a KIND is "
        "FaceSwap, FaceReenact or TalkingFace, and List_of_testing_videos.txt"
    ),
)
DEEPFAKEBENCH = Benchmark(
    name="deepfakebench",
    summary="frames and splits of several benchmarks, by the JSON files of DeepfakeBench",
    licence="that of each dataset's owners",
    homepage="https://github.com/SCLBD/DeepfakeBench",
    year=None,
    layout="DATASET.json as its preprocessing writes them, and the frames that they name",
)
GEND_TREE = Benchmark(
    name="gend-tree",
    summary="face crops as GenD's own preprocessing writes them, with its lists of files",
    licence="that of each dataset's owners",
    homepage="https://github.com/yermandy/GenD",
    year=None,
    layout="DATASET/METHOD/VIDEO/FRAME.png, at any depth, or below datasets",
)
