from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr
from numpy.typing import NDArray
from scipy.stats import wilcoxon
from torch import Tensor, nn

import gendkit as gk
from gendkit.data.drawn import draw_face
from gendkit.data.pixels import to_pixels
from gendkit.errors import InvalidArgument, InvalidImage, MissingDependency
from gendkit.evaluate.explain import METHODS, relevance, rollout
from gendkit.measure.metrics import auroc
from gendkit.model.adapter import Adapter, header_of
from gendkit.model.backbone import build_backbone, norms_of
from gendkit.model.detector import Detector
from gendkit.model.shared import SharedBackbone
from gendkit.model.tuning import copy_of
from gendkit.plugin import BackboneSpec, plugins
from gendkit.progress import silent
from gendkit.testing.small import SIDE, registered, small_backbone, small_detector
from gendkit.train.probe import fit_probe

Image = NDArray[np.uint8]


@pytest.fixture
def detector() -> Iterator[Detector]:
    spec = small_backbone()
    with registered(spec):
        yield small_detector(spec)


@pytest.fixture
def crops() -> list[Image]:
    rng = np.random.default_rng(0)
    return [rng.integers(0, 255, (side, side, 3), dtype=np.uint8) for side in (40, 32, 64)]


def explained(images: list[Image], detector: Any, **options: Any) -> xr.Dataset:
    return gk.explain(images, detector, progress=silent, **options)


def test_there_is_a_map_for_each_crop_and_method_on_what_the_encoder_got(
    detector: Detector, crops: list[Image]
) -> None:
    ds = explained(crops, detector, method=METHODS)
    assert ds["heat"].dims == ("explanation", "crop", "y", "x")
    assert ds["heat"].shape == (3, 3, SIDE, SIDE)
    assert np.isfinite(ds["heat"]).all()
    assert ds["image"].shape == (3, SIDE, SIDE, 3)
    assert (ds["image"][1] == crops[1]).all()
    np.testing.assert_allclose(ds["score"], detector.predict(crops), rtol=1e-6)
    logit = detector.outputs(crops).logit
    np.testing.assert_allclose(ds["margin"], logit[:, 1] - logit[:, 0], rtol=1e-6)
    assert ds.attrs["adapter"] == detector.adapter.hash


def test_maps_of_attention_add_up_to_one_and_have_one_number_a_patch(
    detector: Detector, crops: list[Image]
) -> None:
    heat = explained(crops, detector, method=("rollout", "gradient"))["heat"].to_numpy()
    np.testing.assert_allclose(heat.sum(axis=(2, 3)), 1, rtol=1e-5)
    assert (heat >= 0).all()
    blocks = heat.reshape(2, 3, 4, 8, 4, 8)
    assert (blocks == blocks[:, :, :, :1, :, :1]).all()


def test_the_maps_of_a_crop_do_not_depend_on_the_others(
    detector: Detector, crops: list[Image]
) -> None:
    together = explained(crops, detector, method=METHODS, batch_size=2)["heat"]
    alone = explained(crops[2:], detector, method=METHODS)["heat"]
    np.testing.assert_allclose(together[:, 2], alone[:, 0], rtol=1e-4, atol=1e-7)


def test_half_precision_explains_alike(detector: Detector, crops: list[Image]) -> None:
    half = Detector(
        detector.backbone, spec=detector.spec, adapter=detector.adapter, dtype="bfloat16"
    )
    one, two = (explained(crops, d, method=METHODS)["heat"] for d in (detector, half))
    for method, near in (("rollout", 0.02), ("gradient", 0.2)):
        a, b = (heat.sel(explanation=method) for heat in (one, two))
        assert float(abs(a - b).max()) < near * float(a.max()), method


def test_the_roll_out_is_the_product_of_mixed_attentions() -> None:
    """Against the definition, token by token."""
    weights = [w.softmax(dim=-1) for w in torch.randn(3, 1, 2, 5, 5).double()]
    expected = np.eye(5)
    for weight in weights:
        mixed = np.zeros((5, 5))
        for i in range(5):
            for j in range(5):
                mixed[i, j] = (float(weight[0, :, i, j].mean()) + (i == j)) / 2
        expected = mixed @ expected
    for pooling, rows in (("first", [0]), ("patches", [1, 2, 3, 4]), ("tokens", range(5))):
        found = rollout(weights, pooling=pooling, prefix=1)  # type: ignore[arg-type]
        np.testing.assert_allclose(found[0], expected[list(rows)].mean(axis=0), atol=1e-6)


