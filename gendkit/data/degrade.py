"""Degradations as values: steps such as `jpeg:60`, and chains of them.

A text enters, a frozen `Chain` leaves, and of it, for each sample, what is really done, a `Drawn`.
`gendkit.data.degrade_image` does it to one picture, `gendkit.data.degrade_batch` to a whole batch.

A chain is written as steps with commas between them, done from left to right. A step is its name
and its values with colons between them; for training a value may be a range, of which each sample
draws its own, and `@` says how often the step is done at all::

    resize:112:bicubic, jpeg:60, noise:0.03
    jpeg:40..100, blur:3..9:0.5..2@0.1

Unlike the negative controls (`gendkit.data.controls`), of which only strengths within a range are
known, a chain says exactly what is done.
"""

from __future__ import annotations

import difflib
import math
from dataclasses import dataclass
from types import MappingProxyType

from numpy.random import Generator

from gendkit.errors import InvalidArgument

INTERPOLATIONS = ("nearest", "bilinear", "bicubic", "area", "lanczos", "hamming")


@dataclass(frozen=True, kw_only=True)
class Range:
    """From which each sample draws a value of its own, both ends included."""

    low: float
    high: float

    def __str__(self) -> str:
        return f"{_number(self.low)}..{_number(self.high)}"


Value = float | str | Range


