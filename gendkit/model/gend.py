"""The layout of the released GenD models: `config.json` and `model.safetensors` in one folder.

The reference implementation's training checkpoints (`.ckpt`) hold the same tensors.

A folder enters, a backbone with all its weights and the adapter in it leave; and back. Tensors are
renamed one by one between Hugging Face's names (CLIP, DINOv3) or timm's (PE-Core) and those of the
modules that gendkit builds; whatever is left over or missing is an error that names it.
"""

from __future__ import annotations

import json
import pickle
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from gendkit.errors import InvalidCheckpoint, MissingAsset, MissingMedia
from gendkit.model.adapter import UNKNOWN, Adapter, header_of
from gendkit.model.backbone import norms_of
from gendkit.model.gend_layouts import NAMES, SIZES, Layout, layout_of
from gendkit.model.tuning import copy_of
from gendkit.output import new_folder
from gendkit.plugin.specs import BackboneSpec

CONFIG, WEIGHTS = "config.json", "model.safetensors"
HEADS = MappingProxyType({"LinearNorm": True, "linear": False})
"""Whether the head takes unit vectors, by its name in `config.json`."""
TOWER, HEAD = "feature_extractor.", "model.linear."
SOURCE = "a GenD checkpoint of "
_HUB_ID = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*")
UNUSED = frozenset(
    {
        "visual_projection.weight",  # CLIP's, to the text space
        "backbone.embeddings.mask_token",  # DINOv3's, for its own training
    }
)
"""Tensors of the layout that its own forward pass never touches."""


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """A model of the layout: its encoder with all weights, and what was tuned of it.

    Attributes
    ----------
    spec
        Of the backbone: a plugin's where its sizes are those of a known encoder.
    backbone
        With the tuned layer norms in it, in evaluation mode.
    adapter
        Layer norms and head. What the layer norms were before tuning is unknown.
    """

    spec: BackboneSpec
    backbone: nn.Module
    adapter: Adapter


def find_gend(source: str | Path) -> Checkpoint | None:
    """Read a model of the layout: a folder, a hub id or a `.ckpt`; None if the source is none.

    Raises
    ------
    MissingAsset, MissingMedia, InvalidCheckpoint
        As for `gend_folder`, `read_gend` and `read_ckpt`.
    """
    if Path(source).suffix == ".ckpt":
        return read_ckpt(source)
    folder = gend_folder(source)
    return None if folder is None else read_gend(folder)


def gend_folder(source: str | Path) -> Path | None:
    """Return the folder of a model of the layout, fetched if it is a hub id; None if it is none.

    Raises
    ------
    MissingAsset
        If a hub id is neither cached nor to be had.
    """
    folder = Path(source)
    if folder.is_dir():
        return folder if (folder / CONFIG).is_file() and (folder / WEIGHTS).is_file() else None
    if folder.exists() or not isinstance(source, str) or not _HUB_ID.fullmatch(source):
        return None
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(source, allow_patterns=[CONFIG, WEIGHTS, SIZES]))
    except (OSError, ValueError) as error:
        raise MissingAsset(
            f"{source} is no file or folder here, and no model that is cached or to be had from "
            f"the model hub ({type(error).__name__}); give the path of an adapter or a model."
        ) from None


def read_gend(folder: str | Path) -> Checkpoint:
    """Read a folder in the layout of the released GenD models.

    Sizes come from a `vision_config.json` beside the weights where there is one, else from the name
    of the backbone.

    Raises
    ------
    MissingMedia
        If a file is not there.
    InvalidCheckpoint
        If the configuration is not known, or a tensor is missing, left over or of another shape.
    """
    folder = Path(folder)
    return _assembled(
        _json(folder / CONFIG), _tensors(folder / WEIGHTS), sizes=_sizes(folder),
        where=folder / WEIGHTS,
    )  # fmt: skip


