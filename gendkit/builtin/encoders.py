"""Encoders of timm and open_clip, with the pooled feature before any projection as their output."""

from __future__ import annotations

import contextlib
from typing import Any

import timm
import torch
from torch import Tensor, nn

from gendkit.errors import InvalidSpec, MissingAsset, UnknownPart
from gendkit.model.timm_towers import lean
from gendkit.model.towers import OpenClipVisual
from gendkit.plugin.specs import Interpolation, Resize, ResolvedBackbone

CLIP = ("ViT-L-14-quickgelu", "openai")
PE = "vit_pe_core_large_patch14_336"
DINOV3 = "vit_large_patch16_dinov3_qkvb"


def clip_vitl14(*, pretrained: bool = True, depth: int | None = None) -> nn.Module:
    """CLIP ViT-L/14 with QuickGELU: the CLS token after the last norm (B, 1024)."""
    return _open_clip_visual(*CLIP, pretrained=pretrained, depth=depth)


def pe_core_l14(
    *, pretrained: bool = True, image_size: int = 224, depth: int | None = None
) -> nn.Module:
    """PE-Core-L/14: attention-pooled feature before the projection (B, 1024)."""
    return _timm(PE, pretrained=pretrained, image_size=image_size, depth=depth)


def dinov3_vitl16(
    *, pretrained: bool = True, image_size: int = 224, depth: int | None = None
) -> nn.Module:
    """DINOv3 ViT-L/16: the CLS token after the last norm (B, 1024), where timm would average."""
    return _timm(
        DINOV3, pretrained=pretrained, image_size=image_size, depth=depth, global_pool="token"
    )


def timm_member(key: str) -> ResolvedBackbone:
    """Return the spec of `timm:KEY`.

    Raises
    ------
    UnknownPart
        If timm has no model of that name.
    """
    if not timm.is_model(key):
        close = timm.list_models(f"*{key.partition('.')[0]}*")[:3]
        hint = f"; timm has {', '.join(close)}" if close else ""
        raise UnknownPart(f"timm has no model {key!r}{hint}.")
    with _meta():
        model = timm.create_model(key, pretrained=False, num_classes=0)
    config = timm.data.resolve_data_config(model=model)

    def build(
        *, pretrained: bool = True, image_size: int | None = None, depth: int | None = None
    ) -> nn.Module:
        return _timm(key, pretrained=pretrained, image_size=image_size, depth=depth)

    return ResolvedBackbone(
        name=f"timm:{key}",
        summary=f"timm {key}",
        licence=str(model.pretrained_cfg.get("license") or "not stated by timm"),
        dim=_pooled_dim(model, config["input_size"][-1]),
        image_size=config["input_size"][-1],
        mean=tuple(config["mean"]),
        std=tuple(config["std"]),
        resize=_resize(config["crop_mode"]),
        interpolation=_interpolation(config["interpolation"]),
        norm_classes=_norm_classes(model),
        build=build,
    )


def open_clip_member(key: str) -> ResolvedBackbone:
    """Return the spec of `open-clip:NAME/TAG`.

    Raises
    ------
    UnknownPart
        If open_clip has no such name or tag.
    """
    import open_clip

    name, _, tag = key.partition("/")
    if name not in open_clip.list_models():
        raise UnknownPart(f"open_clip has no model {name!r}; see open_clip.list_models().")
    tags = open_clip.list_pretrained_tags_by_model(name)
    if tag not in tags:
        raise UnknownPart(
            f"open_clip has no weights {tag!r} for {name}; it has {', '.join(tags) or 'none'}."
        )
    with _meta():
        visual = _open_clip_visual(name, tag, pretrained=False)
    config = open_clip.get_pretrained_cfg(name, tag)
    size: Any = visual.visual.image_size
    side = size[0] if isinstance(size, tuple | list) else int(size)

    def build(*, pretrained: bool = True, depth: int | None = None) -> nn.Module:
        return _open_clip_visual(name, tag, pretrained=pretrained, depth=depth)

    return ResolvedBackbone(
        name=f"open-clip:{key}",
        summary=f"open_clip {name}, weights {tag}",
        licence=str(config.get("license") or "not stated by open_clip"),
        dim=_pooled_dim(visual, side),
        image_size=side,
        mean=tuple(config["mean"]),
        std=tuple(config["std"]),
        resize=_resize(config.get("resize_mode") or "shortest"),
        interpolation=_interpolation(config.get("interpolation") or "bicubic"),
        norm_classes=_norm_classes(visual),
        build=build,
    )


def _open_clip_visual(
    name: str, tag: str, *, pretrained: bool, depth: int | None = None
) -> OpenClipVisual:
    import open_clip

    options: dict[str, Any] = {}
    if depth is not None:
        options["vision_cfg"] = {**open_clip.get_model_config(name)["vision_cfg"], "layers": depth}
    with _hub(f"open_clip's weights {name}/{tag}"):
        model = open_clip.create_model(
            name,
            pretrained=tag if pretrained else None,
            device=torch.get_default_device(),
            **options,
        )
    visual = model.visual
    if getattr(visual, "proj", None) is not None:
        visual.proj = None
    elif isinstance(visual, open_clip.timm_model.TimmModel):
        visual.head = nn.Identity()
    return OpenClipVisual(visual)


def _timm(
    name: str, *, pretrained: bool, image_size: int | None, depth: int | None, **options: Any
) -> nn.Module:
    if image_size is not None:
        options["img_size"] = image_size
    if depth is not None:
        options["depth"] = depth
    try:
        with _hub(f"timm's weights {name}"):
            model: nn.Module = timm.create_model(
                name, pretrained=pretrained, num_classes=0, **options
            )
    except TypeError as error:  # what timm's models take, they alone know
        raise InvalidSpec(f"timm's {name} cannot be built with {options}: {error}.") from None
    lean(model)
    return model


@contextlib.contextmanager
def _hub(what: str) -> Any:
    """Turn a hub that is out of reach into one line."""
    try:
        yield
    except (OSError, RuntimeError) as error:
        # huggingface_hub's errors are OSErrors; open_clip wraps them in a bare RuntimeError.
        if type(error) is RuntimeError and "download" not in str(error):
            raise
        raise MissingAsset(
            f"{what} are neither cached nor to be had from the model hub "
            f"({type(error).__name__}); run once where the hub can be reached, or use the "
            "embedded backbone dinov2-vits14."
        ) from error


def _meta() -> torch.device:
    return torch.device("meta")


def _pooled_dim(model: nn.Module, side: int) -> int:
    with torch.no_grad():
        out: Tensor = model.eval()(torch.empty(1, 3, side, side, device="meta"))
    return int(out.shape[-1])


def _norm_classes(model: nn.Module) -> tuple[str, ...]:
    """Layer norms, or RMS norms where an encoder has no layer norm."""
    if any(isinstance(m, nn.LayerNorm) for m in model.modules()):
        return ("torch.nn:LayerNorm",)
    kinds = {
        f"{type(m).__module__}:{type(m).__qualname__}"
        for m in model.modules()
        if type(m).__name__.startswith("RmsNorm") or isinstance(m, nn.RMSNorm)
    }
    return tuple(sorted(kinds)) or ("torch.nn:LayerNorm",)


def _resize(mode: str) -> Resize:
    return "squash" if mode == "squash" else "short-side"


def _interpolation(name: str) -> Interpolation:
    return "bilinear" if name == "bilinear" else "bicubic"
