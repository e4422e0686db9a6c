from __future__ import annotations

import pickle
from dataclasses import replace

import cv2
import numpy as np
import pytest

from gendkit.data.drawn import draw_face
from gendkit.data.faces import TEMPLATE, native_size
from gendkit.data.forge import (
    BLENDINGS,
    FAMILIES,
    MASKS,
    Plan,
    Subject,
    Tool,
    describe,
    draw_mask,
    family_named,
    finish,
    fit_upsampler,
    forge,
    geometry,
    match_donors,
    prepare,
)
from gendkit.data.forge.blending import blend, matched_colour, regrained, restored
from gendkit.data.splits import chosen_families
from gendkit.errors import GendkitError, InvalidImage, MissingMedia, UnknownPart

NAMES = [family.name for family in FAMILIES]


def subject(identity: int, *, size: int = 256) -> Subject:
    face = draw_face(identity=identity, clip=0, size=size)
    return Subject(image=face.image, landmarks=face.landmarks)


@pytest.fixture(scope="module")
def target() -> Subject:
    return subject(2)


@pytest.fixture(scope="module")
def tools(target, tmp_path_factory):
    """Of each family what it needs; networks are fitted for a step or two, so they draw noise."""

    def fitted(name: str) -> Tool | None:
        fit = family_named(name).fit
        if fit is None:
            return None
        few = {} if name == "upsampling" else {"steps": 2}
        return fit({"2": [lambda: target], "8": [lambda: subject(8)]}, seed=0, **few)("8")

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GENDKIT_CACHE", str(tmp_path_factory.mktemp("cache")))
        return {name: {"donor": subject(8), "tool": fitted(name)} for name in NAMES}


def mask_of(target: Subject, plan: Plan) -> np.ndarray:
    return draw_mask(
        geometry.face_points(target.landmarks),
        plan,
        target.image.shape,
        unit=geometry.eye_distance(target.landmarks),
    )


def test_the_families_are_the_eight_of_the_design():
    assert NAMES == [
        "self-blend", "landmark-swap", "upsampling", "reenactment", "lip-replacement",
        "autoencoder", "swap-restorer", "diffusion",
    ]  # fmt: skip


def test_a_plan_is_determined_by_its_seed_and_survives_pickling():
    plan = Plan.draw(7)
    assert plan == Plan.draw(7)
    assert plan != Plan.draw(8)
    assert pickle.loads(pickle.dumps(plan)) == plan


def test_plans_draw_every_mask_and_blending_about_equally_often():
    plans = [Plan.draw(seed) for seed in range(600)]
    for field, values in (("mask", MASKS), ("blending", BLENDINGS)):
        counts = [sum(getattr(p, field) == value for p in plans) for value in values]
        assert min(counts) > 0.75 * 600 / len(values)


def test_mask_and_encoding_are_drawn_independently():
    plans = [Plan.draw(seed) for seed in range(2000)]
    quality = np.array([p.quality for p in plans], float)
    for mask in MASKS:
        chosen = np.array([p.mask == mask for p in plans], float)
        assert abs(np.corrcoef(quality, chosen)[0, 1]) < 0.08


@pytest.mark.parametrize("family", NAMES)
def test_a_forgery_gives_the_same_bytes_again(family, target, tools):
    plan = Plan.draw(11)
    first = forge(target, family=family, plan=plan, **tools[family])
    second = forge(target, family=family, plan=plan, **tools[family])
    np.testing.assert_array_equal(first.image, second.image)


@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("family", NAMES)
def test_a_forgery_changes_the_face_under_every_mask(family, mask, target, tools):
    for seed in range(3):
        plan = replace(Plan.draw(seed), mask=mask)
        forged = forge(target, family=family, plan=plan, **tools[family])
        change = np.abs(forged.image.astype(float) - target.image).mean(-1)
        assert change[change > 0].mean() > 1.5
        most = np.sort(change, axis=None)[-500:]  # about as many pixels as the mouth has
        assert most.mean() > 4


@pytest.mark.parametrize("blending", BLENDINGS)
@pytest.mark.parametrize("family", NAMES)
def test_a_forgery_leaves_everything_outside_the_mask_as_it_was(family, blending, target, tools):
    plan = replace(Plan.draw(3), blending=blending, mask="ellipse")
    forged = forge(target, family=family, plan=plan, **tools[family])
    near = cv2.dilate(mask_of(target, plan), np.ones((25, 25))) > 0
    np.testing.assert_array_equal(forged.image[~near], target.image[~near])
    np.testing.assert_array_equal(forged.landmarks, target.landmarks)