@dataclass(frozen=True, kw_only=True)
class Parameter:
    """What a step takes: a number with its unit from `low` to `high`, or a name `among` some.

    A `whole` number, or an `odd` one; without a `default` it has to be given.
    """

    name: str
    unit: str
    low: float = 0.0
    high: float = 0.0
    whole: bool = False
    odd: bool = False
    among: tuple[str, ...] = ()
    default: float | None = None

    @property
    def limits(self) -> str:
        """What it may be, in words."""
        if self.among:
            return f"one of {', '.join(self.among)}"
        kind = "an odd number" if self.odd else "a whole number" if self.whole else "a number"
        return f"{kind} from {_number(self.low)} to {_number(self.high)}, the {self.unit}"

    def checked(self, value: Value) -> Value:
        """Return a value if it is possible, whole numbers as `int`.

        Raises
        ------
        ValueError
            With what is wrong.
        """
        if isinstance(value, Range):
            low, high = self._whole(value.low), self._whole(value.high)
            if low > high:
                raise ValueError(f"{self.name} is {value}; the lower end of a range comes first")
            return Range(low=low, high=high) if low < high else low
        if self.among and value in self.among:
            return value
        if self.among or isinstance(value, str):
            raise self._wrong(value)
        return self._whole(value)

    def _whole(self, value: float) -> float:
        if self.among or isinstance(value, bool) or not self.low <= value <= self.high:
            raise self._wrong(value)
        if (self.whole and value % 1) or (self.odd and value % 2 != 1):
            raise self._wrong(value)
        return int(value) if self.whole or self.odd else float(value) + 0.0

    def _wrong(self, value: Value) -> ValueError:
        return ValueError(f"{self.name} is {_shown(value)}; it is {self.limits}")

    def draw(self, value: Value, rng: Generator) -> float | str:
        """Return a value of a range, every one as likely as another; others are what they are."""
        if not isinstance(value, Range):
            return value
        if self.whole or self.odd:
            step = 2 if self.odd else 1
            return int(value.low + step * rng.integers(int(value.high - value.low) // step + 1))
        return float(rng.uniform(value.low, value.high))


@dataclass(frozen=True, kw_only=True)
class Kind:
    """A kind of step: its name, a line about it, and what it takes."""

    name: str
    summary: str
    parameters: tuple[Parameter, ...]
    example: str


KINDS: MappingProxyType[str, Kind] = MappingProxyType(
    {
        kind.name: kind
        for kind in (
            Kind(
                name="jpeg", summary="JPEG, colour 4:2:0, as libjpeg", example="jpeg:60",
                parameters=(
                    Parameter(name="quality", unit="quality of libjpeg", low=1, high=100,
                              whole=True),
                ),
            ),
            Kind(
                name="blur", summary="Gaussian blur, mirrored at the edges", example="blur:7:1",
                parameters=(
                    Parameter(name="kernel", unit="side of the kernel in pixels", low=1, high=99,
                              odd=True),
                    Parameter(name="sigma", unit="standard deviation in pixels", low=0.01, high=50),
                ),
            ),
            Kind(
                name="resize", summary="to another size and back", example="resize:112:bicubic",
                parameters=(
                    Parameter(name="side", unit="shorter side in pixels", low=1, high=8192,
                              whole=True),
                    Parameter(name="interpolation", unit="interpolation", among=INTERPOLATIONS),
                ),
            ),
            Kind(
                name="noise", summary="Gaussian noise", example="noise:0.03",
                parameters=(
                    Parameter(name="sigma", unit="standard deviation, white being 1", low=0,
                              high=1),
                ),
            ),
            Kind(
                name="colour", summary="brightness, then contrast, saturation and hue",
                example="colour:1.1:0.9:1:0.02",
                parameters=(
                    *(Parameter(name=name, unit="factor, 1 being as it is", low=0, high=10,
                                default=1) for name in ("brightness", "contrast", "saturation")),
                    Parameter(name="hue", unit="shift in turns of the colour circle", low=-0.5,
                              high=0.5, default=0),
                ),
            ),
            Kind(
                name="h264", summary="one frame of H.264 video, colour 4:2:0", example="h264:28",
                parameters=(
                    Parameter(name="crf", unit="constant rate factor", low=0, high=51, whole=True),
                ),
            ),
        )
    }
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Step:
    """One degradation with its values.

    Attributes
    ----------
    name
        One of `KINDS`.
    arguments
        Of the kind's parameters, in their order. Those that have a default may be left out.
    probability
        How often it is done, above 0 and up to 1.

    Raises
    ------
    InvalidArgument
        For an unknown name or an impossible value, with its limits.
    """

    name: str
    arguments: tuple[Value, ...]
    probability: float = 1.0

    def __post_init__(self) -> None:
        """Check, and put in what was left out."""
        if self.name not in KINDS:
            raise InvalidArgument(_unknown(self.name))
        parameters, given = self.kind.parameters, self.arguments
        defaults = [p.default for p in parameters[len(given) :]]
        if not given or len(given) > len(parameters) or None in defaults:
            takes = ":".join(p.name for p in parameters)
            raise InvalidArgument(
                f"{self.name} takes {takes}, such as {self.kind.example}; "
                f"got {':'.join(map(_shown, given)) or 'nothing'}."
            )
        values = (*given, *(d for d in defaults if d is not None))
        try:
            checked = [p.checked(v) for p, v in zip(parameters, values, strict=True)]
        except ValueError as error:
            raise InvalidArgument(f"{self.name}: {error}.") from None
        if not 0 < self.probability <= 1:
            raise InvalidArgument(
                f"{self.name}: @{_shown(self.probability)} says how often the step is done; "
                "it is above 0 and at most 1."
            )
        object.__setattr__(self, "arguments", tuple(checked))
        object.__setattr__(self, "probability", float(self.probability))

    def __str__(self) -> str:
        often = "" if self.probability == 1 else f"@{_number(self.probability)}"
        return ":".join([self.name, *map(_shown, self.arguments)]) + often

    @property
    def kind(self) -> Kind:
        """What it is, and what it takes."""
        return KINDS[self.name]

    @property
    def exact(self) -> bool:
        """Whether it is the same for every sample."""
        return self.probability == 1 and not any(isinstance(v, Range) for v in self.arguments)

    @classmethod
    def parse(cls, text: str) -> Step:
        """Read a step such as `blur:3..9:0.5..2@0.1`.

        Raises
        ------
        InvalidArgument
            If it is none.
        """
        body, at, often = (part.strip() for part in text.partition("@"))
        name, *values = (part.strip() for part in body.split(":"))
        probability = _value(often) if at else 1.0
        if not isinstance(probability, float):
            raise InvalidArgument(
                f"{text.strip()!r}: {often!r} says how often the step is done; give a number."
            )
        return cls(name=name, arguments=tuple(map(_value, values)), probability=probability)


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """What is done to one sample: steps without ranges, and the seed of their noise."""

    steps: tuple[Step, ...] = ()
    seed: int = 0


@dataclass(frozen=True, kw_only=True)
class Chain:
    """Steps, done one after another; none leave a picture as it is.

    `str` gives its text, from which `parse` makes the same chain.
    """

    steps: tuple[Step, ...] = ()

    def __str__(self) -> str:
        return ",".join(map(str, self.steps))

    @property
    def exact(self) -> bool:
        """Whether it is the same for every sample, but for the noise."""
        return all(step.exact for step in self.steps)

    @classmethod
    def parse(cls, text: str) -> Chain:
        """Read a chain such as `resize:112:bicubic, jpeg:60@0.5`.

        Raises
        ------
        InvalidArgument
            If it is none, naming the step and the limits of its values.
        """
        parts = [part.strip() for part in text.split(",")]
        if not all(parts):
            raise InvalidArgument(
                f"{text!r}: {'between commas' if any(parts) else 'here'} a step is expected, such "
                f"as {', '.join(kind.example for kind in KINDS.values())}."
            )
        return cls(steps=tuple(map(Step.parse, parts)))

    def at(self, seed: int) -> Drawn:
        """Return what is done to a sample whose noise has this seed.

        Raises
        ------
        InvalidArgument
            If there is something to draw: a range or a probability.
        """
        if not self.exact:
            step = next(step for step in self.steps if not step.exact)
            raise InvalidArgument(
                f"{step}: here every value is to be given exactly, without `..` and `@`."
            )
        return Drawn(steps=self.steps, seed=seed)

    def draw(self, rng: Generator) -> Drawn:
        """Draw which steps are done to a sample, their values and the seed of their noise."""
        seed = int(rng.integers(1 << 63))
        drawn = []
        for step in self.steps:
            if step.probability < 1 and rng.random() >= step.probability:
                continue
            pairs = zip(step.kind.parameters, step.arguments, strict=True)
            arguments = tuple(p.draw(v, rng) for p, v in pairs)
            drawn.append(Step(name=step.name, arguments=arguments))
        return Drawn(steps=tuple(drawn), seed=seed)


def jpeg(quality: float | Range) -> Step:
    """Return the step of JPEG with a quality of 1 to 100, colour 4:2:0."""
    return Step(name="jpeg", arguments=(quality,))


def blur(kernel: float | Range, sigma: float | Range) -> Step:
    """Return the step of Gaussian blur: an odd side of the kernel, and sigma, in pixels."""
    return Step(name="blur", arguments=(kernel, sigma))


def resize(side: float | Range, interpolation: str) -> Step:
    """Return the step of a resize until the shorter side has so many pixels, and back.

    Parameters
    ----------
    side
        In pixels.
    interpolation
        Of the way there, as Pillow has it: antialiased, but for `nearest`; `area` is its `BOX`. The
        way back to the picture's own size is always bicubic, as encoders' inputs are enlarged.
    """
    return Step(name="resize", arguments=(side, interpolation))


def noise(sigma: float | Range) -> Step:
    """Return the step of Gaussian noise, independent in all channels; sigma in 0 to 1."""
    return Step(name="noise", arguments=(sigma,))


def colour(
    brightness: float | Range = 1,
    contrast: float | Range = 1,
    saturation: float | Range = 1,
    hue: float | Range = 0,
) -> Step:
    """Return the step of other colours: three factors, and the hue's shift in turns."""
    return Step(name="colour", arguments=(brightness, contrast, saturation, hue))


def h264(crf: float | Range) -> Step:
    """Return the step of H.264 with a constant rate factor of 0 to 51."""
    return Step(name="h264", arguments=(crf,))


def _value(text: str) -> Value:
    low, dots, high = text.partition("..")
    try:
        return Range(low=float(low), high=float(high)) if dots else float(text)
    except ValueError:
        return text


def _number(value: float) -> str:
    return str(int(value)) if math.isfinite(value) and value == int(value) else repr(value)


def _shown(value: Value) -> str:
    if isinstance(value, str):
        return value or "nothing"
    return str(value) if isinstance(value, Range) else _number(value)


def _unknown(name: str) -> str:
    close = difflib.get_close_matches(name, KINDS, n=1)
    meant = f" Was {close[0]!r} meant?" if close else ""
    examples = ", ".join(kind.example for kind in KINDS.values())
    return f"no step is named {name!r}; there are {examples}.{meant}"
