"""Each step does what it says, and by how much; so does the same step in a batch."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import v2 as transforms

from gendkit.data.codecs import h264
from gendkit.data.degrade import KINDS, Chain
from gendkit.data.degrade_batch import degrade_batch
from gendkit.data.degrade_image import TOLERANCE, degrade_image, resized
from gendkit.data.drawn import draw_face
from gendkit.data.resample import resample
from gendkit.errors import InvalidImage

SIDE = 121
INTERPOLATIONS_OF_PILLOW = ("nearest", "lanczos", "bilinear", "bicubic", "area", "hamming")
"""By the numbers that the paper's grid has."""
EXAMPLES = [kind.example for kind in KINDS.values()]


@pytest.fixture(scope="module")
def face() -> np.ndarray:
    """A drawn face of an odd side."""
    return draw_face(identity=1, clip=0, size=SIDE).image


def once(image: np.ndarray, text: str, *, seed: int = 0) -> np.ndarray:
    return degrade_image(image, Chain.parse(text).at(seed))


def batched(image: np.ndarray, text: str, *, seed: int = 0) -> np.ndarray:
    pixels = torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1)[None]
    done = degrade_batch(pixels, [Chain.parse(text).at(seed)])
    return done[0].permute(1, 2, 0).numpy()


EITHER = pytest.mark.parametrize("apply", [once, batched])


def change(one: np.ndarray, other: np.ndarray) -> float:
    """Mean absolute difference in grey levels."""
    return float(np.abs(one.astype(float) - other).mean())


# Mean absolute change of the face in grey levels, measured with OpenCV 5.0 and PyAV 18.1.
CHANGES = {
    "jpeg": {100: 0.39, 80: 2.31, 60: 3.21, 40: 3.93, 20: 5.46, 10: 7.63},
    "blur": {"5:0.5": 1.14, "7:1": 3.55, "11:1.5": 5.17, "13:2": 6.56, "19:3": 8.91},
    "resize": {"112:bicubic": 1.20, "64:bicubic": 2.96, "32:bicubic": 5.85, "8:bicubic": 16.48},
    "noise": {0.01: 2.02, 0.03: 6.10, 0.05: 10.16, 0.1: 20.18, 0.2: 39.08},
    "colour": {1.05: 5.82, 1.1: 11.58, 1.3: 33.42},
    "h264": {0: 1.47, 20: 3.51, 28: 5.45, 36: 8.45, 51: 13.69},
}


@EITHER
@pytest.mark.parametrize("name", CHANGES)
def test_each_step_changes_the_picture_by_about_so_much_and_more_when_stronger(
    face: np.ndarray, name: str, apply
) -> None:
    found = [change(apply(face, f"{name}:{level}"), face) for level in CHANGES[name]]
    assert found == sorted(found)
    assert found == pytest.approx(list(CHANGES[name].values()), rel=0.1)


@EITHER
@pytest.mark.parametrize("text", EXAMPLES)
def test_size_and_type_are_kept_and_the_input_is_not_touched(
    face: np.ndarray, text: str, apply
) -> None:
    before = face.copy()
    for image in (face, face[:1], face[:, :1], face[:1, :1], face[:7, :90], face[:, ::-1][::3]):
        done = apply(image, text)
        assert done.shape == image.shape
        assert done.dtype == np.uint8
    np.testing.assert_array_equal(face, before)


@EITHER
@pytest.mark.parametrize(
    "text", ["blur:1:3", f"resize:{SIDE}:lanczos", "noise:0", "colour:1:1:1:0"]
)
def test_the_weakest_changes_nothing_to_the_bit(face: np.ndarray, text: str, apply) -> None:
    np.testing.assert_array_equal(apply(face, text), face)


def test_no_step_at_all_is_a_copy(face: np.ndarray) -> None:
    done = degrade_image(face, Chain().at(0))
    np.testing.assert_array_equal(done, face)
    assert not np.shares_memory(done, face)


@pytest.mark.parametrize("text", EXAMPLES)
def test_a_view_is_read_as_it_looks(face: np.ndarray, text: str) -> None:
    mirrored = face[:, ::-1]
    np.testing.assert_array_equal(once(mirrored, text), once(np.ascontiguousarray(mirrored), text))