@pytest.mark.parametrize("family", chosen_families("quick"))
def test_a_forgery_keeps_the_sharpness_of_the_original(family, tools):
    ratios = []
    for seed in range(12):
        target = subject(seed)
        plan = Plan.draw(seed)
        forged = finish(forge(target, family=family, plan=plan, **tools[family]), plan).image
        real = finish(target, plan).image
        ratios.append(
            cv2.Laplacian(cv2.cvtColor(forged, cv2.COLOR_RGB2GRAY), cv2.CV_64F).var()
            / cv2.Laplacian(cv2.cvtColor(real, cv2.COLOR_RGB2GRAY), cv2.CV_64F).var()
        )
    assert np.exp(np.mean(np.log(ratios))) == pytest.approx(1, abs=0.08)


@pytest.mark.parametrize(("height", "width"), [(410, 335), (201, 333)])
@pytest.mark.parametrize("family", NAMES)
def test_any_size_of_picture_and_a_face_at_its_edge_are_forged(family, height, width, tools):
    face = subject(4)
    matrix = np.array([[0.8, 0.0, -25.0], [0.0, 0.8, -25.0]])
    picture = Subject(
        image=cv2.warpAffine(face.image, matrix, (width, height)),
        landmarks=(face.landmarks * 0.8 - 25).astype(np.float32),
    )
    forged = forge(picture, family=family, plan=replace(Plan.draw(1), mask="hull"), **tools[family])
    assert forged.image.shape == (height, width, 3)
    assert (forged.image != picture.image).any()


def test_a_swap_shows_the_donor():
    plan = replace(Plan.draw(0), mask="hull", blending="alpha", resolution=160)
    target, donor, other = subject(0), subject(6), subject(12)
    points = geometry.face_points(target.landmarks)
    where = geometry.piecewise_map(
        geometry.face_points(donor.landmarks), points, target.image.shape
    )
    shown = geometry.sample(donor.image.astype(np.float32), where)
    inside = mask_of(target, plan) > 0.9

    def likeness(lender: Subject) -> float:
        swapped = forge(target, family="landmark-swap", plan=plan, donor=lender).image
        return float(np.corrcoef(swapped[inside].mean(-1), shown[inside].mean(-1))[0, 1])

    assert likeness(donor) > likeness(other) + 0.1


def test_a_family_without_what_it_needs_says_so(target):
    with pytest.raises(GendkitError, match="landmark-swap needs a donor"):
        forge(target, family="landmark-swap", plan=Plan.draw(0))
    with pytest.raises(GendkitError, match=r"upsampling has to be fitted: forge\(..., tool="):
        forge(target, family="upsampling", plan=Plan.draw(0))
    with pytest.raises(UnknownPart, match="there is self-blend"):
        forge(target, family="selfblend", plan=Plan.draw(0))


@pytest.mark.parametrize("mask", MASKS)
def test_masks_lie_between_0_and_1_inside_the_face_and_reach_the_mouth(mask, target):
    points = geometry.face_points(target.landmarks)
    oval = cv2.fillPoly(
        np.zeros(target.image.shape[:2], np.uint8), [points[list(geometry.OVAL)].astype(int)], 1
    )
    x, y = points[geometry.LIP_LINE].astype(int)
    for seed in range(20):
        drawn = mask_of(target, replace(Plan.draw(seed), mask=mask))
        assert drawn.min() >= 0
        assert 0.9 < drawn.max() <= 1
        assert not drawn[oval == 0].any()
        assert drawn[y - 10 : y + 11, x - 10 : x + 11].max() > 0.2


def test_masks_differ_between_plans(target):
    first, second = (mask_of(target, replace(Plan.draw(s), mask="noise")) for s in (0, 1))
    assert np.abs(first - second).mean() > 0.01


def test_prepare_moves_the_landmarks_with_the_picture():
    image = np.zeros((300, 300, 3), np.uint8)
    landmarks = (np.array(TEMPLATE) * 160 + 60).astype(np.float32)
    for x, y in landmarks:
        cv2.circle(image, (round(float(x)), round(float(y))), 3, (255, 255, 255), -1)
    moved = prepare(Subject(image=image, landmarks=landmarks), Plan.draw(5))
    for x, y in moved.landmarks.round().astype(int):
        assert moved.image[y, x].min() > 150
    assert np.abs(moved.landmarks - landmarks).max() > 0.5


def test_finish_scales_the_landmarks_with_the_picture(target):
    plan = replace(Plan.draw(0), scale=0.5, quality=0)
    done = finish(target, plan)
    assert done.image.shape == (128, 128, 3)
    np.testing.assert_allclose(done.landmarks, (target.landmarks + 0.5) / 2 - 0.5, atol=1e-4)


