"""Decode a file in a child process: one that hangs or crashes it takes nothing else with it."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any, TypeVar

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
        The child processes; None for the one of this process.

    Raises
    ------
    UnreadableMedia
        If the child took longer or crashed; whoever opens the file again may be lost too.
    InvalidArgument
        If an argument cannot be sent to the child.
    """
    try:
        return (apart or _own_child()).run(function, *arguments, limit=limit)
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


@lru_cache(maxsize=1)
def _own_child() -> Apart:
    """Return the one child of this process, which lives as long.

    A process that multiprocessing started, such as a worker of dask, waits for its children before
    it ends, and would wait for this one for good.
    """
    from multiprocessing.util import Finalize

    apart = Apart(1)
    Finalize(None, apart.close, exitpriority=0)
    return apart
