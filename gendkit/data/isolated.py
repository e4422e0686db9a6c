"""Decode a file in a child process: one that hangs or crashes it takes nothing else with it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import lru_cache
from typing import Any, TypeVar

from gendkit.data.fingerprint import fingerprint
from gendkit.errors import InvalidArgument, UnreadableMedia, WorkerLost
from gendkit.processes import Apart, Unsendable

LIMIT = 600.0
"""Seconds for a file, unless it is said."""
Result = TypeVar("Result")


def isolated(
    function: Callable[..., Result],
    *arguments: Any,
    media: object,
    limit: float,
    apart: Apart | None = None,
    code: object = None,
) -> Result:
    """Call a function that decodes a file in a child process.

    Parameters
    ----------
    function, arguments
        See `Apart.run`; a face extractor is among the arguments.
    media
        How errors name the file.
    limit
        Seconds.
    apart
        The child processes; None for the one of this process, which lives as long.
    code
        Such as a face extractor: where its code has changed since, that child is replaced.

    Raises
    ------
    UnreadableMedia
        If the child took longer or crashed; whoever opens the file again may be lost too.
    InvalidArgument
        If an argument cannot be sent to the child.
    """
    try:
        return (apart or _own().child(code)).run(function, *arguments, limit=limit)
    except TimeoutError:
        raise UnreadableMedia(
            f"{media} took longer than {limit:g} s to decode and to search for faces, and was "
            "given up; allow it more time, or copy or export it again."
        ) from None
    except WorkerLost as error:
        raise UnreadableMedia(
            f"{media} crashes what decodes it: {error}; copy or export it again."
        ) from None
    except Unsendable as error:
        raise InvalidArgument(
            f"{media} or its face extractor {error}; give the extractor's name, or no time limit, "
            "to decode in this process."
        ) from None


def check_limit(limit: float | None) -> None:
    """Refuse a limit that is no time.

    Raises
    ------
    InvalidArgument
        If it is neither None nor more than 0.
    """
    if limit is not None and not limit > 0:
        raise InvalidArgument(f"a time limit is more than 0 s, or None; got {limit}.")


class _Own:
    """The children of this process, one for each code that is in use; of idle ones the last."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._children: dict[bytes, Apart] = {}

    def child(self, code: object) -> Apart:
        """Return the one that was begun with this code."""
        known = _fingerprint(code)
        with self._lock:
            if known not in self._children:
                for other in [k for k, apart in self._children.items() if apart.idle]:
                    self._children.pop(other).close()
                self._children[known] = Apart(1)
            return self._children[known]

    def close(self) -> None:
        """End them."""
        with self._lock:
            for apart in self._children.values():
                apart.close()


@lru_cache(maxsize=1)
def _own() -> _Own:
    """Return the one of this process.

    A process that multiprocessing started, such as a worker of dask, waits for its children before
    it ends, and would wait for this one for good.
    """
    from multiprocessing.util import Finalize

    own = _Own()
    Finalize(None, own.close, exitpriority=0)
    return own


def _fingerprint(code: object) -> bytes:
    try:
        return fingerprint(code)
    except Exception:  # whatever an object raises when it is pickled: it will not be sent either
        return b""
