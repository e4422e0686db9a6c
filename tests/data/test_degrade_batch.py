"""A batch is degraded sample by sample: as each alone, in any company, on any device."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from gendkit.data.degrade import KINDS, Chain, Drawn
from gendkit.data.degrade_batch import degrade_batch
from gendkit.data.degrade_image import TOLERANCE, degrade_image
from gendkit.errors import InvalidImage

SIDE = 61
EXACT = ("jpeg:5..100", "resize:1..200:lanczos", "resize:20:nearest", "noise:0..1", "h264:10..51")
CLOSE = ("blur:1..31:0.1..9", "colour:0.3..3:0.3..3:0..3:-0.5..0.5")
MIXED = "blur:3..9:0.5..2@0.5,colour:0.8..1.2@0.5,resize:30..60:area@0.3,jpeg:40..100@0.7,noise:0.1"


def pictures(count: int) -> torch.Tensor:
    """Soft colours, more and more noise, and at last black and white alone."""
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (count, 5, 5, 3), dtype=np.uint8)
    soft = np.stack([cv2.resize(c, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC) for c in coarse])
    strength = np.linspace(0, 80, count)[:, None, None, None]
    mixed = np.clip(soft + strength * rng.normal(size=soft.shape), 0, 255).astype(np.uint8)
    mixed[-1] = 255 * (mixed[-1] > 127)
    return torch.from_numpy(mixed).permute(0, 3, 1, 2)


def drawn(text: str, count: int) -> list[Drawn]:
    chain = Chain.parse(text)
    return [chain.draw(np.random.default_rng(i)) for i in range(count)]


def one_by_one(images: torch.Tensor, each: list[Drawn]) -> torch.Tensor:
    pictures = images.permute(0, 2, 3, 1).numpy()
    done = [degrade_image(picture, one) for picture, one in zip(pictures, each, strict=True)]
    return torch.from_numpy(np.stack(done)).permute(0, 3, 1, 2)


@pytest.mark.parametrize("text", EXACT)
def test_a_batch_is_what_each_picture_alone_is_to_the_bit(text: str) -> None:
    images, each = pictures(12), drawn(text, 12)
    assert torch.equal(degrade_batch(images, each), one_by_one(images, each))


@pytest.mark.parametrize("text", CLOSE)
def test_what_is_rounded_is_a_level_apart_at_most_and_seldom(text: str) -> None:
    images, each = pictures(12), drawn(text, 12)
    apart = (degrade_batch(images, each).int() - one_by_one(images, each).int()).abs()
    assert apart.max() <= 1
    assert apart.float().mean((1, 2, 3)).max() <= TOLERANCE[text.split(":")[0]]


def test_all_kinds_are_compared() -> None:
    assert {text.split(":")[0] for text in (*EXACT, *CLOSE)} == {*KINDS}


@pytest.mark.parametrize("text", [*EXACT, *CLOSE, MIXED])
def test_a_picture_is_the_same_in_any_batch_and_order(text: str) -> None:
    images, each = pictures(12), drawn(text, 12)
    whole = degrade_batch(images, each)
    for rows in ([3], [11, 5, 0], list(range(0, 12, 2))):
        part = degrade_batch(images[rows], [each[i] for i in rows])
        assert torch.equal(part, whole[rows])


def test_chains_of_different_lengths_are_done_side_by_side() -> None:
    images, each = pictures(12), drawn(MIXED, 12)
    assert len({len(one.steps) for one in each}) > 2
    apart = (degrade_batch(images, each).int() - one_by_one(images, each).int()).abs()
    assert apart.float().mean() < 0.05


def test_no_steps_are_a_copy_and_no_pictures_stay_none() -> None:
    images = pictures(3)
    done = degrade_batch(images, [Drawn()] * 3)
    assert torch.equal(done, images)
    assert done.data_ptr() != images.data_ptr()
    assert degrade_batch(images[:0], []).shape == (0, 3, SIDE, SIDE)


def test_a_view_of_a_batch_is_read_as_it_looks_and_left_as_it_is() -> None:
    images, each = pictures(8), drawn(MIXED, 8)
    for view in (images.flip(3), images[..., ::2], images.to(memory_format=torch.channels_last)):
        before = view.clone()
        done = degrade_batch(view, each)
        assert torch.equal(done, degrade_batch(view.contiguous(), each))
        assert torch.equal(view, before)


def test_other_shapes_types_and_numbers_of_draws_are_refused() -> None:
    for wrong in (torch.zeros(2, 3, 8, 8), torch.zeros(2, 8, 8, 3, dtype=torch.uint8)):
        with pytest.raises(InvalidImage, match=r"uint8 \(B, 3, H, W\); got"):
            degrade_batch(wrong, [Drawn()] * 2)
    with pytest.raises(InvalidImage, match="3 crops need as many draws; got 1"):
        degrade_batch(pictures(3), [Drawn()])


@pytest.mark.parametrize("text", [text for text in (*EXACT, *CLOSE) if "h264" not in text])
def test_nothing_is_left_on_the_host(text: str) -> None:
    """On CUDA tensors without numbers, which refuse to meet one that is elsewhere."""
    each = drawn(text, 4)
    with FakeTensorMode():
        images = torch.empty(4, 3, SIDE, SIDE, dtype=torch.uint8, device="cuda")
        done = degrade_batch(images, each)
    assert (done.device.type, done.dtype, done.shape) == ("cuda", torch.uint8, images.shape)


@pytest.mark.gpu
@pytest.mark.parametrize("text", [*EXACT, *CLOSE])
def test_another_device_gives_the_same(text: str) -> None:
    images, each = pictures(12), drawn(text, 12)
    apart = (degrade_batch(images.cuda(), each).cpu().int() - degrade_batch(images, each)).abs()
    assert apart.max() <= (text in CLOSE)
