"""Metrics of many frames: 2 M frames of 60,000 clips, against a loop over the clips."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import numpy as np
import pandas as pd
from run import Row, paired

from gendkit.measure.levels import at_level, video_level
from gendkit.measure.metrics import summary

CLIPS, FRAMES = 60_000, 2_000_000
FEW = 2_000
"""Clips of which the loop is timed, since it would take minutes for all."""


def rows() -> Iterator[Row]:
    """Compare with a loop, and say how long it takes."""
    rng = np.random.default_rng(0)
    clip = np.sort(rng.integers(0, CLIPS, FRAMES))
    names = np.array([f"real/{number:06d}" for number in range(CLIPS)], dtype=object)
    table = pd.DataFrame(
        {
            "dataset": "many", "video": names[clip], "track": 0, "label": clip % 2,
            "p_fake": rng.random(FRAMES).astype(np.float32),
        }
    )  # fmt: skip
    few = table[clip < FEW].reset_index(drop=True)
    columns = [few[name].to_numpy() for name in ("video", "label", "p_fake")]
    ratio = paired(lambda: loop(*columns), lambda: video_level(*columns), rounds=3)
    yield Row(
        work=f"scores of clips, a loop over {FEW:,} clips ÷ video_level",
        reach="≥ 50",
        found=f"{ratio:.0f}",
    )
    clips = at_level(table)
    for work, call in (
        ("at_level", lambda: at_level(table)),
        ("summary of the clips", lambda: summary(clips["label"], clips["p_fake"])),
        ("summary of the frames", lambda: summary(table["label"], table["p_fake"])),
    ):
        yield Row(
            work=f"{work}, {FRAMES:,} frames of {CLIPS:,} clips", reach="",
            found=f"{seconds(call):.2f} s",
        )  # fmt: skip


def loop(videos: np.ndarray, labels: np.ndarray, scores: np.ndarray) -> list[tuple[int, float]]:
    """Average clip by clip, as one would write it down."""
    found = []
    for video in dict.fromkeys(videos):
        own = videos == video
        found.append((int(labels[own][0]), float(scores[own].mean())))
    return found


def seconds(call: Callable[[], object]) -> float:
    """Return the time of a call, after one."""
    call()
    start = time.perf_counter()
    call()
    return time.perf_counter() - start
