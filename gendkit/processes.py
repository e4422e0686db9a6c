"""Work in other processes: apart from this one with a limit of time, or shared out to workers.

What is sent to a process is pickled by value where it stands in a notebook or a script, and the
script that is running is not run again there: no `if __name__ == "__main__"` is needed.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, CancelledError, Future, wait
from itertools import islice
from typing import Any, TypeVar

from gendkit.errors import InvalidArgument, WorkerLost, first_line
from gendkit.optional import require

TRIES = 5
"""How many workers of a cluster may end over a task."""
WAIT = 30.0
"""Seconds to reach a scheduler."""
AHEAD = 4
"""How many tasks a worker has before it at a time: those not begun take no memory."""
CLOSED = "it was ended together with all others"
LOOK = 1.0
"""Seconds between a child's looks whether its parent is there."""
Task = TypeVar("Task")
Result = TypeVar("Result")


def cores() -> int:
    """Return how many CPU cores this process has; of ranks on one machine each has its share."""
    if hasattr(os, "sched_getaffinity"):
        count = len(os.sched_getaffinity(0))
    else:
        count = os.cpu_count() or 1
    return max(1, count // int(os.environ.get("LOCAL_WORLD_SIZE", "1")))  # torchrun's


def check_workers(workers: int | None, scheduler: str | None) -> None:
    """Refuse numbers of workers that cannot be.

    Raises
    ------
    InvalidArgument
        If there is less than one, or both are given.
    """
    if workers is not None and scheduler is not None:
        raise InvalidArgument("workers are started here, those of a scheduler are not: give one.")
    if workers is not None and workers < 1:
        raise InvalidArgument(f"workers is {workers}, expected 1 or more.")


class Unsendable(InvalidArgument):
    """Something that cannot be pickled, or not made again where it was sent."""


class Apart:
    """Child processes that do what may hang or crash; several threads may ask at once.

    A child that crashes, or takes too long, is replaced and takes no other call with it. Children
    end with this process, however it ends.

    Parameters
    ----------
    count
        How many there are. They are started with the first call.
    """

    def __init__(self, count: int) -> None:
        self._count = count
        self._pool: Any = None
        self._waiting: set[Any] = set()
        self._closed = False
        self._lock = threading.Lock()

    def __enter__(self) -> Apart:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def run(self, function: Callable[..., Result], *arguments: Any, limit: float) -> Result:
        """Call a function in a child and return what it returns, or raise what it raises.

        Parameters
        ----------
        function
            Importable, or defined in the running script or notebook.
        arguments
            Of it; they and what it returns can be pickled.
        limit
            Seconds.

        Raises
        ------
        TimeoutError
            If it took longer; it was then ended.
        WorkerLost
            If it ended its process.
        Unsendable
            If function or arguments cannot be sent to another process.
        """
        import pebble

        call = _pickled(function, arguments)
        with self._lock:
            if self._closed:
                raise WorkerLost(CLOSED)
            future = self._children().schedule(_call, args=[sys.path, call], timeout=limit)
            self._waiting.add(future)
        try:
            result: Result = future.result()
        except CancelledError:
            raise WorkerLost(CLOSED) from None
        except pebble.ProcessExpired as error:
            raise WorkerLost(f"its process was ended by {_ending(error.exitcode)}") from None
        except BaseException:
            future.cancel()
            raise
        finally:
            with self._lock:
                self._waiting.discard(future)
        return result

    @property
    def idle(self) -> bool:
        """Whether nobody waits for a call."""
        with self._lock:
            return not self._waiting

    def close(self) -> None:
        """End the children; whoever waits for one gets a `WorkerLost`, also with a later call."""
        with self._lock:
            self._closed = True
            waiting, pool = list(self._waiting), self._pool
            self._pool = None
        for future in waiting:  # the pool forgets whoever waits when it is stopped
            future.cancel()
        if pool is not None:
            pool.stop()
            pool.join()

    def _children(self) -> Any:
        import multiprocessing

        import pebble
        from loky.backend import get_context

        if self._pool is None:
            # Workers of a cluster are daemons, which may have no children by default.
            multiprocessing.current_process().daemon = False
            self._pool = pebble.ProcessPool(
                max_workers=self._count,
                context=get_context("loky"),  # which does not run the script again
                initializer=_begin_child,
                initargs=[os.getpid(), max(1, cores() // self._count)],
            )
        return self._pool


def _pickled(function: Callable[..., Any], arguments: tuple[Any, ...]) -> bytes:
    import cloudpickle

    try:
        call: bytes = cloudpickle.dumps((function, arguments))
    except Exception as error:  # whatever an object raises when it is pickled
        raise _unsendable(error) from None
    return call


def _call(path: list[str], call: bytes) -> Any:
    import pickle

    sys.path[:] = path  # which may have grown since this process was begun
    try:
        function, arguments = pickle.loads(call)
    except Exception as error:  # whatever an object raises when it is made again
        raise _unsendable(error) from None
    return function(*arguments)


def _unsendable(error: Exception) -> Unsendable:
    return Unsendable(f"cannot be sent to another process: {first_line(error)}")


def _begin_child(parent: int, threads: int) -> None:
    """End this process when its parent is gone, and take no more than a share of the cores."""
    import warnings

    import cv2

    cv2.setNumThreads(threads)
    warnings.simplefilter("ignore")  # nobody reads them; what is wrong with a file is its reason

    def look() -> None:
        while os.getppid() == parent:
            time.sleep(LOOK)
        os._exit(1)

    threading.Thread(target=look, daemon=True).start()


def _ending(exitcode: int) -> str:
    """Return what ended a process, in words."""
    if exitcode >= 0:
        return f"exit code {exitcode}"
    try:
        return f"signal {signal.Signals(-exitcode).name}"
    except ValueError:
        return f"signal {-exitcode}"


def in_turn(
    submit: Callable[[Task], Future[Result]], tasks: Iterable[Task], *, width: int
) -> Generator[tuple[Task, Result]]:
    """Yield each task with its result as it is done; no more than `width` are begun at a time."""
    waiting = iter(tasks)
    running = {submit(task): task for task in islice(waiting, width)}
    while running:
        done, _ = wait(running, return_when=FIRST_COMPLETED)
        for future in sorted(done, key=_failed):  # what is done is not lost with what is not
            task = running.pop(future)
            yield task, future.result()
            running.update((submit(task), task) for task in islice(waiting, 1))


def _failed(future: Future[Any]) -> bool:
    return future.exception() is not None


def shared_out(
    work: Callable[[Task], Result],
    tasks: Iterable[Task],
    *,
    workers: int | None,
    scheduler: str | None,
    lost: Callable[[Task], str],
) -> Generator[tuple[Task, Result]]:
    """Yield each task with its result as workers of dask.distributed are done with it.

    A worker that ends leaves its tasks to others.

    Parameters
    ----------
    work
        What is done with a task, in a worker.
    tasks
        Taken as workers come to them.
    workers
        How many processes are started on this machine, or None for those of the scheduler.
    scheduler
        Its address, such as `tcp://10.0.0.1:8786`.
    lost
        Says of a task what to do if it ended `TRIES` workers.

    Raises
    ------
    MissingDependency
        If dask.distributed is not installed.
    WorkerLost
        If the scheduler is not to be reached, or the workers of a task ended again and again.
    """
    distributed = require("distributed", extra="cluster")
    waiting = iter(tasks)
    with _client(distributed, workers, scheduler) as client:

        def submit(task: Task) -> Any:
            return client.submit(work, task, pure=False)

        threads = sum(client.nthreads().values())
        running = {submit(task): task for task in islice(waiting, AHEAD * max(1, threads))}
        done = distributed.as_completed(running)
        for future in done:
            task = running.pop(future)
            try:
                result: Result = future.result()
            except distributed.KilledWorker:
                raise WorkerLost(lost(task)) from None
            future.release()
            yield task, result
            for task in islice(waiting, 1):
                future = submit(task)
                running[future] = task
                done.add(future)


@contextlib.contextmanager
def _client(distributed: Any, workers: int | None, scheduler: str | None) -> Iterator[Any]:
    import dask

    with contextlib.ExitStack() as stack:
        stack.callback(_restore, dict(os.environ))  # dask leaves OMP_NUM_THREADS=1 in it
        stack.enter_context(dask.config.set({"distributed.scheduler.allowed-failures": TRIES - 1}))
        stack.enter_context(_script_not_run_again())
        if scheduler is None:
            scheduler = stack.enter_context(
                distributed.LocalCluster(
                    n_workers=workers, threads_per_worker=1, processes=True, dashboard_address=None
                )
            )
        try:
            client = distributed.Client(scheduler, timeout=WAIT)
        except (OSError, ValueError) as error:
            raise WorkerLost(
                f"the scheduler at {scheduler} is not to be reached: {first_line(error)}; start "
                "one with `dask scheduler`."
            ) from None
        yield stack.enter_context(client)


@contextlib.contextmanager
def _script_not_run_again() -> Iterator[None]:
    """Hide where the running script is: a worker that dask starts would run it from its top."""
    main = vars(sys.modules["__main__"])
    hidden = {name: value for name, value in main.items() if name in ("__file__", "__spec__")}
    main.pop("__file__", None)
    main["__spec__"] = None
    try:
        yield
    finally:
        main.update(hidden)


def _restore(environment: dict[str, str]) -> None:
    for name in set(os.environ) - set(environment):
        del os.environ[name]
    os.environ.update(environment)
