"""Who does the jobs of a batch: this process, processes of this machine, or a dask cluster."""

from __future__ import annotations

import os
import time
import traceback
import uuid
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

from napari_pathogan.batch.job import finished_record, look
from napari_pathogan.engine.config import SettingError
from napari_pathogan.engine.events import Event, Finished, Item, Progress, Pulse, Warn
from napari_pathogan.errors import JobError, PathoganError, out_of_memory

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Sequence

    from distributed import Client, Future

    from napari_pathogan.batch.job import SlideJob

_TICK_S = 0.2  # between two looks at the cluster
_TELL_S = 0.5  # between two reports of a slide
_CONNECT_S = 15
_ALONE_S = 60  # without any worker, after which that is said
_DEATHS = 2  # of workers, after which a slide is given up
_MEMORY = {"target": False, "spill": False, "pause": False, "terminate": 0.95}


class SlideFailedError(JobError):
    """A slide of a batch failed; ``trace`` tells where, unless the user can do something about it."""

    def __init__(self, message: str, trace: str = "") -> None:
        super().__init__(message, trace)
        self.message, self.trace = message, trace

    @classmethod
    def of(cls, error: BaseException) -> SlideFailedError:
        """What is said of an error in a job."""
        if isinstance(error, SlideFailedError):
            return error
        if isinstance(error, PathoganError):
            return cls(" ".join(str(error).split()))
        if out_of_memory(error):
            return cls("out of memory; take fewer workers, or a machine with more")
        said = " ".join(f"{type(error).__name__}: {error}".split())
        return cls(said, "".join(traceback.format_exception(error)))


def here(
    jobs: Sequence[SlideJob],
) -> Generator[tuple[SlideJob, Event | SlideFailedError], None, None]:
    """Do jobs one after the other in this process.

    Yields
    ------
    A job, and how far it is: Item, then Finished with its record; or why it failed.
    """
    for job in jobs:
        told = time.monotonic()
        yield job, Item(job.name, "runs")
        try:
            for event in look(job):
                if isinstance(event, Finished):
                    yield job, event
                elif isinstance(event, Progress) and time.monotonic() > told + _TELL_S:
                    told = time.monotonic()
                    yield job, Item(job.name, "runs", event.done, event.total, event.what)
                else:
                    yield job, Pulse()
        except Exception as error:  # noqa: BLE001 - of one slide; kept with its trace
            yield job, SlideFailedError.of(error)


def on_workers(
    jobs: Sequence[SlideJob], *, workers: int = 0, address: str = ""
) -> Generator[tuple[SlideJob, Event | SlideFailedError], None, None]:
    """Do jobs in processes of this machine, or on a dask cluster that is there.

    A worker that dies, of memory or otherwise, is replaced, and its slide begun again; a slide of
    which workers die again and again, at the end alone, is given up. Closing the generator stops what runs.

    Parameters
    ----------
    workers
        Processes; on a cluster that is there it is the cluster's business.
    address
        Of a scheduler: ``tcp://host:8786``, or a scheduler file that all machines see.

    Raises
    ------
    SettingError
        If dask.distributed is not installed, or nobody answers at the address.
    """
    with ExitStack() as held:
        client = held.enter_context(_client(workers, address))
        topic = f"pathogan-{uuid.uuid4().hex}"
        futures: dict[Future[Any], SlideJob] = {}
        blamed: set[str] = set()
        held.callback(_stop, client, futures, topic)
        left: list[SlideJob] = list(reversed(jobs))
        suspects: list[SlideJob] = []
        # here none waits at a worker that dies of another; a cluster may grow with what waits
        most = len(jobs) if address else workers
        seen, alone = 0.0, time.monotonic()
        while futures or left or suspects:
            if not futures and not left:  # one by one: dask blames all that a dead worker had
                most, left = 1, [suspects.pop()]
                blamed.add(left[0].name)
            while left and len(futures) < most:
                job = left.pop()
                key = f"{job.name}-{len(blamed)}-{topic}"
                futures[client.submit(_work, job, topic, pure=False, key=key)] = job
            time.sleep(_TICK_S)
            seen, told = _told(client, topic, seen)
            running = {job.name: job for job in futures.values()}
            yield from ((running[one.name], one) for one in told if one.name in running)
            ended = [future for future in futures if future.done()]
            for future in ended:
                job = futures.pop(future)
                if _killed(future) and job.name not in blamed:
                    suspects.append(job)
                else:
                    yield job, _outcome(future)
            alone = time.monotonic() if client.nthreads() else alone
            if time.monotonic() > alone + _ALONE_S:
                alone = float("inf")
                yield jobs[0], Warn("the cluster has no worker; the batch waits until one comes")
            yield jobs[0], Pulse()


