"""A file is decoded in a child process where there is a limit of time."""

from __future__ import annotations

import importlib
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from gendkit.data.faces import TEMPLATE
from gendkit.errors import InvalidArgument, UnreadableMedia
from gendkit.model.detector import Detector
from gendkit.plugin.protocols import Face


def extractor() -> Any:
    """One that tells its process, and crashes or hangs at certain values."""
    points = np.asarray(TEMPLATE, dtype=np.float32) * 20 + 6

    class Local:
        threshold = 0.5

        def __call__(self, image: np.ndarray, /) -> list[Face]:
            value = int(image[0, 0, 0])
            if value == 13:
                os.kill(os.getpid(), signal.SIGSEGV)
            if value == 17:
                time.sleep(600)
            box = (0, 0, os.getpid() % 97, os.getpid() // 97)
            return [Face(box=box, landmarks=points, confidence=0.75)]

    return Local()


def picture(folder: Path, value: int) -> Path:
    path = folder / f"{value}.png"
    Image.fromarray(np.full((32, 32, 3), value, np.uint8)).save(path)
    return path


def test_with_a_limit_a_file_is_decoded_in_another_process(
    detector: Detector, tmp_path: Path
) -> None:
    path = picture(tmp_path, 10)
    apart = detector.score(path, extractor=extractor(), time_limit=60)
    here = detector.score(path, extractor=extractor())
    assert apart.score == here.score
    processes = {
        limit: detector.examine(path, extractor=extractor(), time_limit=limit).crops[0].box
        for limit in (None, 60)
    }
    assert processes[None] == (0, 0, os.getpid() % 97, os.getpid() // 97)
    assert processes[60] != processes[None]


def test_a_file_that_crashes_or_hangs_is_unreadable_and_the_next_is_scored(
    detector: Detector, tmp_path: Path
) -> None:
    for value, words in ((13, "crashes what decodes it: .*SIGSEGV"), (17, "took longer than 3 s")):
        with pytest.raises(UnreadableMedia, match=rf"{value}.png {words}"):
            detector.score(picture(tmp_path, value), extractor=extractor(), time_limit=3)
    assert detector.score(picture(tmp_path, 9), extractor=extractor(), time_limit=60).faces == 1


def test_what_cannot_be_sent_or_is_no_time_is_refused(detector: Detector, tmp_path: Path) -> None:
    path, built = picture(tmp_path, 9), extractor()
    for limit in (0, -1.0, float("nan")):
        with pytest.raises(InvalidArgument, match="more than 0 s, or None"):
            detector.score(path, extractor=built, time_limit=limit)
    built.lock = threading.Lock()
    with pytest.raises(InvalidArgument, match="its face extractor cannot be sent"):
        detector.score(path, extractor=built, time_limit=60)
    assert detector.score(path, extractor=built).faces == 1


CODE = """
from gendkit.data.faces import TEMPLATE
from gendkit.plugin.protocols import Face
import numpy as np

class Edited:
    threshold = 0.5
    def __call__(self, image):
        points = np.asarray(TEMPLATE, dtype=np.float32) * 20 + 6
        return [Face(box=(0, 0, {side}, {side}), landmarks=points, confidence=0.75)]
"""


def test_an_edited_extractor_is_not_answered_by_a_child_that_has_the_old_one(
    detector: Detector, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    path = picture(tmp_path, 10)
    boxes = []
    for side in (20, 9):  # of another length: bytecode is known by size and second
        (tmp_path / "edited_extractor.py").write_text(CODE.format(side=side))
        sys.modules.pop("edited_extractor", None)
        importlib.invalidate_caches()
        built = importlib.import_module("edited_extractor").Edited()
        boxes.append(detector.examine(path, extractor=built, time_limit=60).crops[0].box)
    sys.modules.pop("edited_extractor")
    assert boxes == [(0, 0, 20, 20), (0, 0, 9, 9)]
