"""Progress of long work: a function that is told how far it is, and the bars that show it."""

from __future__ import annotations

from typing import Any, Protocol


class Progress(Protocol):
    """Told after each step: steps done, steps in all, and what is being done."""

    def __call__(self, done: int, total: int, text: str) -> None:
        """Take note of a step."""
        ...


def silent(done: int, total: int, text: str) -> None:
    """Show nothing."""


class Bars:
    """One bar a task, in a notebook as a widget, in a terminal as text, elsewhere not at all."""

    def __init__(self) -> None:
        self._bar: Any = None

    def __call__(self, done: int, total: int, text: str) -> None:
        """Open a bar at the first step, move it, close it at the last."""
        from tqdm.auto import tqdm

        if self._bar is None or self._bar.desc.removesuffix(": ") != text:
            self.close()
            self._bar = tqdm(total=total, desc=text, disable=None, leave=False)
            if self._bar.disable:
                self._bar.desc = text
        self._bar.total = total
        self._bar.update(done - self._bar.n)
        if done >= total:
            self.close()

    def close(self) -> None:
        """Remove the open bar, if there is one."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None