def test_finish_encodes_as_the_plan_says(target):
    plain = finish(target, replace(Plan.draw(0), scale=1.0, quality=0)).image
    np.testing.assert_array_equal(plain, target.image)
    fine, coarse = (
        finish(target, replace(Plan.draw(0), scale=1.0, quality=q)).image for q in (95, 65)
    )
    error = [np.abs(i.astype(int) - target.image).mean() for i in (fine, coarse)]
    assert 0 < error[0] < error[1]


def test_pictures_that_cannot_be_forged_are_refused(target):
    with pytest.raises(InvalidImage, match="RGB uint8"):
        Subject(image=target.image.astype(np.float32), landmarks=target.landmarks)
    with pytest.raises(InvalidImage, match="5 finite landmarks"):
        Subject(image=target.image, landmarks=target.landmarks[:4])
    with pytest.raises(InvalidImage, match="px apart"):
        Subject(image=target.image, landmarks=target.landmarks * 0.1)


def test_the_face_points_of_the_template_are_the_mean_face():
    points = geometry.face_points((np.array(TEMPLATE) * 200 + 10).astype(np.float32))
    np.testing.assert_allclose(points, geometry.CANONICAL * 200 + 10, atol=1e-3)


def test_the_mean_face_is_mirror_symmetric():
    mirrored = geometry.CANONICAL * [-1, 1] + [1, 0]
    for point in mirrored:
        assert np.linalg.norm(geometry.CANONICAL - point, axis=1).min() < 1e-9


def test_the_eye_distance_matches_the_native_size_of_a_crop(target):
    crop = geometry.eye_distance(target.landmarks) / 0.32 * 1.3
    assert crop == pytest.approx(native_size(target.landmarks), abs=1)


def test_a_piecewise_map_carries_points_onto_points(target):
    source = geometry.face_points(subject(9).landmarks)
    goal = geometry.face_points(target.landmarks)
    where = geometry.piecewise_map(source, goal, target.image.shape)
    for point in (0, 1, 2, 3, 4, geometry.UPPER_LIP):
        x, y = goal[point].round().astype(int)
        np.testing.assert_allclose(where[y, x], source[point], atol=1.5)


def test_a_thin_plate_flow_takes_the_given_values():
    rng = np.random.default_rng(0)
    points = rng.uniform(20, 180, (12, 2)).astype(np.float32)
    shift = rng.normal(0, 4, (12, 2)).astype(np.float32)
    flow = geometry.thin_plate_flow(points, shift, (200, 200), stride=1)
    for (x, y), wanted in zip(points.round().astype(int), shift, strict=True):
        np.testing.assert_allclose(flow[y, x], wanted, atol=0.35)


def test_a_thin_plate_flow_of_an_affine_shift_is_affine():
    points = np.array([(0, 0), (90, 5), (10, 80), (70, 70), (40, 30)], np.float32)
    shift = points * [0.1, -0.05] + [2, 3]
    flow = geometry.thin_plate_flow(points, shift.astype(np.float32), (100, 100), stride=5)
    np.testing.assert_allclose(flow[50, 20], [0.1 * 20 + 2, -0.05 * 50 + 3], atol=0.02)


def test_poisson_blending_removes_a_constant_colour_shift(target):
    image = target.image.astype(np.float32)
    mask = np.zeros(image.shape[:2], np.float32)
    mask[80:180, 80:180] = 1
    for blending, error in (("poisson", 0.05), ("alpha", 20)):
        joined = blend(image, image + 20, mask, blending=blending)
        inside = np.abs(joined - image)[90:170, 90:170].mean()
        assert inside == pytest.approx(0, abs=0.05) if error < 1 else inside > 19


def test_multiband_blending_keeps_the_source_inside_and_the_target_outside(target):
    image = target.image.astype(np.float32)
    source = image[::-1].copy()
    mask = np.zeros(image.shape[:2], np.float32)
    mask[40:220, 40:220] = 1
    joined = blend(image, source, mask, blending="multiband")
    assert np.abs(joined - source)[110:150, 110:150].mean() < 2
    np.testing.assert_allclose(joined[:20], image[:20], atol=1e-3)


def test_matched_colour_has_the_mean_of_the_target(target):
    image = target.image.astype(np.float32)
    mask = np.ones(image.shape[:2], np.float32)
    tinted = np.clip(image * [1.1, 0.9, 0.7], 0, 255).astype(np.float32)
    matched = matched_colour(tinted, image, mask)
    np.testing.assert_allclose(matched.mean((0, 1)), image.mean((0, 1)), atol=3)