def test_a_last_block_of_one_token_gives_the_same_as_one_of_all() -> None:
    weights = [w.softmax(dim=-1) for w in torch.randn(3, 2, 2, 5, 5)]
    gradients = list(torch.randn(3, 2, 2, 5, 5))
    short, less = ([*ws[:2], ws[2][:, :, :1]] for ws in (weights, gradients))
    torch.testing.assert_close(
        rollout(short, pooling="first", prefix=1), rollout(weights, pooling="first", prefix=1)
    )
    torch.testing.assert_close(
        relevance(short, less, pooling="first", prefix=1)[:, 1:],
        relevance(weights, gradients, pooling="first", prefix=1)[:, 1:],
    )


def test_queries_that_are_no_tokens_only_read() -> None:
    weights = [torch.randn(1, 2, 4, 4).softmax(dim=-1), torch.randn(1, 2, 1, 4).softmax(dim=-1)]
    mixed = (weights[0].mean(dim=1) + torch.eye(4)) / 2
    expected = weights[1].mean(dim=1) @ mixed
    torch.testing.assert_close(rollout(weights, pooling="query", prefix=0), expected[:, 0])


def test_occlusion_is_what_the_margin_loses_under_a_grey_window(
    detector: Detector, crops: list[Image]
) -> None:
    """Against a loop; each pixel has the mean over the windows that cover it."""
    heat = explained(crops[:1], detector, method="occlusion", window=12, stride=10)["heat"]
    pixels = to_pixels(crops[:1], detector.preprocessing)

    def margin(pixels: Tensor) -> float:
        logit = detector.forward(pixels).logit[0]
        return float(logit[1] - logit[0])

    lost, times = np.zeros((SIDE, SIDE)), np.zeros((SIDE, SIDE))
    for top in (0, 10, 20):
        for left in (0, 10, 20):
            covered = pixels.clone()
            covered[:, :, top : top + 12, left : left + 12] = 0
            lost[top : top + 12, left : left + 12] += margin(pixels) - margin(covered)
            times[top : top + 12, left : left + 12] += 1
    np.testing.assert_allclose(heat[0, 0], lost / times, atol=1e-5)


def test_a_detector_on_a_shared_backbone_is_explained_alike(crops: list[Image]) -> None:
    spec = small_backbone()
    with registered(spec):
        alone = small_detector(spec)
        shared = SharedBackbone(build_backbone(spec), spec)
        wearing = gk.load(alone.adapter, backbone=shared, device="cpu")
        expected = explained(crops, alone, method=METHODS)["heat"]
        np.testing.assert_allclose(
            explained(crops, wearing, method=METHODS)["heat"], expected, atol=1e-6
        )
        assert shared.adapter is None


def test_a_head_that_says_the_opposite_changes_all_but_the_roll_out(
    detector: Detector, crops: list[Image]
) -> None:
    head = {name: t.flip(0) for name, t in detector.adapter.head.items()}
    other = Detector(
        detector.backbone, spec=detector.spec, adapter=replace(detector.adapter, head=head)
    )
    one, two = (explained(crops, d, method=METHODS)["heat"] for d in (detector, other))
    assert (one.sel(explanation="rollout") == two.sel(explanation="rollout")).all()
    np.testing.assert_allclose(
        one.sel(explanation="occlusion"), -two.sel(explanation="occlusion"), atol=1e-5
    )
    assert not np.allclose(one.sel(explanation="gradient"), two.sel(explanation="gradient"))


def flat_backbone() -> BackboneSpec:
    def build(*, pretrained: bool = True, image_size: int = SIDE) -> nn.Module:
        torch.manual_seed(0)
        return nn.Sequential(
            nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(12, 32), nn.LayerNorm(32)
        )

    return replace(small_backbone("flat"), build=build)


def test_a_backbone_without_attention_is_explained_by_occlusion_alone(crops: list[Image]) -> None:
    spec = flat_backbone()
    with registered(spec):
        detector = small_detector(spec)
        assert explained(crops, detector, method="occlusion")["heat"].any()
        for method in ("rollout", "gradient"):
            with pytest.raises(InvalidArgument, match=r"no attention.*occlusion"):
                explained(crops, detector, method=method)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"method": "saliency"}, "'saliency'; there is rollout, gradient, occlusion"),
        ({"method": ()}, "nothing; there is rollout"),
        ({"window": 40}, "window of 40 px .* impossible on 32 px"),
        ({"window": 8, "stride": 9}, "moved by 9 px"),
        ({"batch_size": 0}, "batch_size"),
    ],
)
def test_what_is_impossible_is_refused(
    detector: Detector, crops: list[Image], options: dict[str, Any], words: str
) -> None:
    with pytest.raises(InvalidArgument, match=words):
        explained(crops, detector, **options)


