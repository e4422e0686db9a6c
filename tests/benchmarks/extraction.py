"""How an extraction's memory and time grow with the number of its clips.

Each size runs in a process of its own, on small rendered frames, so that what is seen is what
gendkit holds: the resident memory after a tenth of the clips against that after all of them, and
the peak against that of a tenth as many.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from run import Row

SIZES = (1_250, 12_500)
FRAMES = 4
SCRIPT = """
import functools, json, os, sys, time
import numpy as np
import gendkit as gk
from gendkit.data.faces import TEMPLATE
from gendkit.plugin.protocols import Clip, Frame

POINTS = np.asarray(TEMPLATE, np.float32) * 20 + 6

def render(number):
    image = np.full((32, 32, 3), number % 251, np.uint8)
    for index in range({frames}):
        yield Frame(index=index, time=index / 25, image=image, landmarks=POINTS)

def resident():
    pages = int(open("/proc/self/statm").read().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")

def peak():  # of this process alone; what getrusage says begins with its parent's
    status = open("/proc/self/status").read()
    return int(status.split("VmHWM:")[1].split()[0]) * 1024

count, out = int(sys.argv[1]), sys.argv[2]
clips = [
    Clip(video=f"v{{n}}", media=functools.partial(render, n), dataset="set", label=n % 2,
         method="swap" if n % 2 else "", pair=f"v{{n - n % 2}}")
    for n in range(count)
]
seen = {{}}

def progress(done, total, text):
    if done in (total // 10, total):
        seen[done] = resident()

start = time.perf_counter()
manifest = gk.extract(clips, out, progress=progress)
print(json.dumps({{
    "rows": len(manifest), "seconds": time.perf_counter() - start,
    "tenth": seen[count // 10], "all": seen[count],
    "peak": peak(),
}}))
"""


def rows() -> Iterator[Row]:
    """Compare a tenth of the clips with all of them."""
    found = []
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "script.py"
        script.write_text(SCRIPT.format(frames=FRAMES))
        for size in SIZES:
            out = str(Path(folder) / f"{size}")
            done = subprocess.run(
                [sys.executable, str(script), str(size), out],
                check=True, capture_output=True, text=True,
            )  # fmt: skip
            found.append(json.loads(done.stdout))
    few, many = found
    grown = many["all"] - many["tenth"]
    yield Row(
        work=f"extraction: memory after {many['rows']:,} rows - after a tenth of them",
        reach="flat",
        found=f"{grown / 1e6:.1f} MB of {many['all'] / 1e6:.0f} MB "
        f"({grown / (0.9 * many['rows']):.0f} bytes a row)",
    )
    more = many["peak"] - few["peak"]
    yield Row(
        work=f"extraction: peak of {many['rows']:,} rows - of {few['rows']:,}",
        reach="",
        found=f"{more / 1e6:.0f} MB, the table that is returned included",
    )
    yield Row(
        work=f"extraction: time a clip of {SIZES[1]:,} ÷ of {SIZES[0]:,}",
        reach="1",
        found=f"{many['seconds'] / SIZES[1] / (few['seconds'] / SIZES[0]):.2f}",
    )
