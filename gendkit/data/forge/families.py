"""The families of forgeries: what each is called, how it is made and what it needs.

In go a target, sometimes a donor and something fitted, and the pair's plan; out comes the target's
picture with another face where the mask is. Each generator returns a picture of the region of the
face and the part of the mask in which it acts; blending and restored sharpness are the same for
all.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from gendkit.data.forge import geometry
from gendkit.data.forge.autoencoder import autoencoder, fit_autoencoder
from gendkit.data.forge.blending import blend, restored
from gendkit.data.forge.diffusion import diffusion, fit_denoiser
from gendkit.data.forge.fitting import People
from gendkit.data.forge.generators import (
    landmark_swap,
    lip_replacement,
    reenactment,
    self_blend,
    upsampling,
)
from gendkit.data.forge.masks import draw_mask
from gendkit.data.forge.plan import Plan, Subject
from gendkit.data.forge.restorer import fit_restorer, swap_restorer
from gendkit.data.forge.scene import Generator, Scene, Tool
from gendkit.data.forge.upsampler import Upsampler, fit_upsampler
from gendkit.errors import GendkitError, UnknownPart

Tools = Callable[[str], Tool]
"""From the name of a donor to what was fitted for them; most families have one for everybody."""


@dataclass(frozen=True, kw_only=True)
class Family:
    """A kind of forgery.

    Attributes
    ----------
    generate
        From a scene to the forged region (H, W, 3) and the mask (H, W) in which it is put in.
    needs_donor
        Whether another person's face is needed.
    fit
        `fit(people, seed=...)` for a family that has to be fitted, on people of one split only.
    regrained
        Whether the generator gives its picture sharpness and grain itself.
    fits_everyone
        Whether it has to be fitted on all people who lend a face, else some are enough.
    """

    name: str
    summary: str
    generate: Generator
    needs_donor: bool = False
    regrained: bool = False
    fit: Callable[..., Tools] | None = None
    fits_everyone: bool = False


def forge(
    target: Subject,
    *,
    family: str,
    plan: Plan,
    donor: Subject | None = None,
    tool: Tool | None = None,
    moment: int | None = None,
) -> Subject:
    """Return the target with a forged face, in the same size and with the same landmarks.

    Parameters
    ----------
    target
        The picture, after `prepare`.
    family
        A name in `FAMILIES`.
    donor
        Another person, for a family that swaps.
    tool
        What the family's `fit` gave for that donor, for a family that is fitted.
    moment
        Number of the frame in a film: grain differs from frame to frame, all else is the plan's.

    Raises
    ------
    UnknownPart
        For a family that does not exist.
    GendkitError
        If the family needs a donor or has to be fitted and that is not given.
    """
    kind = family_named(family)
    if kind.needs_donor and donor is None:
        raise GendkitError(f"{family} needs a donor: forge(..., donor=Subject(...)).")
    if kind.fit is not None and tool is None:
        raise GendkitError(
            f"{family} has to be fitted: forge(..., tool=...), where the tool is "
            f"family_named({family!r}).fit(people, seed=...)(name of the donor)."
        )
    rows, columns = geometry.face_region(target.landmarks, target.image.shape)
    image = target.image[rows, columns].astype(np.float32)
    offset = np.array([columns.start, rows.start], np.float32)
    points = geometry.face_points(target.landmarks) - offset
    unit = geometry.eye_distance(target.landmarks)
    key = zlib.crc32(family.encode())
    rng = plan.generator(2, key)
    scene = Scene(
        image=image,
        points=points,
        mask=draw_mask(points, plan, image.shape, unit=unit),
        unit=unit,
        plan=plan,
        rng=rng,
        donor=donor,
        tool=tool,
        grain=rng if moment is None else plan.generator(2, key, moment),
    )
    source, mask = kind.generate(scene)
    joined = blend(image, source.astype(np.float32), mask, blending=plan.blending)
    if not kind.regrained:
        joined = restored(joined, image, mask, rng=scene.grain)
    forged = target.image.copy()
    forged[rows, columns] = np.clip(np.rint(joined), 0, 255).astype(np.uint8)
    return replace(target, image=forged)


def family_named(name: str) -> Family:
    """Return a family by name, or raise UnknownPart."""
    for family in FAMILIES:
        if family.name == name:
            return family
    raise UnknownPart(
        f"no family of forgeries is named {name!r}; there is {', '.join(f.name for f in FAMILIES)}."
    )


def _fit_upsampler(people: People, *, seed: int) -> Tools:
    fitted: Upsampler = fit_upsampler((of[0]().image for of in people.values()), seed=seed)
    return lambda _: fitted


FAMILIES: tuple[Family, ...] = (
    Family(
        name="self-blend",
        summary="the face itself, moved, recoloured and resharpened",
        generate=self_blend,
    ),
    Family(
        name="landmark-swap",
        summary="the nearest donor's face, warped, in the target's colours",
        generate=landmark_swap,
        needs_donor=True,
    ),
    Family(
        name="upsampling",
        summary="reduced and enlarged by a fitted transposed convolution, as a GAN does",
        generate=upsampling,
        fit=_fit_upsampler,
    ),
    Family(
        name="reenactment",
        summary="mouth, brows and jaw moved along a smooth flow",
        generate=reenactment,
    ),
    Family(
        name="lip-replacement",
        summary="the lower face rendered at 96 px with another mouth",
        generate=lip_replacement,
    ),
    Family(
        name="autoencoder",
        summary="the donor's face drawn by a decoder, with one encoder for all",
        generate=autoencoder,
        needs_donor=True,
        regrained=True,
        fit=fit_autoencoder,
        fits_everyone=True,
    ),
    Family(
        name="swap-restorer",
        summary="a small swap, enlarged by a fitted network, with grain",
        generate=swap_restorer,
        needs_donor=True,
        fit=fit_restorer,
    ),
    Family(
        name="diffusion",
        summary="eyes, mouth or inner face painted anew from noise, in a few steps",
        generate=diffusion,
        regrained=True,
        fit=fit_denoiser,
    ),
)
