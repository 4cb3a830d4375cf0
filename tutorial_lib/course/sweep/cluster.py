"""The Dask side of ``tutorial sweep``: a cluster, what runs on its workers, and futures that come back as they end.

A Dask worker itself runs no chapter. It keeps an ``Experimenter`` for each of its threads and hands it one call after
another; so a run that never ends or takes its process down costs one row, and Dask never has to guess whose fault it
was. The chapter's text is the result of one small task that all others depend on: Dask copies it to each worker once,
and makes it again where a worker took it down.
"""

import importlib.metadata
import itertools
import logging
import os
import signal
import socket
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from tutorial_lib.course.catalogue import CourseError
from tutorial_lib.course.sweep.experimenter import Experimenter, Stopped
from tutorial_lib.course.sweep.program import Job, Point

#: How long to look for a scheduler.
CONNECT = "20s"
#: The experimenters of this worker process, by sweep: all, and the idle ones. They outlive a task, and no other place
#: in a worker does.
_POOLS: dict[str, "_Pool"] = {}
#: The measured part of a run's row.
_NOTHING: dict[str, Any] = {
    "scores": {},
    "error": None,
    "seconds": None,
    "started": None,
    "pid": None,
    "host": None,
    "worker": None,
    "versions": {},
}


@dataclass
class _Pool:
    every: set[Experimenter] = field(default_factory=set)
    idle: list[Experimenter] = field(default_factory=list)


class SchedulerLost(Exception):
    """The scheduler does not answer any more."""


class WorkerUnfit(Exception):
    """A worker cannot take part: other sources, or the chapter cannot be loaded there; the text says which and why."""


# --- on a worker ---


@cache
def identity() -> dict[str, str]:
    """Return who this process is: host, sources and versions."""
    from tutorial_lib import __version__
    from tutorial_lib.course.keys import source_hash
    from tutorial_lib.course.machine import PACKAGE

    return {"host": socket.gethostname(), "package": __version__, "source": source_hash(PACKAGE)}


def prepare(job: Job) -> Job:
    """Return the job as it is: the task whose result every worker keeps."""
    return job


def describe(job: Job, name: str) -> dict:
    """Load an experiment on this worker: its calls of ``compare``, versions, and the seconds that it took."""
    with _experimenter(job) as experimenter:
        return _load(experimenter, job, name)


def run_one(point: Point, job: Job) -> dict:
    """Run one point of the grid on this worker and return its row's measured part. A failing run is a row too.

    Args:
        point: what to run.
        job: from ``prepare``.

    Raises:
        WorkerUnfit: if the worker, not the run, is at fault.
    """
    with _experimenter(job) as experimenter:
        versions = _load(experimenter, job, point.base)["versions"]
        started, start = time.time(), time.perf_counter()
        try:
            answer = experimenter.run(
                point.base, point.call, point.method, point.seed, point.settings, timeout=job.timeout
            )
            answer["status"] = "failed" if "error" in answer else "ok"
        except Stopped as stopped:
            answer = {
                "status": stopped.how,
                "error": _error(stopped.how, stopped.message),
                "seconds": time.perf_counter() - start,
                "started": started,
                "pid": experimenter.process.pid,
            }
    answer |= {"seconds": round(answer["seconds"], 6), "started": round(answer["started"], 3), "versions": versions}
    return {**_NOTHING, "host": identity()["host"], "worker": _address(), **answer}


def _error(how: str, message: str) -> dict[str, str]:
    return {"type": how, "message": message, "traceback": ""}


@contextmanager
def _experimenter(job: Job) -> Iterator[Experimenter]:
    if identity()["source"] != job.source:
        ours, theirs = job.source[:12], identity()["source"][:12]
        raise WorkerUnfit(
            f"worker {_address()} on {identity()['host']} has other sources of tutorial-lib ({theirs}) "
            f"than this client ({ours}): install the same there, or start again if they were edited"
        )
    pool = _POOLS.setdefault(job.id, _Pool())
    experimenter = None
    # Another thread of this worker may take the last one at any time.
    with suppress(IndexError):
        while experimenter is None or not experimenter.alive:
            experimenter = pool.idle.pop()
    if experimenter is None or not experimenter.alive:
        experimenter = Experimenter(job.program, threads=job.threads)
    pool.every.add(experimenter)
    keep = False
    try:
        yield experimenter
        keep = not experimenter.full and experimenter.alive and job.id in _POOLS
    finally:
        if keep:
            pool.idle.append(experimenter)
        else:
            pool.every.discard(experimenter)
            experimenter.close()


