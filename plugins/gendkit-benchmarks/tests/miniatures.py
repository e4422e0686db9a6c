"""A miniature of each dataset of the table, in the owners' layout, as far as that is known.

A miniature maps a path to the text of a file of the owners, or to None for a video or picture.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import av
import numpy as np
from PIL import Image

Mini = dict[str, str | None]


def built(folder: Path, mini: Mapping[str, str | None], media: Callable[[Path], None]) -> Path:
    """Write a miniature below a folder, and return the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in mini.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if text is None:
            media(path)
        else:
            path.write_text(text, "utf-8")
    return folder


def videos(folder: Path, names: Iterable[str]) -> None:
    """Write videos of two frames."""
    for seed, name in enumerate(names):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        noise = np.random.default_rng(seed).integers(0, 256, (2, 48, 64, 3), dtype=np.uint8)
        with av.open(str(path), "w") as container:
            stream = container.add_stream("mpeg4", rate=25)
            stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
            for image in noise:
                container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
            container.mux(stream.encode())


def media(path: Path) -> None:
    """Write a video of two frames, or a picture."""
    if path.suffix == ".mp4":
        videos(path.parent, [path.name])
        return
    noise = np.random.default_rng(0).integers(0, 256, (48, 40, 3), dtype=np.uint8)
    Image.fromarray(noise).save(path)


def _media(*names: str) -> Mini:
    return dict.fromkeys(names)


def _lines(*lines: str) -> str:
    return "".join(f"{line}\n" for line in lines)


def uadfv() -> Mini:
    return _media(
        "real/0000.mp4", "real/0001.mp4", "fake/0000_fake.mp4", "fake/0001_fake.mp4"
    )  # fmt: skip


def dfdm() -> Mini:
    tags = ("1original", "2lightweight", "3iae", "4dfaker", "5dfl-h128")
    return _media(
        "Celeb-real/id28_0008.mp4",
        "Celeb-real/id20_0003.mp4",
        *(f"DFDM_crf23/any/id28_id20_0008_{tag}.mp4" for tag in tags),
        "DFDM_crf0/id20_id28_0003_4dfaker.mp4",
    )


def ffiw() -> Mini:
    names = ("train/train_00000000", "train/train_00000001", "val/val_00000000")
    return _media(*(f"{k}/{n}.mp4" for k in ("source", "target", "target_mask") for n in names))


ANN, BOB, EVE = "0a1b2c3d4e5f60718293", "ffffffffffffffffffff", "123456"


def kodf() -> Mini:
    """Of AI Hub, with its metadata: Ann and Bob are for training, Eve for validation."""
    real = "영상ID,UUID,인물성별"
    fake = "영상ID,타겟영상,타겟UUID,소스UUID,변조모델"
    train, valid = "1.Training", "2.Validation"
    return {
        **_media(
            f"{train}/원천데이터/train_원본/원본1/{ANN}/{ANN}_001.mp4",
            f"{train}/원천데이터/train_원본/원본1/{BOB}/{BOB}_002.mp4",
            f"{train}/원천데이터/train_변조/dfl1/{ANN}/{ANN}_{BOB}_1_0001.mp4",
            f"{train}/원천데이터/train_변조/audio_driven2/{BOB}/{BOB}_{BOB}_5_0002.mp4",
            f"{valid}/원천데이터/validate_원본/{EVE}/{EVE}_001.mp4",
            f"{valid}/원천데이터/validate_변조/fo1/{EVE}/{EVE}_{EVE}_4_0003.mp4",
        ),
        f"{train}/라벨링데이터/train_meta_data/원본영상_training_메타데이터.csv": _lines(
            real, f"{ANN}_001.mp4,{ANN},여", f"{BOB}_002.mp4,{BOB},남"
        ),
        f"{train}/라벨링데이터/train_meta_data/변조영상_training_메타데이터.csv": _lines(
            fake,
            f"{ANN}_{BOB}_1_0001.mp4,{ANN}_001.mp4,{ANN},{BOB},dfl",
            f"{BOB}_{BOB}_5_0002.mp4,{BOB}_002.mp4,{BOB},,audio-driven",
        ),
        f"{valid}/라벨링데이터/원본영상_validation_메타데이터.csv": _lines(
            real, f"{EVE}_001.mp4,{EVE},여"
        ),
        f"{valid}/라벨링데이터/변조영상_validation_메타데이터.csv": _lines(
            fake, f"{EVE}_{EVE}_4_0003.mp4,{EVE}_001.mp4,{EVE},{EVE},fo"
        ),
    }


def polyglotfake() -> Mini:
    fakes = [
        {
            "filename": f"{name}.mp4", "raw_lang": "es", "target_lang": "ru", "duration": "9",
            "tts_technique": "Xtts", "sync_tech": sync,
        }
        for name, sync in (("es_1_to_ru_Xtts", "Wav2Lip"), ("es_2_to_ru_Bark", "video_retalking"))
    ]  # fmt: skip
    reals = [{"filename": f"es_{n}.mp4", "lang": "es", "duration": "9"} for n in (1, 2)]
    return {
        **_media(
            "real/es/es_1.mp4", "real/es/es_2.mp4", "fake/to_ru/es_1_to_ru_Xtts.mp4",
            "fake/to_ru/es_2_to_ru_Bark.mp4",
        ),
        "json_file/fake_Json_file/all_fake_video.json": json.dumps({"video": fakes}),
        "json_file/real_json_file/all_real_video.json": json.dumps({"videos": reals}),
    }  # fmt: skip


