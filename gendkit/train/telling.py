"""Tells plugins how a run goes; what they do, or fail to do, changes nothing about it."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from gendkit.errors import UnknownPart
from gendkit.markup import visible, words_of
from gendkit.plugin.calls import Listener
from gendkit.plugin.events import EpochEnded, FitEnded, RunInfo
from gendkit.plugin.manager import plugins
from gendkit.plugin.remedies import remedy_of

logger = logging.getLogger(__name__)


class Teller:
    """Those who are told of one run.

    Parameters
    ----------
    listeners
        See `listeners_of`.
    """

    def __init__(self, listeners: Iterable[Listener]) -> None:
        self._listeners = list(listeners)

    def fit_started(self, run: RunInfo) -> None:
        """Tell that a run has begun."""
        self._tell("gendkit_fit_started", run=run)

    def epoch_ended(self, run: RunInfo, epoch: EpochEnded) -> None:
        """Tell that an epoch has ended."""
        self._tell("gendkit_epoch_ended", run=run, epoch=epoch)

    def fit_ended(self, run: RunInfo, end: FitEnded) -> None:
        """Tell how a run has ended."""
        self._tell("gendkit_fit_ended", run=run, end=end)

    def _tell(self, hook: str, **arguments: object) -> None:
        for listener in list(self._listeners):
            call = listener.calls.get(hook)
            if call is None:
                continue
            try:
                call(**arguments)
            except (Exception, SystemExit) as error:
                self._listeners.remove(listener)
                source = listener.source
                remedy = remedy_of(error, source) if isinstance(error, ImportError) else ""
                logger.warning(
                    "tracker %s (%s) failed in %s and is told no more of this run: %s%s",
                    source.plugin, source.origin, hook, visible(words_of(error)),
                    f"; {remedy}" if remedy else "",
                )  # fmt: skip


def listeners_of(trackers: Iterable[str]) -> list[Listener]:
    """Return who is told of a run: gendkit's log, what was registered here, and those named.

    Raises
    ------
    UnknownPart
        If no plugin of a name hears telling hooks; the message lists those that do.
    """
    every, names = plugins().listeners, list(trackers)
    known = [listener.source.plugin for listener in every if not listener.always]
    for name in names:
        if name not in known:
            none = "none is installed: gendkit-trackers would give tensorboard and wandb"
            there = f"there is {', '.join(known)}" if known else none
            raise UnknownPart(f"no tracker is named {name!r}; {there}.")
    return [listener for listener in every if listener.always or listener.source.plugin in names]