def _load(experimenter: Experimenter, job: Job, name: str) -> dict:
    try:
        return experimenter.load(name, job.sets[name])
    except Stopped as stopped:
        raise WorkerUnfit(
            f"chapter {job.program.chapter} cannot be loaded on {identity()['host']}: {stopped.message}"
        ) from None


def dask_setup(worker) -> None:
    """Let a worker of our own cluster pass over Ctrl-C: it reaches all processes of a terminal, and is the client's."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def forget(sweep: str) -> None:
    """End a sweep's experimenters on this worker, also those at work."""
    for experimenter in _POOLS.pop(sweep, _Pool()).every:
        experimenter.close()


def _address() -> str:
    from distributed import get_worker

    return get_worker().address


# --- on the client ---


def check_installed() -> None:
    """Raise a CourseError if what a sweep needs is not installed."""
    missing = []
    for name in ("distributed", "pyarrow"):
        try:
            importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            missing.append(name)
    if missing:
        raise CourseError(
            f'a sweep needs {" and ".join(missing)}, not installed here: pip install -e ".[course,cluster]"'
        )


@contextmanager
def connect(scheduler: str | None, *, workers: int) -> Iterator[Any]:
    """Yield a Dask client: of a cluster on this machine, or of the scheduler at an address.

    Args:
        scheduler: such as ``tcp://10.0.0.1:8786``; ``None``: start a cluster here.
        workers: how many processes to start here.

    Raises:
        CourseError: if there is no such scheduler.
    """
    from distributed import Client, LocalCluster

    # A lost connection is ours to report, in one line.
    for name in ("asyncio", *logging.root.manager.loggerDict):
        if name.partition(".")[0] in ("asyncio", "distributed", "tornado"):
            logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    if scheduler is None:
        # Memory belongs to the experimenters, and the workers' own limits do not see it.
        cluster = LocalCluster(
            n_workers=workers,
            threads_per_worker=1,
            processes=True,
            host="127.0.0.1",
            dashboard_address=None,
            memory_limit=0,
            silence_logs=logging.CRITICAL,
            preload=["tutorial_lib.course.sweep.cluster"],
        )
        try:
            with Client(cluster, set_as_default=False) as client:
                yield client
        finally:
            with suppress(Exception):
                cluster.close(timeout=10)
        return
    try:
        client = Client(scheduler, timeout=CONNECT, set_as_default=False)
    except (OSError, TimeoutError, ValueError) as error:
        raise CourseError(f"no Dask scheduler answers at {scheduler}: {type(error).__name__}") from None
    try:
        yield client
    finally:
        with suppress(Exception):
            client.close(timeout=5)


def alive(client) -> bool:
    """Whether the client still talks to its scheduler."""
    comm = client.scheduler_comm
    return client.status == "running" and comm is not None and not comm.comm.closed()


def wait_for_a_worker(client, say: Callable[[str], None]) -> dict[str, int]:
    """Wait until there is a worker, and return the threads of each by address."""
    said = False
    while True:
        if not alive(client):
            raise SchedulerLost
        found = {address: worker["nthreads"] for address, worker in scheduler_workers(client).items()}
        if found:
            return found
        if not said:
            say("waiting for a worker: the scheduler has none yet")
            said = True
        time.sleep(0.2)


def scheduler_workers(client) -> dict[str, dict]:
    """Return what the scheduler knows of its workers, by address."""
    return client.scheduler_info(n_workers=-1)["workers"]


def check_workers(client, addresses: Iterable[str] | None = None) -> list[dict]:
    """See that workers have this client's sources; return who they are.

    Args:
        client: the Dask client.
        addresses: which workers; all if not given.

    Raises:
        CourseError: naming those that differ, and in what.
    """

    # Defined here so that it travels by value: a worker without the package can still say so.
    def ask():
        import socket

        try:
            from tutorial_lib.course.sweep.cluster import identity
        except ImportError as error:
            return {"host": socket.gethostname(), "missing": str(error)}
        return identity()

    ours, differ = identity(), []
    found = client.run(ask, workers=list(addresses) if addresses is not None else None, on_error="return")
    for address, theirs in sorted(found.items()):
        if not isinstance(theirs, dict):
            differ.append(f"{address}: {type(theirs).__name__}: {theirs}")
        elif "missing" in theirs:
            differ.append(f"{address} on {theirs['host']} has no tutorial-lib of this version ({theirs['missing']})")
        elif theirs["source"] != ours["source"]:
            what = (
                f"version {theirs['package']}"
                if theirs["package"] != ours["package"]
                else f"other sources ({theirs['source'][:12]}, here {ours['source'][:12]})"
            )
            differ.append(f"{address} on {theirs['host']} has {what}")
    if differ:
        shown = "; ".join(differ[:5]) + (f"; and {len(differ) - 5} more" if len(differ) > 5 else "")
        raise CourseError(f"workers must have the same tutorial-lib {ours['package']} as this client: {shown}")
    return list(found.values())


