"""Tiny models of each architecture, with random weights, as `save_pretrained` writes them."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers as hf
from torch import nn

SIDE, PATCH, DIM, DEPTH = 32, 8, 32, 2
BLOCKS = {"hidden_size": DIM, "num_hidden_layers": DEPTH, "num_attention_heads": 2}
VISION = {**BLOCKS, "image_size": SIDE, "patch_size": PATCH}
MLP = {"intermediate_size": 64}
TOKENS = {"pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2}
TEXT = {**BLOCKS, **MLP, **TOKENS, "vocab_size": 50, "max_position_embeddings": 8}
NAFLEX = {**BLOCKS, **MLP, "patch_size": PATCH, "num_patches": (SIDE // PATCH) ** 2}
DINOV3 = {**VISION, **MLP, "num_register_tokens": 4}

MODELS: Mapping[str, Callable[[], Any]] = {
    "clip": lambda: hf.CLIPVisionModel(hf.CLIPVisionConfig(**VISION, **MLP)),
    "siglip": lambda: hf.SiglipVisionModel(hf.SiglipVisionConfig(**VISION, **MLP)),
    "naflex": lambda: hf.Siglip2VisionModel(hf.Siglip2VisionConfig(**NAFLEX)),
    "dinov2": lambda: hf.Dinov2Model(hf.Dinov2Config(**VISION)),
    "dinov2-swiglu": lambda: hf.Dinov2Model(hf.Dinov2Config(**VISION, use_swiglu_ffn=True)),
    "registers": lambda: hf.Dinov2WithRegistersModel(hf.Dinov2WithRegistersConfig(**VISION)),
    "dinov3": lambda: hf.DINOv3ViTModel(hf.DINOv3ViTConfig(**DINOV3)),
    "dinov3-gated": lambda: hf.DINOv3ViTModel(
        hf.DINOv3ViTConfig(**DINOV3, use_gated_mlp=True, hidden_act="silu")
    ),
}
"""A tower of each kind, alone."""

WHOLE: Mapping[str, tuple[str, str, Callable[[], Any]]] = {
    "clip-with-text": (
        "clip",
        "vision_model",
        lambda: hf.CLIPModel(hf.CLIPConfig(text_config=TEXT, vision_config={**VISION, **MLP})),
    ),
    "clip-with-projection": (
        "clip",
        "vision_model",
        lambda: hf.CLIPVisionModelWithProjection(hf.CLIPVisionConfig(**VISION, **MLP)),
    ),
    "siglip-with-text": (
        "siglip",
        "vision_model",
        lambda: hf.SiglipModel(hf.SiglipConfig(text_config=TEXT, vision_config={**VISION, **MLP})),
    ),
    "dinov2-with-classifier": (
        "dinov2",
        "dinov2",
        lambda: hf.Dinov2ForImageClassification(hf.Dinov2Config(**VISION)),
    ),
}
"""Models of which a tower is a part: which tower, under which attribute."""


@dataclass(frozen=True, kw_only=True)
class Saved:
    """A model on disk, and the tower of it that was saved."""

    name: str
    folder: Path
    tower: Any

    @property
    def backbone(self) -> str:
        return f"transformers:{self.folder}"


def filled(model: nn.Module, *, seed: int = 0) -> nn.Module:
    """Draw every number, those of layer norms too, so that none is what a new model has."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(0.0, 0.4, generator=generator)
    return model.eval()


@pytest.fixture(scope="session")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Saved]:
    """Save a model by its name, once."""
    done: dict[str, Saved] = {}

    def save(name: str) -> Saved:
        if name not in done:
            folder = tmp_path_factory.mktemp(name)
            if name in MODELS:
                model = tower = filled(MODELS[name]())
            else:
                alone, attribute, make = WHOLE[name]
                model = filled(make(), seed=1)
                tower = getattr(model, attribute)
                tower.load_state_dict(save(alone).tower.state_dict())
            model.save_pretrained(folder)
            done[name] = Saved(name=name, folder=folder, tower=tower)
        return done[name]

    return save


@pytest.fixture(params=MODELS)
def one(request: pytest.FixtureRequest, saved: Callable[[str], Saved]) -> Saved:
    """Each tower in turn."""
    return saved(request.param)


@pytest.fixture
def whole(request: pytest.FixtureRequest, saved: Callable[[str], Saved]) -> tuple[Saved, Saved]:
    """A model and the tower that is a part of it, each saved by itself."""
    return saved(request.param), saved(WHOLE[request.param][0])


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "whole" in metafunc.fixturenames:
        metafunc.parametrize("whole", WHOLE, indirect=True)


@pytest.fixture
def config_folder(tmp_path: Path) -> Callable[..., Path]:
    """Write a folder with configurations only: that of a model, and others as given."""

    def write(config: Mapping[str, Any], **others: Any) -> Path:
        for name, table in {"config": config, **others}.items():
            (tmp_path / f"{name}.json").write_text(json.dumps(table))
        return tmp_path

    return write


@pytest.fixture
def pixels() -> torch.Tensor:
    """Three inputs (3, 3, 32, 32)."""
    return torch.randn(3, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(7))


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever asks for an address or connects fails the test."""

    def refused(*args: Any, **options: Any) -> Any:
        pytest.fail(f"the network was asked for {args}")

    for name in ("getaddrinfo", "gethostbyname", "create_connection"):
        monkeypatch.setattr(socket, name, refused)
    monkeypatch.setattr(socket.socket, "connect", refused)
