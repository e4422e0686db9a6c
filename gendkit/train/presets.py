"""The recipes that are there by name, as fields: the paper's, those to compare with, small ones."""

from __future__ import annotations

from types import MappingProxyType
from typing import Any

_METHOD: dict[str, Any] = {
    "learning_rate": 3e-4,
    "min_learning_rate": 1e-5,
    "batch_size": 128,
    "epochs": 30,
    "warmup_epochs": 1,
    "cycle_epochs": 10,
    "augmentation": "gend",
    "dtype": "bfloat16",
    "selection": {
        "data": "validation sets of the families of DeepSpeak, Celeb-DF++ and FFIW",
        "metric": "macro-ap",
        "datasets": ("deepspeak-v1-1", "deepspeak-v2", "celeb-df", "celeb-df-pp", "ffiw"),
    },
}
_CLIP: dict[str, Any] = {
    **_METHOD,
    "backbone": "clip-vitl14",
    "losses": {"cross-entropy": 1.0, "uniformity": 0.5, "alignment": 0.1},
}

_SMALL_DATA: dict[str, Any] = {
    "name": "small-data",
    "backbone": "dinov2-vits14",
    "image_size": 126,
    "losses": {"cross-entropy": 1.0},
    "head_init": "probe",
    "probe_c": 100,
    "learning_rate": 4e-2,
    "head_learning_rate": 3e-3,
    "batch_size": 32,
    "batches": "paired",
    "epochs": 7,
    "warmup_epochs": 1,
    "cycle_epochs": 6,
    "augmentation": "light",
    "dtype": "bfloat16",
    "selection": {"data": "development identities and families", "metric": "auroc"},
}

PRESETS: MappingProxyType[str, dict[str, Any]] = MappingProxyType(
    {
        "gend-clip": {**_CLIP, "name": "gend-clip"},
        "gend-pe": {
            **_METHOD,
            "name": "gend-pe",
            "backbone": "pe-core-l14",
            "losses": {"cross-entropy": 1.0},
        },
        "gend-dinov3": {
            **_METHOD,
            "name": "gend-dinov3",
            "backbone": "dinov3-vitl16",
            "losses": {"cross-entropy": 1.0, "uniformity": 0.5, "alignment": 0.5},
        },
        "probe": {
            **_METHOD,
            "name": "probe",
            "backbone": "clip-vitl14",
            "tuned_norms": 0,
            "losses": {"cross-entropy": 1.0},
        },
        "no-augmentation": {**_CLIP, "name": "no-augmentation", "augmentation": "none"},
        # The two norms of each block in the last quarter of 24, and the one after the blocks.
        "last-norms": {**_CLIP, "name": "last-norms", "tuned_norms": 13},
        "bitfit": {**_CLIP, "name": "bitfit", "tuning": "bitfit"},
        "lora": {**_CLIP, "name": "lora", "tuning": "lora", "lora": {"rank": 8, "alpha": 16.0}},
        # All weights move, so a thirtieth of the rate: our choice, on which nothing was measured.
        "full": {
            **_CLIP,
            "name": "full",
            "tuning": "full",
            "learning_rate": 1e-5,
            "head_learning_rate": 3e-4,
            "min_learning_rate": 1e-6,
        },
        "small-data": _SMALL_DATA,
        # Chosen on development people and families: larger input, longer training, and codecs in
        # the augmentation, so that compressed reals are less often called fake.
        "small-data-224": {
            **_SMALL_DATA,
            "name": "small-data-224",
            "image_size": 224,
            "epochs": 14,
            "cycle_epochs": 13,
            "augmentation": "light, jpeg:40..100@0.2, h264:20..36@0.2",
        },
    }
)
