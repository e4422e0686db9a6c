"""Six steps of the reference implementation on a tiny CLIP, number by number.

The checkpoint has Hugging Face's names; here it is put into open_clip's layout, which `clip-vitl14`
has too.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from gendkit.model.adapter import Adapter, header_of
from gendkit.model.backbone import norms_of
from gendkit.model.detector import Detector
from gendkit.model.towers import OpenClipVisual
from gendkit.model.tuning import copy_of, tune_layer_norms
from gendkit.plugin.manager import plugins
from gendkit.plugin.specs import BackboneSpec
from gendkit.train.recipe import Recipe
from gendkit.train.trainer import Trainer

WIDTH, HIDDEN, BLOCKS, HEADS, PATCH = 96, 192, 3, 4, 32
TOWER, HEAD = "feature_extractor.vision_model.", "model.linear."
PARTS = {
    "pre_layrnorm": "ln_pre",
    "post_layernorm": "ln_post",
    "layer_norm1": "ln_1",
    "layer_norm2": "ln_2",
    "mlp.fc1": "mlp.c_fc",
    "mlp.fc2": "mlp.c_proj",
    "self_attn.out_proj": "attn.out_proj",
    "encoder.layers": "transformer.resblocks",
    "embeddings.class_embedding": "class_embedding",
    "embeddings.position_embedding.weight": "positional_embedding",
    "embeddings.patch_embedding": "conv1",
}


def renamed(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """From Hugging Face's names of a CLIP image tower to those of open_clip's."""
    out: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        if not name.startswith(TOWER):
            continue
        name = name.removeprefix(TOWER)
        for theirs, ours in PARTS.items():
            name = name.replace(theirs, ours)
        out[f"visual.{name}"] = tensor
    for block in range(BLOCKS):
        at = f"visual.transformer.resblocks.{block}."
        for kind in ("weight", "bias"):
            parts = [out.pop(f"{at}self_attn.{p}_proj.{kind}", None) for p in "qkv"]
            if all(part is not None for part in parts):
                out[f"{at}attn.in_proj_{kind}"] = torch.cat([p for p in parts if p is not None])
    return out


@pytest.fixture
def checkpoint(shared: Path) -> dict[str, Tensor]:
    return load_file(shared / "golden" / "gend_clip_tiny" / "model.safetensors")


@pytest.fixture
def backbone(checkpoint: dict[str, Tensor]) -> OpenClipVisual:
    visual = open_clip.transformer.VisionTransformer(
        image_size=224,
        patch_size=PATCH,
        width=WIDTH,
        layers=BLOCKS,
        heads=HEADS,
        mlp_ratio=HIDDEN / WIDTH,
        output_dim=WIDTH,
        act_layer=open_clip.transformer.QuickGELU,
    )
    visual.proj = None
    module = OpenClipVisual(visual).eval()
    module.load_state_dict(renamed(checkpoint))
    return module


@pytest.fixture
def spec(backbone: OpenClipVisual) -> BackboneSpec:
    clip = plugins().spec("backbone", "clip-vitl14")
    return BackboneSpec(
        name="clip-tiny",
        summary="the reference's tiny CLIP",
        licence="none",
        dim=WIDTH,
        image_size=224,
        mean=clip.mean,
        std=clip.std,
        resize=clip.resize,
        interpolation=clip.interpolation,
        build=lambda **_: backbone,
    )


def head_of(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {key: tensors[f"{HEAD}{key}"] for key in ("weight", "bias")}


def test_features_and_scores_are_those_of_the_reference(
    shared: Path, checkpoint: dict[str, Tensor], backbone: OpenClipVisual, spec: BackboneSpec
) -> None:
    header = header_of(backbone, spec, spec.preprocessing, source="gendkit.testing")
    norms = copy_of(norms_of(backbone, spec))
    adapter = Adapter(header=header, norms=norms, head=head_of(checkpoint))
    detector = Detector(backbone, spec=spec, adapter=adapter)
    with np.load(shared / "golden" / "gend_clip_tiny" / "expected.npz") as expected:
        pixels = torch.from_numpy(expected["pixel_values"])
        with torch.inference_mode():
            features = backbone(pixels).numpy()
        found = detector.forward(pixels)
        np.testing.assert_allclose(features, expected["features"], rtol=0, atol=1e-4)
        np.testing.assert_allclose(found.logit, expected["logits"], rtol=0, atol=1e-5)
        np.testing.assert_allclose(found.score, expected["p_fake"], rtol=0, atol=1e-5)
        crops = [expected[f"image_{i}_rgb"] for i in range(4)]
        np.testing.assert_allclose(detector.predict(crops), expected["p_fake"], rtol=0, atol=5e-3)


def test_six_steps_of_training_are_those_of_the_reference(
    shared: Path, checkpoint: dict[str, Tensor], backbone: OpenClipVisual, spec: BackboneSpec
) -> None:
    with np.load(shared / "golden" / "trajectory.npz") as file:
        expected = dict(file)
    recipe = Recipe.of("gend-clip", dtype="float32", selection={"data": "none", "metric": "last"})
    assert recipe.learning_rate == 3e-4
    tuned = tune_layer_norms(backbone)
    header = header_of(backbone, spec, spec.preprocessing, source="gendkit.testing")
    trainer = Trainer(recipe, spec, backbone, header, "cpu")
    trainer.head.load_state_dict(head_of(checkpoint))
    assert tuned.numbers + 2 * WIDTH + 2 == expected["trainable"]
    shape = (6, 12, 3, 224, 224)
    rng = np.random.default_rng(int(expected["batch_seed"]))
    batches = torch.from_numpy(rng.standard_normal(shape, np.float32))
    nobody = np.full(12, "", dtype=object)
    people = dict.fromkeys(("pair", "target_identity", "donor_identity"), nobody)
    terms = [
        trainer.step(pixels, {"label": labels, **people}, np.arange(12))
        for pixels, labels in zip(batches, expected["labels"], strict=True)
    ]
    for ours, weight, theirs in (
        ("loss", 1.0, "loss"),
        ("uniformity", 0.5, "uniformity_weighted"),
        ("alignment", 0.1, "alignment_weighted"),
    ):
        found = [weight * t[ours] for t in terms]
        np.testing.assert_allclose(found, expected[theirs], rtol=0, atol=1e-5, err_msg=theirs)
    final = {
        name.removeprefix("final/"): torch.from_numpy(value)
        for name, value in expected.items()
        if name.startswith("final/")
    }
    adapter = trainer.adapter()
    norms = renamed(final)
    assert set(adapter.norms) == set(norms) == set(tuned.names)
    for name, value in norms.items():
        torch.testing.assert_close(adapter.norms[name], value, rtol=0, atol=1e-5, msg=name)
    for key, value in head_of(final).items():
        torch.testing.assert_close(adapter.head[key], value, rtol=0, atol=1e-5, msg=key)