def ask_for_calls(client, job: Job, name: str) -> dict:
    """Have a worker load an experiment, and return what it says of it.

    Raises:
        CourseError: if it cannot be loaded.
        SchedulerLost: if the scheduler is gone.
    """
    from distributed.scheduler import KilledWorker

    future = client.submit(describe, job, name, pure=False)
    while not future.done():
        if not alive(client):
            raise SchedulerLost
        time.sleep(0.02)
    try:
        return future.result(timeout=30)
    except (WorkerUnfit, KilledWorker, ImportError) as error:
        raise CourseError(str(error)) from None
    except Exception:
        if not alive(client):
            raise SchedulerLost from None
        raise


def run_all(client, job: Job, points: Iterable[Point], *, threads: int) -> Iterator[list[tuple[int, dict]] | None]:
    """Run points of a grid, a bounded number at a time.

    Args:
        client: the Dask client.
        job: what ``run_one`` needs.
        points: its first argument, one by one.
        threads: the cluster's threads, for a start; workers may come and go.

    Yields:
        Lists of (place among the points, what ``run_one`` returned), as they come; ``None`` when nothing came for a
        moment. A run that took Dask's worker down again and again comes as a row with status ``killed``.

    Raises:
        WorkerUnfit: if a worker cannot take part.
        SchedulerLost: if the scheduler is gone.
    """
    from distributed import as_completed

    numbered = enumerate(points)
    # A key that the scheduler knows already would bring that task's result.
    token = os.urandom(6).hex()
    prepared = client.submit(prepare, job, key=f"tutorial-{token}", pure=False)
    waiting: dict[str, tuple[int, Any]] = {}
    arriving = as_completed(loop=client.loop, with_results=True, raise_errors=False)
    exhausted, looked = False, time.monotonic()
    try:
        while True:
            window = 4 * threads + 16
            # Refilled by the half: one message for many tasks costs little more than for one.
            if not exhausted and len(waiting) <= window // 2:
                batch = list(itertools.islice(numbered, window - len(waiting)))
                exhausted = len(batch) < window - len(waiting)
                if batch:
                    futures = client.map(
                        run_one,
                        [point for _, point in batch],
                        job=prepared,
                        pure=False,
                        key=[f"run-{token}-{place}" for place, _ in batch],
                    )
                    waiting.update({future.key: (place, future) for future, (place, _) in zip(futures, batch)})
                    arriving.update(futures)
            if not waiting:
                return
            came = arriving.next_batch(block=False)
            if not alive(client):
                raise SchedulerLost
            if not came:
                time.sleep(0.005)
            if time.monotonic() - looked > 5:
                looked = time.monotonic()
                with suppress(Exception):
                    threads = sum(worker["nthreads"] for worker in scheduler_workers(client).values()) or threads
                # A result that was lost with its worker and failed when it was made again comes by no other way.
                came += [(future, None) for _, future in waiting.values() if future.status == "error"]
            yield [
                (waiting.pop(future.key)[0], _row(future, result)) for future, result in came if future.key in waiting
            ] or None
    finally:
        with suppress(Exception):
            if waiting and alive(client):
                client.cancel([future for _, future in waiting.values()], force=True)


def forget_everywhere(client, job: Job) -> None:
    """End a sweep's experimenters on all workers."""
    with suppress(Exception):
        if alive(client):
            client.run(forget, job.id, on_error="ignore")


def _row(future, result) -> dict:
    from distributed.scheduler import KilledWorker

    if future.status == "finished":
        return result
    if future.status != "error":
        raise SchedulerLost
    error = future.exception()
    if isinstance(error, KilledWorker):
        address = error.last_worker.address
        message = f"the worker died each time it was on this run, last {address}"
        return {**_NOTHING, "status": "killed", "error": _error("killed", message), "worker": address}
    raise error if isinstance(error, WorkerUnfit) else WorkerUnfit(f"a worker failed: {type(error).__name__}: {error}")
