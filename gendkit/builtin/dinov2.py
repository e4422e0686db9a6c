"""The embedded backbone `dinov2-vits14`: an ONNX file from a wheel becomes a timm transformer."""

from __future__ import annotations

import re
from pathlib import Path

import onnx
import timm
import torch
from onnx import numpy_helper
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from gendkit.errors import CorruptAsset, InvalidSpec
from gendkit.model.timm_towers import lean

NAME = "vit_small_patch14_dinov2"
PATCH, GRID = 14, 37
_LAYER = re.compile(r"encoder\.layer\.(\d+)\.(.+)")
_LAYERS = {
    "norm1": "norm1",
    "norm2": "norm2",
    "attention.output.dense": "attn.proj",
    "mlp.fc1": "mlp.fc1",
    "mlp.fc2": "mlp.fc2",
}


class DinoV2(nn.Module):
    """DINOv2 with its position embedding resampled as in the original: bicubic, no antialiasing.

    Any input whose sides are multiples of 14 pixels is taken; the state dict does not depend on it.
    """

    def __init__(self, *, depth: int | None = None) -> None:
        super().__init__()
        options = {} if depth is None else {"depth": depth}
        vit: VisionTransformer = timm.create_model(
            NAME,
            pretrained=False,
            img_size=GRID * PATCH,
            num_classes=0,
            dynamic_img_size=True,
            **options,
        )
        self.vit = vit
        lean(vit)

    def forward(self, pixels: Tensor) -> Tensor:
        """From normalised pixels (B, 3, H, W) to the CLS token after the last norm (B, 384)."""
        vit = self.vit
        x = vit.patch_embed(pixels)
        b, h, w, c = x.shape
        x = torch.cat([vit.cls_token.expand(b, -1, -1), x.reshape(b, h * w, c)], dim=1)
        x = x + _resample(vit.pos_embed, (h, w)).to(x.dtype)
        for block in vit.blocks:
            x = block(x)
        features: Tensor = vit.norm(x[:, 0])
        return features


def build(*, pretrained: bool = True, image_size: int = 224, depth: int | None = None) -> nn.Module:
    """Build the backbone; its weights are the asset `dinov2-vits14`.

    One set of weights serves all sizes.

    Raises
    ------
    InvalidSpec
        If `image_size` is no multiple of 14.
    MissingAsset
        If the weights are not to be had.
    """
    if image_size % PATCH:
        raise InvalidSpec(
            f"dinov2-vits14 takes sides that are multiples of {PATCH}, got {image_size}."
        )
    module = DinoV2(depth=depth)
    if pretrained:
        from gendkit.data.assets import asset_path

        state = read_onnx(asset_path("dinov2-vits14"))
        if depth is not None:
            state = {name: t for name, t in state.items() if _block(name) < depth}
        module.vit.load_state_dict(state, strict=True)
    return module


def read_onnx(path: Path) -> dict[str, Tensor]:
    """Read the encoder's weights out of the ONNX file, under timm's names.

    The file's own decoder is left out. The linear weights are anonymous there: the name of the node
    that multiplies with one tells the layer.

    Raises
    ------
    CorruptAsset
        If the graph is not the expected one.
    """
    graph = onnx.load(path).graph
    tensors = {t.name: torch.from_numpy(numpy_helper.to_array(t).copy()) for t in graph.initializer}
    parts: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        if name.startswith("backbone."):
            parts[name.removeprefix("backbone.")] = tensor
    for node in graph.node:
        if node.op_type == "MatMul" and node.input[1] in tensors:
            layer = node.name.removeprefix("/backbone/").removesuffix("/MatMul").replace("/", ".")
            parts[f"{layer}.weight"] = tensors[node.input[1]].T.contiguous()
    position = [
        t for n, t in tensors.items() if n.startswith("onnx::") and t.ndim == 3 and t.shape[0] == 1
    ]
    position.sort(key=lambda t: t.shape[1])
    if [t.shape[1] for t in position] != [1, GRID * GRID]:
        raise CorruptAsset(f"{path} has no position embedding of {GRID}x{GRID} patches.")
    try:
        state = _renamed(parts)
    except KeyError as error:
        raise CorruptAsset(f"{path} lacks the encoder weight {error}.") from None
    if parts:
        raise CorruptAsset(f"{path} holds unknown encoder weights: {', '.join(sorted(parts))}.")
    return {"pos_embed": torch.cat(position, dim=1), **state}


def _renamed(parts: dict[str, Tensor]) -> dict[str, Tensor]:
    """Take what belongs to the encoder out of its parts, under timm's names."""
    state: dict[str, Tensor] = {}
    state["cls_token"] = parts.pop("embeddings.cls_token")
    for key in ("weight", "bias"):
        state[f"patch_embed.proj.{key}"] = parts.pop(
            f"embeddings.patch_embeddings.projection.{key}"
        )
        state[f"norm.{key}"] = parts.pop(f"layernorm.{key}")
    blocks = {int(m[1]) for name in parts if (m := _LAYER.fullmatch(name))}
    for i in sorted(blocks):
        source, target = f"encoder.layer.{i}", f"blocks.{i}"
        for key in ("weight", "bias"):
            state[f"{target}.attn.qkv.{key}"] = torch.cat(
                [
                    parts.pop(f"{source}.attention.attention.{p}.{key}")
                    for p in ("query", "key", "value")
                ]
            )
            for theirs, ours in _LAYERS.items():
                state[f"{target}.{ours}.{key}"] = parts.pop(f"{source}.{theirs}.{key}")
        for n in (1, 2):
            state[f"{target}.ls{n}.gamma"] = parts.pop(f"{source}.layer_scale{n}.lambda1")
    return state


def _block(name: str) -> int:
    """Return the number of a tensor's block; -1 if it is in none."""
    match = re.match(r"blocks\.(\d+)\.", name)
    return int(match[1]) if match else -1


def _resample(position: Tensor, grid: tuple[int, int]) -> Tensor:
    if grid == (GRID, GRID):
        return position
    patches = position[:, 1:].reshape(1, GRID, GRID, -1).permute(0, 3, 1, 2)
    patches = nn.functional.interpolate(
        patches.float(), size=grid, mode="bicubic", align_corners=False
    )
    return torch.cat([position[:, :1], patches.flatten(2).transpose(1, 2)], dim=1)
