"""Forgeries of a face: a plan shared by a pair, and eight families of generators.

In goes a picture with five landmarks, out comes the picture that a clip of the pair shows. A real
clip is `finish(prepare(photo))`, a fake `finish(forge(prepare(photo)))`, all with one `Plan`.
Everything is determined by the plan's seed, and for a family that is fitted by the seed of the fit.
"""

from gendkit.data.forge.donors import describe, match_donors
from gendkit.data.forge.families import FAMILIES, Family, Tools, family_named, forge
from gendkit.data.forge.masks import draw_mask
from gendkit.data.forge.plan import BLENDINGS, MASKS, Plan, Subject, finish, jpeg, prepare
from gendkit.data.forge.scene import Tool
from gendkit.data.forge.upsampler import Upsampler, fit_upsampler

__all__ = [
    "BLENDINGS",
    "FAMILIES",
    "MASKS",
    "Family",
    "Plan",
    "Subject",
    "Tool",
    "Tools",
    "Upsampler",
    "describe",
    "draw_mask",
    "family_named",
    "finish",
    "fit_upsampler",
    "forge",
    "jpeg",
    "match_donors",
    "prepare",
]