def idforge() -> Mini:
    """The two people are in all lists, as they are in the owners'."""
    names = {
        "train": (
            "pristine/id01/id01_00/id01_scene_0001.mp4",
            "lip_tts_textgen/id01/id01_00/a.mp4",
        ),
        "val": ("pristine/id02/id02_06/id02_06-193.mp4", "tts_textgen/id02/id02_06/b.mp3.mp4"),
        "test": (
            "pristine/id02/id02_07/id02_scene_0083_0.mp4",
            "pristine/id01/id01_03/id01_scene_0002.mp4",
            "face_tts/id02/id02_07/id02_scene_0083_0_simswap.mp4",
        ),
    }
    lists = {f"main/{split}.csv": _lines(*files) for split, files in names.items()}
    return {**_media(*(f"main/{n}" for files in names.values() for n in files)), **lists}


_SPLIT = _lines("identity,split", "0,train", "1,train", "10,test", "11,test")
_REAL = ("0-4095", "1-4931", "10-4100", "11-4897")


def deepspeak_v1_1() -> Mini:
    return {
        **_media(
            *(f"videos/{name}.mp4" for name in _REAL),
            "videos/facefusion--0-1--4095-4931--0.mp4",
            "videos/wav2lip--11-11--4897-4897--0.mp4",
        ),
        "annotations-real.csv": _lines("video-file,identity", *(f"{n}.mp4,0" for n in _REAL)),
        "annotations-fake.csv": _lines(
            "video-file,kind,engine,identity-source,identity-target,recording-source,"
            "recording-target",
            "facefusion--0-1--4095-4931--0.mp4,face-swap,facefusion,0,1,4095,4931",
            "wav2lip--11-11--4897-4897--0.mp4,lip-sync,wav2lip,11,11,4897,4897",
        ),
        "annotations-split-def.csv": _SPLIT,
    }


def deepspeak_v2() -> Mini:
    return {
        **_media(
            *(f"part-0/{name}.mp4" for name in _REAL),
            "part-0/facefusion-4095-4931-real.mp4",
            "part-1/diff2lip-4100-4100-playht.mp4",
            "part-1/memo-4897-4897-elevenlabs.mp4",
        ),
        "annotations-fake.csv": _lines(
            "video-file,kind,engine,identity-source,identity-target,recording-source,"
            "recording-target,audio-config",
            "facefusion-4095-4931-real.mp4,face-swap,facefusion,0,1,4095,4931,real",
            "diff2lip-4100-4100-playht.mp4,lip-sync,diff2lip,10,10,4100,4100,playht",
            "memo-4897-4897-elevenlabs.mp4,avatar,memo,11,11,4897,4897,elevenlabs",
        ),
        "annotations-split-def.csv": _SPLIT,
    }


def df40() -> Mini:
    real, pngs = "FaceForensics++/original_sequences/youtube/c23/frames", ("2.png", "10.png")
    folders = (
        f"{real}/000", f"{real}/003", f"{real}/010", "Celeb-DF-v2/Celeb-real/frames/id0_0000",
        "Celeb-DF-v2/YouTube-real/frames/00001", "DF40/simswap/ff/frames/000_003",
        "DF40/simswap/cdf/frames/id0_id1_0000", "DF40/sadtalker/ff/frames/010",
        "DF40/tpsm/cdf/frames/id0_id1_0000", "DF40/ddim/ff/000", "DF40/heygen/real/a",
    )  # fmt: skip
    label = {
        "simswap_Real": {"train": {"000": f"x/{real}/000"}, "test": {"010": f"x/{real}/010"}},
        "simswap_Fake": {"train": {"000_003": "x/DF40/simswap/ff/frames/000_003"}},
    }
    content = {
        name: {
            split: {
                video: {"label": name, "frames": [f"{folder}/{png}" for png in pngs]}
                for video, folder in videos.items()
            }
            for split, videos in splits.items()
        }
        for name, splits in label.items()
    }
    return {
        **_media(
            *(f"{folder}/{png}" for folder in folders for png in pngs),
            "DF40/MidJourney/fake/a.png",
            "DF40/MidJourney/real/b.png",
            "DF40/stargan/fake/c.png",
            "DF40/heygen/fake/a.mp4",
        ),
        "dataset_json/simswap_ff.json": json.dumps({"simswap_ff": content}),
    }


def gend_tree() -> Mini:
    """As in GenD's repository: two of FaceForensics++, two of Celeb-DF, one of another."""
    videos = {
        "train": ("FF/real/000", "FF/real/003", "FF/DF/000_003"),
        "final": (
            "FF/real/010", "FF/NT/010_011", "CDFv2/Celeb-real/id0_0000",
            "CDFv2/Celeb-synthesis/id0_id1_0000", "KoDF/fake-dfl/a", "KoDF/real/b",
        ),
    }  # fmt: skip
    lists: Mini = {}
    frames: list[str] = []
    for split, of in videos.items():
        for video in of:
            names = [f"datasets/{video}/{number}.png" for number in ("000", "012")]
            lists[f"lists/{split}/{video.replace('/', '-')}.txt"] = _lines(*names)
            frames += names
    return {**_media(*frames), **lists}


TABLE: Mapping[str, Callable[[], Mini]] = {
    "uadfv": uadfv,
    "dfdm": dfdm,
    "ffiw": ffiw,
    "kodf": kodf,
    "polyglotfake": polyglotfake,
    "idforge": idforge,
    "deepspeak-v1-1": deepspeak_v1_1,
    "deepspeak-v2": deepspeak_v2,
    "df40": df40,
}
