"""32 spread frames of a clip: one pass against opening the file anew for each frame.

The other is `imageio.v3.imread(path, index=n, plugin="pyav")`, which opens, seeks and decodes as
far as the frame. That the frames are the same, pixel by pixel, is asserted. By itself imageio takes
the frame rate as constant; where it is not, what it gives are other frames, which are counted, and
the comparison is with `constant_framerate=False`, which reads from the start as far as the frame.
imageio collects garbage twice a call, which takes long where much is loaded, as it is wherever
faces are sought. The ratio counts that, as whoever calls it has it; a second one leaves it out, and
is the cost of opening and decoding alone, in processor time.

H.264 clips of 5, 10 and 20 s are encoded from a moving picture; the real ones lie in a folder
`shared/media` beside the checkout.
"""

from __future__ import annotations

import gc
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from numpy.typing import NDArray
from run import Row

from gendkit.data.media import count_frames, read_frames, spread_order

WANTED, RATE, ROUNDS = 32, 25, 3
CLIPS = ((640, 360, 5), (640, 360, 10), (640, 360, 20), (1280, 720, 10))
"""Width, height and seconds."""
REAL = Path(__file__).resolve().parents[3] / "shared" / "media"
WORK = "32 spread frames: imageio, opened anew for each ÷ one pass"


def rows() -> Iterator[Row]:
    """Compare on clips that are made, and on the real ones."""
    try:
        import imageio.v3 as imageio
    except ImportError:
        yield Row(work=WORK, reach="≥ 6", found="not measured: python -m pip install imageio")
        return
    with tempfile.TemporaryDirectory() as folder:
        for width, height, seconds in CLIPS:
            path = Path(folder) / f"{width}-{seconds}.mp4"
            write_clip(path, seconds, width=width, height=height)
            yield _row(path, f"H.264, {width} x {height}, {seconds} s", imageio.imread)
    for path in sorted(REAL.glob("*.m*")):
        yield _row(path, f"{path.name}, {count_frames(path)} frames", imageio.imread)


def _row(path: Path, name: str, imread: Callable[..., Any]) -> Row:
    wanted = sorted(int(n) for n in spread_order(count_frames(path))[:WANTED])

    def anew(**rate: bool) -> list[NDArray[np.uint8]]:
        return [imread(path, index=number, plugin="pyav", **rate) for number in wanted]

    def one_pass() -> list[NDArray[np.uint8]]:
        return [frame.image for frame in read_frames(path, wanted)]

    ours = one_pass()
    assert len(ours) == WANTED
    other = WANTED - _same(anew(), ours)
    rate = {"constant_framerate": False} if other else {}
    assert _same(anew(**rate), ours) == WANTED
    theirs = partial(anew, **rate)
    slow, fast = _medians(theirs, one_pass, clock=time.perf_counter)
    gc.freeze()
    alone = _medians(theirs, one_pass, clock=time.process_time)
    gc.unfreeze()
    said = f"{other} others from it unless told that the rate varies" if other else "the same"
    return Row(
        work=f"{WORK}, {name}",
        reach="≥ 6",
        found=f"{slow / fast:.1f} ({slow:.2f} and {fast:.2f} s); {alone[0] / alone[1]:.1f} without "
        f"garbage collection; frames: {said}",
    )


def _medians(*calls: Callable[[], object], clock: Callable[[], float]) -> tuple[float, ...]:
    """Return the median time of each, called in turns."""
    taken: list[list[float]] = [[] for _ in calls]
    for _ in range(ROUNDS):
        for call, times in zip(calls, taken, strict=True):
            start = clock()
            call()
            times.append(clock() - start)
    return tuple(statistics.median(times) for times in taken)


def _same(theirs: list[NDArray[np.uint8]], ours: list[NDArray[np.uint8]]) -> int:
    """Count the frames that are equal."""
    return sum(np.array_equal(a, b) for a, b in zip(theirs, ours, strict=True))


def write_clip(path: Path, seconds: int, *, width: int, height: int) -> None:
    """Encode a window that moves over a picture of soft and fine detail, with sensor noise."""
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(height + 200, width + 200, 3)).astype(np.float32)
    picture = sum(cv2.GaussianBlur(noise, (0, 0), s) * s for s in (1.5, 8, 40))
    picture = cv2.normalize(picture, None, 20, 235, cv2.NORM_MINMAX)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=RATE)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.options = {"crf": "23", "preset": "veryfast"}
        stream.time_base = Fraction(1, RATE)
        for number in range(seconds * RATE):
            angle = number / 40
            left, top = (int(100 + 99 * f(angle)) for f in (np.sin, np.cos))
            window = picture[top : top + height, left : left + width]
            grain = rng.normal(0, 2, (height, width, 1)).astype(np.float32)
            pixels = np.clip(window + grain, 0, 255).astype(np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode(None))