@EITHER
@pytest.mark.parametrize(
    "text", ["jpeg:10", "blur:19:3", "resize:20:lanczos", "colour:10:1:10:0.3", "h264:40"]
)
def test_black_stays_black_and_white_white(text: str, apply) -> None:
    for level in (0, 255):
        flat = np.full((40, 33, 3), level, np.uint8)
        assert np.abs(apply(flat, text).astype(int) - level).max() <= (4 if "h264" in text else 0)


def slow_blur(image: np.ndarray, kernel: int, sigma: float) -> np.ndarray:
    """The convolution as one writes it down, mirrored without repeating the edge."""
    reach = kernel // 2
    around = np.pad(image.astype(float), ((reach, reach), (reach, reach), (0, 0)), mode="reflect")
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    weights = np.exp(-(x**2 + y**2) / (2 * sigma**2))
    weights /= weights.sum()
    result = np.zeros(image.shape)
    for row in range(image.shape[0]):
        for column in range(image.shape[1]):
            patch = around[row : row + kernel, column : column + kernel]
            result[row, column] = (weights[..., None] * patch).sum((0, 1))
    return result


@EITHER
@pytest.mark.parametrize(("kernel", "sigma"), [(3, 0.4), (5, 0.5), (7, 1), (7, 2), (19, 3)])
def test_the_blur_that_is_asked_for_is_applied(
    face: np.ndarray, kernel: int, sigma: float, apply
) -> None:
    image = face[40:80, 30:65]
    expected = slow_blur(image, kernel, sigma)
    done = apply(image, f"blur:{kernel}:{sigma}")
    assert np.abs(done - expected).max() <= 0.5001
    assert np.abs(apply(image, f"blur:{kernel}:{1.2 * sigma}") - expected).max() > 1


@EITHER
def test_a_larger_kernel_cuts_less_of_the_bell(face: np.ndarray, apply) -> None:
    assert change(apply(face, "blur:5:2"), apply(face, "blur:13:2")) > 1


@EITHER
@pytest.mark.parametrize("sigma", [0.01, 0.03, 0.05, 0.1])
def test_noise_has_the_deviation_that_is_asked_for(sigma: float, apply) -> None:
    grey = np.full((200, 200, 3), 128, np.uint8)
    found = apply(grey, f"noise:{sigma}").astype(float) - 128
    assert found.std() == pytest.approx(np.hypot(255 * sigma, 12**-0.5), rel=0.01)
    assert abs(found.mean()) < 4 * 255 * sigma / np.sqrt(found.size)
    near = [found[:-1] * found[1:], found[:, :-1] * found[:, 1:], found[..., :-1] * found[..., 1:]]
    assert all(abs(p.mean()) / found.var() < 4 / np.sqrt(p.size) for p in near)