def test_without_a_crop_there_is_nothing_to_explain(detector: Detector) -> None:
    with pytest.raises(InvalidImage, match="no crop to explain"):
        explained([], detector)


def test_without_captum_it_is_told_what_to_install(
    detector: Detector, crops: list[Image], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "captum", None)
    assert explained(crops, detector)["heat"].any()
    with pytest.raises(MissingDependency, match=r"gendkit\[explain\]"):
        explained(crops, detector, method="occlusion")


SIZE, PLANT, INPUT, DEPTH = 128, 20, 98, 6
Place = tuple[int, int]


def planted(image: Image, rng: np.random.Generator) -> tuple[Image, Place]:
    """Return a face with a faint chequered square somewhere on it, and where its corner is."""
    y, x = (int(v) for v in rng.integers(24, SIZE - 24 - PLANT, 2))
    rows, columns = np.mgrid[:PLANT, :PLANT] // 2
    grid = np.where((rows + columns) % 2, -60, 60)[..., None]
    changed = image.astype(np.int16)
    changed[y : y + PLANT, x : x + PLANT] += grid.astype(np.int16)
    return np.clip(changed, 0, 255).astype(np.uint8), (y, x)


def faces(people: range, *, seed: int) -> tuple[list[Image], list[Image], list[Place]]:
    rng = np.random.default_rng(seed)
    real = [draw_face(identity=i, clip=0, size=SIZE).image for i in people]
    fake, places = [], []
    for i in people:
        image, place = planted(draw_face(identity=i, clip=1, size=SIZE).image, rng)
        fake.append(image)
        places.append(place)
    return real, fake, places


def share(heat: NDArray[np.float32], place: Place) -> float:
    """Return how many times more of a map lies in a place than its area says."""
    top, left, bottom, right = (
        round(v * INPUT / SIZE) for v in (*place, place[0] + PLANT, place[1] + PLANT)
    )
    positive = np.clip(heat, 0, None)
    inside = positive[top:bottom, left:right].sum() / positive.sum()
    return float(inside / ((bottom - top) * (right - left) / heat.size))


@pytest.mark.slow  # a probe on DINOv2 is fitted, and crops are run 36 times each
def test_a_planted_artefact_is_found_where_it_is(asset: Any) -> None:
    """More than chance, and more than in places where other crops have theirs."""
    asset("dinov2-vits14")
    spec = plugins().spec("backbone", "dinov2-vits14")
    backbone = build_backbone(spec, image_size=INPUT, depth=DEPTH)
    header = header_of(
        backbone, spec, replace(spec.preprocessing, size=INPUT), source="gendkit", dtype="float32"
    )
    adapter = Adapter(
        header=header, norms=copy_of(norms_of(backbone, spec)),
        head={"weight": torch.zeros(2, spec.dim), "bias": torch.zeros(2)},
    )  # fmt: skip
    real, fake, _ = faces(range(80), seed=0)
    labels = np.repeat([0, 1], 80)
    base = Detector(backbone, spec=spec, adapter=adapter)
    head = fit_probe(base.embed(real + fake), labels, c=100)
    detector = Detector(backbone, spec=spec, adapter=replace(adapter, head=head))
    real, fake, places = faces(range(1000, 1014), seed=1)
    known = auroc(np.repeat([0, 1], 14), detector.predict(real + fake))
    ds = explained(fake, detector, method=METHODS, window=28, stride=14, batch_size=36)
    found = {}
    for method in METHODS:
        heats = ds["heat"].sel(explanation=method).to_numpy()
        own = np.array([share(h, place) for h, place in zip(heats, places, strict=True)])
        others = np.array(
            [
                np.mean([share(heat, place) for place in places if place != mine])
                for heat, mine in zip(heats, places, strict=True)
            ]
        )
        found[method] = {
            "times chance": float(np.median(own)),
            "chance": wilcoxon(own, np.ones_like(own), alternative="greater").pvalue,
            "places of others": wilcoxon(own, others, alternative="greater").pvalue,
        }
    assert known > 0.9, known
    for method, least in (("occlusion", 5), ("gradient", 2)):
        assert found[method]["times chance"] > least, found
        assert found[method]["chance"] < 1e-3, found
        assert found[method]["places of others"] < 1e-3, found
    # The roll-out knows no classes: here it had 1.1 times what chance gives (p = .07). All that is
    # asserted of it is that it does no better than the ways that ask for the fake.
    assert found["rollout"]["times chance"] < found["gradient"]["times chance"], found
