"""The rules of gendkit's conformance kit, each a test, on a miniature of each benchmark."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import miniatures
import numpy as np
from miniatures import media, videos
from PIL import Image

from gendkit.testing import Given, plugin_checks


def faceforensics(folder: Path) -> Given:
    real, fake = (
        "original_sequences/{}/c23/videos/{}.mp4",
        "manipulated_sequences/{}/c23/videos/{}.mp4",
    )
    pairs = {"train": ("000", "003"), "val": ("010", "011"), "test": ("020", "021")}
    names = [real.format("actors", "01__kitchen_still")]
    names += [fake.format("DeepFakeDetection", "01_02__kitchen_still__ABCD1234")]
    for split, (a, b) in pairs.items():
        names += [real.format("youtube", one) for one in (a, b)]
        names += [fake.format(m, f"{a}_{b}") for m in ("Deepfakes", "NeuralTextures")]
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{split}.json").write_text(json.dumps([[a, b]]))
    videos(folder, names)
    return Given(root=folder)


def celeb_df(folder: Path) -> Given:
    names = ["Celeb-real/id0_0000.mp4", "Celeb-real/id1_0000.mp4", "YouTube-real/00000.mp4"]
    names += ["Celeb-synthesis/id0_id1_0000.mp4", "Celeb-synthesis/id1_id0_0000.mp4"]
    videos(folder, names)
    (folder / "List_of_testing_videos.txt").write_text(f"1 {names[0]}\n0 {names[3]}\n")
    return Given(root=folder)


def celeb_df_pp(folder: Path) -> Given:
    names = ["Celeb-real/id0_0000.mp4", "Celeb-real/id1_0000.mp4"]
    names += [f"Celeb-synthesis/FaceSwap/{m}/id0_id1_0000.mp4" for m in ("Celeb-DF", "GHOST")]
    videos(folder, [*names, "Celeb-synthesis/TalkingFace/IP_LAP/a.mp4"])
    (folder / "List_of_testing_videos.txt").write_text(f"1 {names[0]}\n0 {names[3]}\n")
    return Given(root=folder)


def dfdc(folder: Path) -> Given:
    rows = {}
    for real, fake in (("aaaaaaaaaa", "bbbbbbbbbb"), ("cccccccccc", "dddddddddd")):
        rows[f"{real}.mp4"] = {"label": "REAL", "split": "train"}
        rows[f"{fake}.mp4"] = {"label": "FAKE", "split": "train", "original": f"{real}.mp4"}
    videos(folder / "dfdc_train_part_0", rows)
    videos(folder / "test", ["eeeeeeeeee.mp4"])
    (folder / "dfdc_train_part_0/metadata.json").write_text(json.dumps(rows))
    (folder / "test/labels.csv").write_text("filename,label\neeeeeeeeee.mp4,1\n")
    return Given(root=folder)


def fakeavceleb(folder: Path) -> Given:
    lines = ["source,target1,target2,method,category,type,race,gender,path,"]
    for kind, method, name in (
        ("RealVideo-RealAudio", "real", "00109"),
        ("FakeVideo-RealAudio", "faceswap", "00109_id2_AbC_faceswap"),
        ("FakeVideo-FakeAudio", "wav2lip", "00109_0_id2_wavtolip"),
    ):
        for person in ("id1", "id3"):
            place = f"{kind}/Asian (East)/men/{person}"
            videos(folder, [f"{place}/{name}.mp4"])
            row = [person, "id2", "-", method, "A", kind, "Asian (East)", "men", f"{name}.mp4"]
            lines.append(",".join([*row, f"FakeAVCeleb/{place}"]))
    (folder / "meta_data.csv").write_text("\n".join(lines))
    return Given(root=folder)


def deepfakebench(folder: Path) -> Given:
    content: dict[str, Any] = {}
    for split, (a, b) in {"train": ("000", "003"), "test": ("010", "011")}.items():
        for label, name in (("FF-real", a), ("FF-real", b), ("FF-DF", f"{a}_{b}")):
            place = folder / "rgb" / label / name
            place.mkdir(parents=True)
            noise = np.random.default_rng(int(a)).integers(0, 256, (48, 40, 3), dtype=np.uint8)
            Image.fromarray(noise).save(place / "000.png")
            row = {"label": label, "frames": [f"rgb/{label}/{name}/000.png"]}
            content.setdefault(label, {}).setdefault(split, {"c23": {}})["c23"][name] = row
    (folder / "FF-DF.json").write_text(json.dumps({"FF-DF": content}))
    return Given(root=folder)


def of_the_table(name: str) -> Callable[[Path], Given]:
    return lambda folder: Given(
        root=miniatures.built(folder, miniatures.TABLE[name](), media),
    )


def gend_tree(folder: Path) -> Given:
    root = miniatures.built(folder, miniatures.gend_tree(), media)
    lists = {split: str(root / "lists" / split) for split in ("train", "final")}
    return Given(root=root, options=lists)


def described(folder: Path) -> Given:
    root = miniatures.built(folder / "set", miniatures.uadfv(), media)
    layout = folder / "mine.yaml"
    layout.write_text(
        "mine:\n  licence: mine\n  groups:\n"
        "    real: {paths: ['real/{video}'], label: real, id: 'real/{video}'}\n"
        "    fake: {paths: ['fake/{video}_fake'], label: fake, pair: 'real/{video}'}\n"
    )
    return Given(root=root, options={"layout": str(layout)})


test_conformance = plugin_checks(
    "gendkit-benchmarks",
    given={
        "faceforensics": faceforensics,
        "celeb-df": celeb_df,
        "celeb-df-pp": celeb_df_pp,
        "deepfakebench": deepfakebench,
        "dfdc": dfdc,
        "fakeavceleb": fakeavceleb,
        "gend-tree": gend_tree,
        "benchmarks": described,
        **{name: of_the_table(name) for name in miniatures.TABLE},
    },
)