@contextmanager
def _client(workers: int, address: str) -> Iterator[Client]:
    """Connect to a scheduler, or start one with its workers here.

    Raises
    ------
    SettingError
        As :func:`on_workers`.
    """
    try:
        import dask  # noqa: PLC0415 - optional, slow to import
        from distributed import Client, LocalCluster  # noqa: PLC0415
    except ModuleNotFoundError as error:
        msg = "several workers need dask.distributed: uv pip install 'napari-pathogan[cluster]'"
        raise SettingError(msg) from error

    with ExitStack() as held:
        if address:
            where = {"scheduler_file": address} if os.path.isfile(address) else {"address": address}  # noqa: PTH113
            try:
                client = Client(**where, timeout=_CONNECT_S, set_as_default=False)
            except (OSError, ValueError) as error:
                msg = f"no dask scheduler answers at {address}; start one (dask scheduler), or check the address"
                raise SettingError(msg) from error
            yield held.enter_context(client)
            return
        threads = str(max(1, (os.cpu_count() or 1) // workers))
        names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
        settings = {
            "distributed.scheduler.allowed-failures": _DEATHS - 1,
            "distributed.worker.daemon": True,
            "distributed.deploy.lost-worker-timeout": "1 day",  # their nannies bring them back
            "distributed.nanny.pre-spawn-environ": dict.fromkeys(names, threads),
            **{f"distributed.worker.memory.{name}": value for name, value in _MEMORY.items()},
        }
        held.enter_context(dask.config.set(settings))
        cluster = held.enter_context(
            LocalCluster(
                n_workers=workers,
                threads_per_worker=1,
                processes=True,
                dashboard_address=None,
                silence_logs=50,
            )
        )
        yield held.enter_context(Client(cluster, set_as_default=False))


def _told(client: Client, topic: str, since: float) -> tuple[float, list[Item]]:
    """What workers have told of their slides, and when the last of it was."""
    told = [one for one in client.get_events(topic) or () if one[0] > since]
    items = [Item(about["name"], "runs", *about["progress"]) for _, about in told]
    return max((stamp for stamp, _ in told), default=since), items


def _work(job: SlideJob, topic: str) -> dict[str, Any]:
    """Do a job in a worker, which tells how far it is, and stops when the batch is stopped.

    Raises
    ------
    SlideFailedError
        If it fails.
    """
    from distributed import Event as Flag  # noqa: PLC0415
    from distributed import get_worker  # noqa: PLC0415

    worker, told = get_worker(), -_TELL_S
    stopped = Flag(topic)
    try:
        if (
            known := finished_record(job)
        ) is not None:  # by a worker that died before it could say so
            return known
        for event in look(job):
            if isinstance(event, Finished):
                record: dict[str, Any] = event.result
                return record
            if isinstance(event, Progress | Warn) and time.monotonic() > told + _TELL_S:
                told = time.monotonic()
                if isinstance(event, Progress):
                    progress = event.done, event.total, event.what
                    worker.log_event(topic, {"name": job.name, "progress": progress})
                if stopped.is_set():
                    break
    except Exception as error:  # noqa: BLE001 - of one slide; kept with its trace
        raise SlideFailedError.of(error) from None
    raise SlideFailedError("stopped")


def _killed(future: Future[Any]) -> bool:
    from distributed import KilledWorker  # noqa: PLC0415

    return future.status == "error" and isinstance(future.exception(), KilledWorker)


def _outcome(future: Future[Any]) -> Event | SlideFailedError:
    if _killed(future):
        return SlideFailedError(
            "every worker that looks at it dies, most likely for want of memory; take fewer workers, or some "
            "with more"
        )
    error = future.exception() if future.status != "cancelled" else SlideFailedError("stopped")
    if error is None:
        record = future.result()
        return Finished(record, record)
    return SlideFailedError.of(error)


def _stop(client: Client, futures: dict[Future[Any], SlideJob], topic: str) -> None:
    """Cancel what waits, and tell what runs; nothing if all is done."""
    if futures:
        from distributed import Event as Flag  # noqa: PLC0415

        Flag(topic, client=client).set()
        client.cancel(list(futures))