def read_ckpt(path: str | Path) -> Checkpoint:
    """Read a training checkpoint (`.ckpt`) of the reference implementation.

    Only tensors and plain values are read, so that no code in the file can run. The names of
    backbone and head are those among its hyper-parameters, or of a `config.json` beside it.

    Raises
    ------
    MissingMedia
        If there is no file.
    InvalidCheckpoint
        If it holds anything else, or does not fit what it says of itself.
    """
    path = Path(path)
    if not path.is_file():
        raise MissingMedia(f"no checkpoint at {path}.")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        raise InvalidCheckpoint(
            f"{path} holds more than tensors and plain values, which could run code; it is not "
            "read. Save its state_dict alone, with a config.json beside it."
        ) from None
    except (RuntimeError, OSError, EOFError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise InvalidCheckpoint(f"{path} is no checkpoint, or damaged: {reason}") from None
    tensors = content.get("state_dict", content) if isinstance(content, dict) else {}
    if not tensors or not all(isinstance(t, Tensor) for t in tensors.values()):
        raise InvalidCheckpoint(f"{path} has no state_dict of tensors.")
    config = content.get("hyper_parameters") or {}
    if not {"backbone", "head"} <= set(config):
        config = _json(path.with_name(CONFIG))
    return _assembled(config, dict(tensors), sizes=_sizes(path.parent), where=path)


def _assembled(
    config: Mapping[str, Any],
    theirs: dict[str, Tensor],
    *,
    sizes: Mapping[str, Any],
    where: Path,
) -> Checkpoint:
    """Build the encoder that a configuration names, and put a checkpoint's tensors into it."""
    name, kind = str(config.get("backbone", "")), str(config.get("head", ""))
    if kind not in HEADS:
        raise InvalidCheckpoint(f"{where} has head {kind!r}; expected {' or '.join(HEADS)}.")
    layout = layout_of(name)
    spec, module = layout.build(name, sizes)
    head = {key: theirs.pop(HEAD + key, None) for key in ("weight", "bias")}
    _fill(module, theirs, layout, where=where)
    header = header_of(
        module, spec, spec.preprocessing, source=SOURCE + name, dtype="float32",
        normalised=HEADS[kind],
    )  # fmt: skip
    shapes = {key: None if t is None else tuple(t.shape) for key, t in head.items()}
    if shapes != {"weight": (2, spec.dim), "bias": (2,)}:
        raise InvalidCheckpoint(
            f"{where}: expected {HEAD}weight (2, {spec.dim}) and {HEAD}bias (2,), got "
            f"{shapes['weight']} and {shapes['bias']}."
        )
    adapter = Adapter(
        header=replace(header, norms_hash=UNKNOWN),
        norms=copy_of(norms_of(module, spec)),
        head={key: tensor.float() for key, tensor in head.items() if tensor is not None},
    )
    return Checkpoint(spec=spec, backbone=module, adapter=adapter)


def _sizes(folder: Path) -> dict[str, Any]:
    return _json(folder / SIZES) if (folder / SIZES).is_file() else {}


def write_gend(
    folder: str | Path, backbone: nn.Module, adapter: Adapter, *, overwrite: bool = False
) -> Path:
    """Write a backbone with its adapter applied in that layout, all weights in float32.

    What the layout's forward pass never touches (`UNUSED`) is not written.

    Raises
    ------
    InvalidCheckpoint
        If the layout knows no encoder such as this one.
    OutputExists
        If the folder holds something else.
    """
    name, layout = _origin(adapter)
    tensors: dict[str, Tensor] = {}
    for ours, tensor in backbone.state_dict().items():
        names = layout.names(ours)
        for theirs, part in zip(
            names, tensor.detach().cpu().float().chunk(len(names)), strict=True
        ):
            tensors[TOWER + theirs] = part.clone()
    tensors |= {HEAD + key: t.detach().cpu().float().clone() for key, t in adapter.head.items()}
    config = {
        "architectures": ["GenD"],
        "backbone": name,
        "dtype": "float32",
        "head": next(n for n, unit in HEADS.items() if unit is adapter.header.normalised),
        "model_type": "GenD",
    }
    with new_folder(folder, overwrite=overwrite, marker=CONFIG) as part_folder:
        (part_folder / CONFIG).write_text(json.dumps(config, indent=2), encoding="utf-8")
        sizes = json.dumps(layout.sizes(backbone), indent=2)
        (part_folder / SIZES).write_text(sizes, encoding="utf-8")
        (part_folder / WEIGHTS).write_bytes(save(tensors, metadata={"format": "pt"}))
    return Path(folder)


def _origin(adapter: Adapter) -> tuple[str, Layout]:
    """Return the name in `config.json` and the layout of an adapter's backbone."""
    source, backbone = adapter.header.source, adapter.header.backbone
    if source.startswith(SOURCE):
        name = source.removeprefix(SOURCE)
        return name, layout_of(name)
    if backbone not in NAMES:
        raise InvalidCheckpoint(
            f"GenD's layout knows no encoder such as {backbone!r}; it has {', '.join(NAMES)}. "
            "The layout onnx takes any."
        )
    return NAMES[backbone], layout_of(NAMES[backbone])


def _fill(module: nn.Module, theirs: Mapping[str, Tensor], layout: Layout, *, where: Path) -> None:
    """Put the checkpoint's tensors into a module: all of them, and all of its own."""
    left = {_current(name): tensor for name, tensor in theirs.items()}
    filled: dict[str, Tensor] = {}
    missing, wrong = [], []
    for ours, tensor in module.state_dict().items():
        names = [TOWER + name for name in layout.names(ours)]
        parts = [left.pop(name, None) for name in names]
        missing += [name for name, part in zip(names, parts, strict=True) if part is None]
        found = [part for part in parts if part is not None]
        if len(found) < len(names):
            continue
        filled[ours] = torch.cat(found).float() if len(found) > 1 else found[0].float()
        if filled[ours].shape != tensor.shape:
            wrong.append(f"{names[0]} {tuple(found[0].shape)}")
    for unused in UNUSED:
        left.pop(TOWER + unused, None)
    said = [
        f"{what}: {_some(names)}"
        for what, names in (
            ("missing", missing), ("not used", sorted(left)), ("of another shape", wrong),
        )
        if names
    ]  # fmt: skip
    if said:
        raise InvalidCheckpoint(
            f"{where} does not fit its configuration; {'; '.join(said)}. Is it another encoder, or "
            f"are its sizes missing ({SIZES})?"
        )
    module.load_state_dict(filled)


def _current(name: str) -> str:
    """Return the name by which transformers 4 knew a tensor that transformers 5 renamed."""
    return name.replace(
        "feature_extractor.backbone.model.layer.", "feature_extractor.backbone.layer."
    )


def _some(names: Iterable[str], most: int = 3) -> str:
    listed = list(names)
    more = f" and {len(listed) - most} more" if len(listed) > most else ""
    return ", ".join(listed[:most]) + more


def _json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise MissingMedia(
            f"no {path.name} in {path.parent}; a GenD model has {CONFIG}, {WEIGHTS}."
        )
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InvalidCheckpoint(f"{path} is no JSON: {error}.") from None
    if not isinstance(value, dict):
        raise InvalidCheckpoint(f"{path} holds {type(value).__name__}; expected an object.")
    return value


def _tensors(path: Path) -> dict[str, Tensor]:
    if not path.is_file():
        raise MissingMedia(
            f"no {path.name} in {path.parent}; a GenD model has {CONFIG}, {WEIGHTS}."
        )
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise InvalidCheckpoint(f"{path} is no safetensors file, or damaged: {error}") from None
