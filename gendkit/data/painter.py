"""The painter of `gendkit.data.drawn`: from a person and a shot to a scene without camera.

In go a `Person` and a `Shot`, out come a float32 picture (size, size, 3) of 0 to 255 and the five
landmarks. Flat colours are painted as soft polygons; light falls on a height field of the face.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

from gendkit.data.canvas import Canvas, natural_noise, oval, smooth
from gendkit.data.forge.geometry import Floats

if TYPE_CHECKING:
    from gendkit.data.drawn import Person, Shot

_DEPTH = 0.9  # of the eyes, in front of the axis about which the head turns


def paint_face(
    person: Person, shot: Shot, *, size: int, rng: np.random.Generator, marks: np.random.Generator
) -> tuple[Floats, Floats]:
    """Return the scene (size, size, 3) and the landmarks (5, 2) in pixels.

    Parameters
    ----------
    rng
        For what belongs to the shot.
    marks
        For what belongs to the person's skin and hair.
    """
    skin = np.array(person.skin)
    rough = natural_noise((size, size), rng, exponent=1.2)
    canvas = Canvas(shot, size, _background(shot, size, rough, rng))
    strands = _strands(size, marks)
    _body(canvas, person, shot, rough)
    _hair_behind(canvas, person, strands)
    head = _head(person)
    for side in (-1, 1):
        ear = oval((side * (person.face_width - 0.01), 0.28), 0.13, 0.3)
        canvas.paint(ear, 0.88 * skin, depth=-0.35)
        canvas.paint(oval((side * person.face_width, 0.28), 0.06, 0.18), 0.7 * skin, depth=-0.35)
    canvas.paint(head, skin, soft=0.012)
    whole = np.zeros((size, size), np.float32)
    window, mask = canvas.cover(head, soft=0.012)
    whole[window] = mask
    _complexion(canvas, person, whole, marks)
    mouth_corners = _mouth(canvas, person, shot)
    _eyes(canvas, person, shot)
    _brows(canvas, person, shot, strands)
    _nose(canvas, person)
    if person.beard:
        _beard(canvas, person, shot, whole, strands, marks)
    _lit(canvas, person, shot, whole)
    if not person.bald:
        _hair_front(canvas, person, strands)
    if person.glasses:
        _glasses(canvas, person)
    landmarks = np.concatenate(
        [
            canvas.pixels([(-0.5, 0), (0.5, 0)], _DEPTH - 0.75),
            canvas.pixels([(0, person.nose_length - 0.05)], 0.62),
            canvas.pixels(mouth_corners, 0.12),
        ]
    )
    return canvas.image, landmarks.astype(np.float32)


def _head(person: Person) -> NDArray[np.float64]:
    w = person.face_width
    right = [
        (0.0, -1.42), (0.55 * w, -1.3), (0.9 * w, -0.85), (w, -0.2), (0.985 * w, 0.5),
        (0.5 * (w + person.jaw_width) + 0.06, 1.0), (person.jaw_width, person.jaw_height),
        (0.32, person.chin - 0.06),
    ]  # fmt: skip
    left = [(-x, y) for x, y in reversed(right[1:])]
    return smooth([*right, (0.0, person.chin), *left])


def _strands(size: int, rng: np.random.Generator) -> Floats:
    fine = rng.standard_normal((size // 12 + 2, size), np.float32)
    field = cv2.resize(fine, (size, size), interpolation=cv2.INTER_CUBIC)
    field = field + 1.2 * cv2.GaussianBlur(field, (0, 0), 2.0)
    return np.asarray(0.16 * field)


def _background(shot: Shot, size: int, rough: Floats, rng: np.random.Generator) -> Floats:
    small = max(size // 4, 8)
    ramp = np.linspace(0, 1, small, dtype=np.float32)
    angle = rng.uniform(0, 2 * np.pi)
    mix = 0.5 + (ramp[None] - 0.5) * np.cos(angle) + (ramp[:, None] - 0.5) * np.sin(angle)
    first, second = np.array(shot.background), np.array(shot.backdrop)
    image = (first + np.clip(mix, 0, 1)[..., None] * (second - first)).astype(np.float32)
    for _ in range(int(rng.integers(0, 4))):
        centre = tuple(int(v) for v in rng.uniform(0, small, 2))
        shade = image.mean((0, 1)) * rng.uniform(0.7, 1.3, 3)
        spot = np.zeros((small, small), np.float32)
        cv2.circle(spot, centre, int(rng.uniform(0.08, 0.3) * small), 1.0, -1)
        spot = cv2.GaussianBlur(spot, (0, 0), 0.05 * small)[..., None]
        image += 0.6 * spot * (shade.astype(np.float32) - image)
    image = cv2.resize(image, (size, size), interpolation=cv2.INTER_CUBIC)
    return np.asarray(np.clip(image + 7 * rough[::-1, :, None], 0, 255), np.float32)


def _body(canvas: Canvas, person: Person, shot: Shot, rough: Floats) -> None:
    skin, jaw = np.array(person.skin), person.jaw_width
    bottom = 6.0
    shoulders = [
        (-0.62, 2.35), (-1.5, 2.65), (-2.5, 3.0), (-2.9, bottom), (2.9, bottom), (2.5, 3.0),
        (1.5, 2.65), (0.62, 2.35), (0.0, 2.75),
    ]  # fmt: skip
    neck = [(-0.85 * jaw, 1.0), (-0.85 * jaw, 2.9), (0.85 * jaw, 2.9), (0.85 * jaw, 1.0)]
    canvas.paint(neck, 0.8 * skin, depth=-0.3, soft=0.03)
    throat = np.zeros(canvas.image.shape[:2], np.float32)
    window, mask = canvas.cover(neck, depth=-0.3, soft=0.03)
    throat[window] = mask
    canvas.paint(
        [(-0.9, 1.2), (-0.8 * jaw, 2.1), (0, 2.35), (0.8 * jaw, 2.1), (0.9, 1.2)], 0.6 * skin,
        depth=-0.2, soft=0.12, opacity=0.7, within=throat,
    )  # fmt: skip
    canvas.paint(shoulders, shot.clothes, depth=-0.3, soft=0.02, texture=0.06 * rough)


def _hair_behind(canvas: Canvas, person: Person, strands: Floats) -> None:
    if person.bald:
        return
    wide = person.face_width + person.hair_volume
    top = -1.5 - person.hair_volume
    outline = [(0, top), (0.62 * wide, top + 0.14), (0.98 * wide, -0.8), (1.04 * wide, 0.0)]
    if person.hair_length:
        low = person.hair_length
        outline += [(1.1 * wide, 0.6 * low), (1.08 * wide, low), (0.7 * wide, low + 0.1)]
    else:
        outline += [(0.98 * wide, 0.25)]
    outline += [(-x, y) for x, y in reversed(outline[1:])]
    canvas.paint(
        smooth(outline), 0.75 * np.array(person.hair), depth=-0.45, soft=0.03, texture=strands
    )


def _hair_front(canvas: Canvas, person: Person, strands: Floats) -> None:
    wide = person.face_width + 0.6 * person.hair_volume
    top, line = -1.46 - person.hair_volume, -person.hairline
    side = 0.5 if person.hair_length else 0.1
    part = 0.5 * person.parting
    outline = [
        (0, top), (0.62 * wide, top + 0.13), (0.97 * wide, -0.75), (1.02 * wide, -0.1),
        (person.face_width + 0.01, side), (person.face_width - 0.06, -0.25),
        (0.8 * person.face_width, line + 0.3), (0.45 + 0.4 * part, line + 0.02),
        (part, line - 0.06), (-0.45 + 0.4 * part, line + 0.02),
        (-0.8 * person.face_width, line + 0.3), (-person.face_width + 0.06, -0.25),
        (-person.face_width - 0.01, side), (-1.02 * wide, -0.1), (-0.97 * wide, -0.75),
        (-0.62 * wide, top + 0.13),
    ]  # fmt: skip
    hair = np.array(person.hair)
    canvas.paint(smooth(outline), hair, depth=-0.05, soft=0.035, texture=strands)
    shine = oval((0.25 * person.parting, -1.25), 0.5, 0.12)
    canvas.paint(shine, 1.5 * hair + 14, soft=0.12, opacity=0.3, texture=strands)


def _complexion(canvas: Canvas, person: Person, whole: Floats, marks: np.random.Generator) -> None:
    """Redden cheeks and nose, then lay blotches, pores and freckles over the skin."""
    skin = np.array(person.skin)
    red = skin * np.array([1.02, 0.86, 0.86])
    for side in (-1, 1):
        canvas.paint(oval((side * 0.62, 0.75), 0.3, 0.24), red, depth=0.2, soft=0.16, opacity=0.55)
    canvas.paint(oval((0, 0.5), 0.16, 0.16), red, depth=0.55, soft=0.1, opacity=0.4)
    size = canvas.size
    blotches = natural_noise((size, size), marks, exponent=1.1)
    pores = cv2.GaussianBlur(marks.standard_normal((size, size), np.float32), (0, 0), 0.7)
    texture = 0.018 * blotches + 0.035 * pores
    canvas.image *= 1 + (whole * texture)[..., None] * np.array([0.8, 1.1, 1.2], np.float32)
    if person.freckles:
        for x, y in marks.uniform((-0.8, 0.15), (0.8, 0.9), (int(60 * person.freckles), 2)):
            dot = oval((x, y), 0.018, 0.018)
            canvas.paint(dot, 0.68 * skin, depth=0.25, soft=0.01, opacity=0.6)
    if person.wrinkles > 0.45:
        strength = 0.5 * (person.wrinkles - 0.3)
        for row in (-0.55, -0.7):
            line = smooth([(-0.4, row), (0, row - 0.03), (0.4, row), (0, row - 0.005)])
            canvas.paint(line, 0.75 * skin, depth=0.2, soft=0.015, opacity=strength)


def _eyes(canvas: Canvas, person: Person, shot: Shot) -> None:
    skin, depth = np.array(person.skin), _DEPTH - 0.75
    w, h = person.eye_width, person.eye_height * shot.eyes
    for side in (-1, 1):
        x = 0.5 * side
        tilt = -person.eye_tilt * side
        canvas.paint(oval((x, -0.02), 1.35 * w, 0.2), 0.82 * skin, depth=depth, soft=0.06,
                     opacity=0.6)  # fmt: skip
        bags = [(x - w, 0.06), (x, 0.16), (x + w, 0.06), (x, 0.24)]
        canvas.paint(smooth(bags), 0.85 * skin, depth=depth, soft=0.03, opacity=0.5)
        lid = np.array([
            (-w, 0.02), (-0.5 * w, -0.8 * h), (0.05 * w, -h), (0.6 * w, -0.7 * h),
            (w, 0.0), (0.5 * w, 0.62 * h), (-0.1 * w, 0.8 * h), (-0.6 * w, 0.55 * h),
        ])  # fmt: skip
        almond = smooth([(x + px, py + tilt * px) for px, py in lid])
        window, mask = canvas.cover(almond, depth=depth, soft=0.008)
        inside = np.zeros(canvas.image.shape[:2], np.float32)
        inside[window] = mask
        canvas.paint(almond, (226, 220, 214), depth=depth, soft=0.008)
        centre = (x + shot.gaze * 0.35 * w, -0.005)
        iris = np.array(person.iris)
        canvas.paint(oval(centre, 0.115, 0.115), 0.6 * iris, depth=depth, within=inside)
        canvas.paint(oval(centre, 0.095, 0.095), 1.1 * iris, depth=depth, within=inside)
        canvas.paint(oval(centre, 0.045, 0.045), (14, 12, 12), depth=depth, within=inside)
        spot = (centre[0] + 0.03 * np.sign(shot.light[0]), -0.045)
        canvas.paint(oval(spot, 0.02, 0.02), (250, 250, 248), depth=depth, within=inside)
        shadow = [(x - w, -h), (x, -1.2 * h), (x + w, -h), (x, -0.45 * h)]
        canvas.paint(smooth(shadow), (60, 45, 40), depth=depth, soft=0.02, opacity=0.45,
                     within=inside)  # fmt: skip
        upper = [*lid[:5], *(lid[4:0:-1] + np.array([0, -0.035]))]
        canvas.paint(smooth([(x + px, py + tilt * px) for px, py in upper]), (38, 28, 26),
                     depth=depth, soft=0.008, opacity=0.9)  # fmt: skip
        crease = [(x - w, -0.06), (x, -h - 0.1), (x + w, -0.08), (x, -h - 0.07)]
        canvas.paint(smooth(crease), 0.62 * skin, depth=depth, soft=0.012, opacity=0.7)


def _brows(canvas: Canvas, person: Person, shot: Shot, strands: Floats) -> None:
    colour = 0.7 * np.array(person.hair) + 0.12 * np.array(person.skin)
    thick, arch = person.brow_width, person.brow_arch
    y = -person.brow_height - shot.brows
    for side in (-1, 1):
        spine = [(0.2, y + 0.01), (0.4, y - 0.6 * arch), (0.6, y - arch), (0.84, y + 0.05)]
        widths = (thick, 1.1 * thick, 0.8 * thick, 0.1 * thick)
        outline = [(side * px, py - t) for (px, py), t in zip(spine, widths, strict=True)]
        outline += [
            (side * px, py + t) for (px, py), t in zip(spine[::-1], widths[::-1], strict=True)
        ]
        canvas.paint(smooth(outline), colour, depth=0.28, soft=0.022, opacity=0.85,
                     texture=1.5 * strands.T)  # fmt: skip


def _nose(canvas: Canvas, person: Person) -> None:
    skin, w, y = np.array(person.skin), person.nose_width, person.nose_length
    for side in (-1, 1):
        wing = smooth([(side * (w + 0.02), y - 0.1), (side * (w + 0.03), y + 0.02),
                        (side * (w - 0.06), y + 0.08), (side * (w - 0.02), y)])  # fmt: skip
        canvas.paint(wing, 0.68 * skin, depth=0.35, soft=0.02, opacity=0.7)
        canvas.paint(oval((side * 0.46 * w, y + 0.045), 0.3 * w, 0.035), 0.3 * skin, depth=0.45,
                     soft=0.014, opacity=0.85)  # fmt: skip
        ridge = smooth([(side * 0.1, -0.05), (side * 0.12, 0.3), (side * 0.2, y - 0.1),
                         (side * 0.14, 0.3)])  # fmt: skip
        canvas.paint(ridge, 0.82 * skin, depth=0.35, soft=0.04, opacity=0.6)
    canvas.paint(oval((0, y + 0.1), 0.8 * w, 0.04), 0.68 * skin, depth=0.35, soft=0.04,
                 opacity=0.7)  # fmt: skip


def _mouth(canvas: Canvas, person: Person, shot: Shot) -> list[tuple[float, float]]:
    """Paint the mouth and return its corners in face coordinates."""
    skin = np.array(person.skin)
    redder = skin * np.array([0.92, 0.62, 0.62])
    lips = skin + (0.5 + person.lips) * (redder - skin)
    w = person.mouth_width * (1 + 0.14 * max(shot.smile, 0))
    y, lift, gap = person.mouth_drop, 0.07 * shot.smile, shot.opened
    up, low = person.upper_lip, person.lower_lip
    corners = [(-w, y - lift), (w, y - lift)]
    inner = [
        (-w, y - lift), (-0.45 * w, y - 0.1 * gap), (0, y), (0.45 * w, y - 0.1 * gap),
        (w, y - lift), (0.5 * w, y + 0.6 * gap), (0, y + gap), (-0.5 * w, y + 0.6 * gap),
    ]  # fmt: skip
    upper = [
        (-w, y - lift), (-0.5 * w, y - 0.75 * up - 0.4 * lift), (-0.14 * w, y - up),
        (0, y - 0.8 * up), (0.14 * w, y - up), (0.5 * w, y - 0.75 * up - 0.4 * lift),
        (w, y - lift), (0.45 * w, y + 0.01), (0, y + 0.015), (-0.45 * w, y + 0.01),
    ]  # fmt: skip
    lower = [
        (-w, y - lift), (-0.5 * w, y + 0.5 * gap), (0, y + gap), (0.5 * w, y + 0.5 * gap),
        (w, y - lift), (0.55 * w, y + gap + 0.7 * low), (0, y + gap + low),
        (-0.55 * w, y + gap + 0.7 * low),
    ]  # fmt: skip
    depth = 0.25
    if gap > 0.02:
        canvas.paint(smooth(inner), (52, 22, 22), depth=depth, soft=0.01)
        teeth = [
            (-0.7 * w, y - 0.3 * lift), (0, y + 0.01), (0.7 * w, y - 0.3 * lift),
            (0.45 * w, y + 0.45 * gap), (0, y + 0.6 * gap), (-0.45 * w, y + 0.45 * gap),
        ]  # fmt: skip
        canvas.paint(smooth(teeth), (214, 206, 194), depth=depth, soft=0.012, opacity=0.9)
    canvas.paint(smooth(lower), 1.04 * lips, depth=depth, soft=0.014)
    canvas.paint(oval((0, y + gap + 0.5 * low), 0.3 * w, 0.3 * low), 1.2 * lips + 12, depth=depth,
                 soft=0.03, opacity=0.5)  # fmt: skip
    canvas.paint(smooth(upper), 0.84 * lips, depth=depth, soft=0.014)
    line = [(-w, y - lift - 0.01), (0, y - 0.008), (w, y - lift - 0.01), (0, y + 0.016)]
    canvas.paint(smooth(line), 0.32 * lips, depth=depth, soft=0.01, opacity=0.75)
    below = oval((0, y + gap + low + 0.07), 0.6 * w, 0.04)
    canvas.paint(below, 0.75 * skin, depth=depth, soft=0.05, opacity=0.6)
    for side in (-1, 1):
        fold = smooth([(side * 0.33, person.nose_length), (side * (w + 0.14), y - 0.1),
                        (side * (w + 0.12), y + 0.08), (side * (w + 0.08), y - 0.08)])  # fmt: skip
        opacity = 0.2 + 0.3 * max(shot.smile, 0) + 0.25 * person.wrinkles
        canvas.paint(fold, 0.74 * skin, depth=0.2, soft=0.03, opacity=opacity)
    return corners


def _beard(
    canvas: Canvas, person: Person, shot: Shot, whole: Floats, strands: Floats,
    marks: np.random.Generator,
) -> None:  # fmt: skip
    hair = 0.85 * np.array(person.hair)
    w, y = person.face_width, person.mouth_drop
    low = person.lower_lip + shot.opened
    outline = [(-w, 0.55), (-0.72 * w, 0.95), (-0.5, y - 0.02), (-0.3, y + low + 0.04),
               (0, y + low + 0.02), (0.3, y + low + 0.04), (0.5, y - 0.02), (0.72 * w, 0.95),
               (w, 0.55), (0.95 * w, 1.4), (0.3, 2.12), (-0.3, 2.12), (-0.95 * w, 1.4)]  # fmt: skip
    bristles = strands + 0.22 * cv2.GaussianBlur(
        marks.standard_normal(whole.shape, np.float32), (0, 0), 0.6
    )
    canvas.paint(smooth(outline), hair, depth=0.05, soft=0.07, opacity=person.beard,
                 texture=bristles, within=whole)  # fmt: skip
    if person.moustache:
        top = person.nose_length + 0.14
        lip = y - person.upper_lip
        shape = [(-0.46, y), (-0.25, top + 0.02), (0, top), (0.25, top + 0.02), (0.46, y),
                 (0.2, lip - 0.01), (0, lip), (-0.2, lip - 0.01)]  # fmt: skip
        canvas.paint(smooth(shape), hair, depth=0.3, soft=0.03, opacity=person.moustache,
                     texture=bristles)  # fmt: skip


def _glasses(canvas: Canvas, person: Person) -> None:
    colour, r = 0.3 * np.array(person.hair) + 10, person.glasses
    for side in (-1, 1):
        outer = oval((0.5 * side, 0.02), r + 0.03, 0.85 * r + 0.03, power=0.75)
        inner = oval((0.5 * side, 0.02), r, 0.85 * r, power=0.75)
        keep = canvas.image.copy()
        canvas.paint(outer, colour, depth=0.35, soft=0.008)
        window, mask = canvas.cover(inner, depth=0.35, soft=0.008)
        part = canvas.image[window]
        part += mask[..., None] * (0.97 * keep[window] + 6 - part)
        temple = [(side * (0.5 + r), -0.04), (side * person.face_width, -0.02),
                  (side * person.face_width, 0.03), (side * (0.5 + r), 0.02)]  # fmt: skip
        canvas.paint(temple, colour, depth=0.1, soft=0.01)
    gap = 0.5 - r
    bridge = [(-gap, -0.03), (0, -0.06), (gap, -0.03), (gap, 0.01), (0, -0.02), (-gap, 0.01)]
    canvas.paint(bridge, colour, depth=0.4, soft=0.008)


def _lit(canvas: Canvas, person: Person, shot: Shot, whole: Floats) -> None:
    """Let light fall on the face: Lambert's law on a height field, and a little gloss."""
    size = canvas.size
    half = size // 2
    rows, columns = np.mgrid[:half, :half].astype(np.float32) * 2 + 0.5
    grid = (np.stack([columns, rows], -1) - canvas.origin) @ canvas.turn / canvas.unit
    x, y = grid[..., 0].astype(np.float32), grid[..., 1].astype(np.float32)
    bump = (x / (person.face_width + 0.12)) ** 2 + ((y - 0.25) / 1.95) ** 2
    height = 1.15 * np.sqrt(np.maximum(1 - bump, 0.02))
    w, nose, mouth = person.nose_width, person.nose_length, person.mouth_drop
    bumps = [
        ((0, 0.2), 0.12, 0.3, 0.16, 0.3), ((0, nose - 0.08), 0.75 * w, 0.16, 0.26, 0.5),
        ((-0.8 * w, nose), 0.09, 0.09, 0.07, 0.35), ((0.8 * w, nose), 0.09, 0.09, 0.07, 0.35),
        ((0, mouth + 0.04), 0.34, 0.16, 0.1, 0.3), ((0, person.chin - 0.28), 0.3, 0.2, 0.12, 0.2),
        ((-0.66, 0.55), 0.3, 0.26, 0.1, 0.2), ((0.66, 0.55), 0.3, 0.26, 0.1, 0.2),
        ((-0.5, -0.02), 0.28, 0.15, -0.1, 0.15), ((0.5, -0.02), 0.28, 0.15, -0.1, 0.15),
        ((-0.45, -0.36), 0.35, 0.12, 0.06, 0.25), ((0.45, -0.36), 0.35, 0.12, 0.06, 0.25),
    ]  # fmt: skip
    for centre, wide, high, amount, depth in bumps:
        cx, cy = canvas.flat([centre], depth)[0]
        height += amount * np.exp(-(((x - cx) / wide) ** 2) - ((y - cy) / high) ** 2)
    step = 2 / canvas.unit
    slope_y, slope_x = np.gradient(height, step)
    normal = np.stack([-slope_x, -slope_y, np.ones_like(slope_x)], -1)
    normal /= np.linalg.norm(normal, axis=-1, keepdims=True)
    light = np.array(shot.light)
    light[:2] = canvas.turn.T @ light[:2]
    facing = np.clip(normal @ light, 0, 1)
    shade = cv2.GaussianBlur((shot.ambient + 0.62 * facing).astype(np.float32), (0, 0), 1.0)
    halfway = light + np.array([0, 0, 1])
    gloss = np.clip(normal @ (halfway / np.linalg.norm(halfway)), 0, 1) ** 24
    big = (size, size)
    shade = cv2.resize(shade, big, interpolation=cv2.INTER_LINEAR)
    gloss = cv2.resize(gloss.astype(np.float32), big, interpolation=cv2.INTER_LINEAR)
    lit = canvas.image * shade[..., None] + 26 * gloss[..., None]
    canvas.image += whole[..., None] * (lit - canvas.image)