@EITHER
def test_noise_is_that_of_its_seed_and_of_its_place_in_the_chain(apply) -> None:
    grey = np.full((60, 60, 3), 128, np.uint8)
    one, again, other = (apply(grey, "noise:0.1", seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, again)
    parts = [part.astype(float).ravel() - 128 for part in (one, other)]
    assert abs(np.corrcoef(*parts)[0, 1]) < 0.04
    twice = apply(grey, "noise:0.1,noise:0.1", seed=1).astype(float)
    assert twice.std() == pytest.approx(25.5 * 2**0.5, rel=0.03)


@EITHER
def test_the_interpolation_of_a_resize_matters(face: np.ndarray, apply) -> None:
    kinds = ("nearest", "bilinear", "bicubic", "area", "lanczos", "hamming")
    done = [apply(face, f"resize:48:{kind}") for kind in kinds]
    for i, one in enumerate(done):
        assert all(change(one, other) > 0.2 for other in done[:i])


@pytest.mark.parametrize(
    ("kind", "filter"),
    [
        ("nearest", Image.Resampling.NEAREST), ("bilinear", Image.Resampling.BILINEAR),
        ("bicubic", Image.Resampling.BICUBIC), ("area", Image.Resampling.BOX),
        ("lanczos", Image.Resampling.LANCZOS), ("hamming", Image.Resampling.HAMMING),
    ],
)  # fmt: skip
@EITHER
def test_a_resize_goes_there_by_its_own_interpolation_and_back_by_bicubic(
    face: np.ndarray, kind: str, filter: Image.Resampling, apply
) -> None:
    there = Image.fromarray(face).resize((64, 64), filter)
    back = there.resize((SIDE, SIDE), Image.Resampling.BICUBIC)
    np.testing.assert_array_equal(apply(face, f"resize:64:{kind}"), np.asarray(back))


@EITHER
def test_the_shorter_side_of_a_resize_is_the_one_that_is_asked_for(face: np.ndarray, apply) -> None:
    wide = face[:60]
    there = Image.fromarray(wide).resize((60, 60), Image.Resampling.BOX)  # x first, as in Pillow 12
    there = there.resize((60, 30), Image.Resampling.BOX)
    expected = there.resize((SIDE, 30), Image.Resampling.BICUBIC)
    expected = expected.resize((SIDE, 60), Image.Resampling.BICUBIC)
    np.testing.assert_array_equal(apply(wide, "resize:30:area"), np.asarray(expected))


@EITHER
@pytest.mark.parametrize("quality", [10, 35, 60, 95])
def test_jpeg_leaves_what_pillow_s_file_of_that_quality_holds(
    face: np.ndarray, quality: int, apply
) -> None:
    """The tables of the file say which quality it has; its pixels are ours."""
    buffer = io.BytesIO()
    Image.fromarray(face).save(buffer, "JPEG", quality=quality)
    with Image.open(buffer) as picture:
        luma = np.array(picture.quantization[0])  # type: ignore[attr-defined]
        held = np.asarray(picture)
    factor = 5000 / quality if quality < 50 else 200 - 2 * quality
    assert luma[0] == max(int((16 * factor + 50) // 100), 1)
    np.testing.assert_array_equal(apply(face, f"jpeg:{quality}"), held)


@EITHER
@pytest.mark.parametrize(("kernel", "sigma"), [(5, 0.5), (7, 1), (11, 1.5), (13, 2), (19, 3)])
def test_the_blur_is_that_of_torchvision_on_a_picture(
    face: np.ndarray, kernel: int, sigma: float, apply
) -> None:
    """With which the paper's robustness was measured."""
    transform = transforms.GaussianBlur(kernel, (sigma, sigma))
    expected = np.asarray(transform(Image.fromarray(face)))
    found = apply(face, f"blur:{kernel}:{sigma}")
    assert np.abs(found.astype(int) - expected).max() <= 1
    assert change(found, expected) <= TOLERANCE["blur"]


@pytest.mark.parametrize(("number", "kind"), list(enumerate(INTERPOLATIONS_OF_PILLOW)))
def test_a_resize_has_the_size_and_the_pixels_of_torchvision_s(
    face: np.ndarray, number: int, kind: str
) -> None:
    wide = face[:70]
    for image in (face, wide):
        expected = transforms.Resize(64, number)(Image.fromarray(image))
        assert expected.size[::-1] == resized(*image.shape[:2], 64)
    square = np.asarray(transforms.Resize(64, number)(Image.fromarray(face)))
    np.testing.assert_array_equal(resample(face, (64, 64), (0, 0, 64, 64), kind), square)


@EITHER
def test_h264_is_that_of_the_codec(face: np.ndarray, apply) -> None:
    np.testing.assert_array_equal(apply(face, "h264:30"), h264(face, 30))


@EITHER
def test_colours_change_as_they_are_asked_to(apply) -> None:
    pixel = np.full((4, 4, 3), (200, 100, 50), np.uint8)
    grey = 0.299 * 200 + 0.587 * 100 + 0.114 * 50
    assert apply(pixel, "colour:1.2")[0, 0].tolist() == [240, 120, 60]
    assert apply(pixel, "colour:1:0")[0, 0].tolist() == [round(grey)] * 3
    assert apply(pixel, "colour:1:1:0")[0, 0].tolist() == [round(grey)] * 3
    assert apply(pixel, "colour:1:1:1:0.5")[0, 0].tolist() == [50, 150, 200]
    turned = apply(pixel, f"colour:1:1:1:{1 / 3}").astype(int)
    assert np.abs(turned - (50, 200, 100)).max() <= 1


@EITHER
def test_steps_are_done_from_left_to_right(face: np.ndarray, apply) -> None:
    there = apply(apply(face, "resize:40:area"), "jpeg:30")
    np.testing.assert_array_equal(apply(face, "resize:40:area,jpeg:30"), there)
    assert change(apply(face, "jpeg:30,resize:40:area"), there) > 0.5


def test_what_is_no_picture_is_refused(face: np.ndarray) -> None:
    for wrong in (face[..., 0], face.astype(np.float32), face[:0]):
        with pytest.raises(InvalidImage, match="RGB uint8 array"):
            once(wrong, "jpeg:60")