def test_restoring_gives_a_blurred_face_its_sharpness_again(target):
    image = target.image.astype(np.float32)
    mask = np.ones(image.shape[:2], np.float32)
    soft = cv2.GaussianBlur(image, (0, 0), 2)

    def energy(picture: np.ndarray) -> float:
        grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
        return float(((grey - cv2.GaussianBlur(grey, (0, 0), 2)) ** 2).mean())

    result = restored(soft, image, mask, rng=np.random.default_rng(0))
    assert energy(soft) < 0.3 * energy(image)
    assert 0.5 * energy(image) < energy(result) < 2 * energy(image)


def test_grain_is_laid_over_as_strong_as_detail_is_missing_place_by_place(target):
    image = target.image.astype(np.float32)
    image[:, :128] = cv2.GaussianBlur(image[:, :128], (0, 0), 3)
    soft = cv2.GaussianBlur(image, (0, 0), 2)

    def fine(picture: np.ndarray) -> np.ndarray:
        grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
        return (grey - cv2.GaussianBlur(grey, (0, 0), 1)) ** 2

    result = regrained(soft, image, kept=(0.5, 0.5, 0.5), rng=np.random.default_rng(0))
    left, right = np.s_[20:-20, 20:108], np.s_[20:-20, 148:-20]
    assert fine(soft)[right].mean() < 0.3 * fine(image)[right].mean()
    for part in (left, right):
        assert 0.5 < fine(result)[part].mean() / fine(image)[part].mean() < 2
    assert np.abs(cv2.GaussianBlur(result - soft, (0, 0), 6)).mean() < 1
    again = regrained(image, image, kept=(0.5, 0.5, 0.5), rng=np.random.default_rng(0))
    np.testing.assert_allclose(again, image, atol=1e-3)


def test_an_upsampler_gives_smooth_pictures_back_and_is_hashable():
    rng = np.random.default_rng(0)
    coarse = rng.uniform(60, 200, (16, 16, 3)).astype(np.float32)
    smooth = cv2.resize(coarse, (192, 192), interpolation=cv2.INTER_CUBIC)
    picture = np.clip(smooth, 0, 255).astype(np.uint8)
    fitted = fit_upsampler([picture], seed=1)
    assert fitted == fit_upsampler([picture], seed=1)
    assert hash(fitted) == hash(pickle.loads(pickle.dumps(fitted)))
    for factor in (2, 3, 4):
        low = cv2.resize(smooth, (192 // factor,) * 2, interpolation=cv2.INTER_AREA)
        again = fitted(low, factor=factor)
        assert again.shape == smooth.shape
        assert np.abs(again - smooth)[16:-16, 16:-16].mean() < 6


def test_an_upsampler_leaves_a_periodic_pattern(tools):
    flat = np.full((32, 32, 3), 120, np.float32)
    result = tools["upsampling"]["tool"](flat, factor=4)[16:-16, 16:-16, 0]
    spectrum = np.abs(np.fft.fft2(result - result.mean()))
    n = result.shape[0]
    assert spectrum[0, n // 4] + spectrum[n // 4, 0] > 0.1 * spectrum.sum()


def test_an_upsampler_needs_a_picture():
    with pytest.raises(MissingMedia, match="48 px"):
        fit_upsampler([np.zeros((20, 20, 3), np.uint8)], seed=0)


def test_donors_are_the_closest_pairs_first_and_each_person_once():
    at = {"a": 0.0, "b": 10.0, "c": 1.0, "d": 12.0}
    descriptions = {name: np.array([x], np.float32) for name, x in at.items()}
    assert match_donors(descriptions) == {"a": "c", "c": "a", "b": "d", "d": "b"}


def test_the_last_of_an_odd_number_takes_the_nearest_donor_and_one_alone_has_none():
    at = {"a": 0.0, "b": 1.0, "c": 5.0}
    descriptions = {name: np.array([x], np.float32) for name, x in at.items()}
    assert match_donors(descriptions) == {"a": "b", "b": "a", "c": "b"}
    assert match_donors({"a": np.zeros(1, np.float32)}) == {}


def test_a_description_does_not_change_with_rotation_or_size(target):
    plain = describe(target)
    turned = prepare(
        target, replace(Plan.draw(0), rotation=10.0, zoom=0.8, shift=(0.0, 0.0), gain=1.0)
    )
    others = [np.linalg.norm(describe(subject(i)) - plain) for i in (20, 21, 22)]
    assert np.linalg.norm(describe(turned) - plain) < 0.3 * min(others)
