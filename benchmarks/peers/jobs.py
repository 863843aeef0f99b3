"""Managed runs of other libraries: one run of an empty job, with what they do around it."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any
from urllib.parse import urlsplit

from benchmarks.measure import Turn, Workspace, repeated, repeated_in_loop


@contextmanager
def huey(type: str, workspace: Workspace) -> Iterator[Turn]:
    """The lock of huey that a task takes: no ttl, no record of the run."""
    import huey as library

    queue: Any
    if type == "redis":
        queue = library.RedisHuey("bench", url=workspace.server("redis"))
    elif type == "db":
        queue = library.SqliteHuey("bench", filename=str(workspace.folder / "huey.db"), fsync=True)
    elif type == "file":
        queue = library.FileHuey("bench", path=str(workspace.folder / "huey"))
    else:
        queue = library.MemoryHuey("bench")

    def run() -> None:
        with queue.lock_task("job"):
            pass

    yield repeated(run)
    if hasattr(queue.storage, "close"):
        queue.storage.close()


@contextmanager
def celery_once(type: str, workspace: Workspace) -> Iterator[Turn]:
    """The lock of celery-once that a task takes: a ttl, no owner, no record of the run."""
    backend: Any
    if type == "redis":
        from celery_once.backends.redis import Redis

        backend = Redis({"url": workspace.server("redis"), "default_timeout": 30})
    else:
        from celery_once.backends.file import File

        backend = File({"location": str(workspace.folder / "celery-once"), "default_timeout": 30})

    def run() -> None:
        backend.raise_or_lock("job", 30)
        backend.clear_lock("job")

    yield repeated(run)


@contextmanager
def apscheduler(type: str, workspace: Workspace) -> Iterator[Turn]:
    """A job of APScheduler: added, run by a thread of its pool, removed; no lock, no record."""
    from apscheduler.events import EVENT_JOB_EXECUTED
    from apscheduler.schedulers.background import BackgroundScheduler

    logging.getLogger("apscheduler").setLevel(logging.CRITICAL)
    scheduler: Any = BackgroundScheduler(timezone="UTC")
    if type == "db":
        scheduler.add_jobstore("sqlalchemy", url=f"sqlite:///{workspace.folder / 'apscheduler.db'}")
    elif type == "postgres":
        url = workspace.server(type).replace("postgresql:", "postgresql+psycopg:")
        scheduler.add_jobstore("sqlalchemy", url=url)
    elif type == "redis":
        server = urlsplit(workspace.server("redis"))
        scheduler.add_jobstore("redis", host=server.hostname, port=server.port)
    elif type == "mongo":
        scheduler.add_jobstore("mongodb", host=workspace.server("mongo"))
    done = threading.Event()
    scheduler.add_listener(lambda _: done.set(), EVENT_JOB_EXECUTED)
    scheduler.start()

    def run() -> None:
        done.clear()
        scheduler.add_job(_nothing)
        done.wait(10)

    yield repeated(run)
    scheduler.shutdown()


@contextmanager
def procrastinate(type: str, workspace: Workspace) -> Iterator[Turn]:
    """A job of procrastinate with a lock: deferred, fetched and run by a worker, and finished."""
    import procrastinate as library

    logging.getLogger("procrastinate").setLevel(logging.CRITICAL)
    connector = library.PsycopgConnector(conninfo=workspace.server(type))
    app: Any = library.App(connector=connector)
    job = app.task(name="job", lock="job")(_nothing)
    loop = asyncio.new_event_loop()

    async def run() -> None:
        await job.defer_async()
        await app.run_worker_async(wait=False, install_signal_handlers=False, listen_notify=False)

    loop.run_until_complete(app.open_async())
    try:
        with suppress(library.exceptions.ConnectorException):  # it was applied in another turn
            loop.run_until_complete(app.schema_manager.apply_schema_async())
        yield repeated_in_loop(loop, run)
    finally:
        loop.run_until_complete(app.close_async())
        loop.close()


def _nothing() -> None:
    """The job."""


RUNS = {
    "simple": {"huey.lock_task (memory)": huey, "APScheduler (memory)": apscheduler},
    "file": {"huey.lock_task (file)": huey, "celery-once (file)": celery_once},
    "db": {"huey.lock_task (SQLite)": huey, "APScheduler (SQLite)": apscheduler},
    "redis": {
        "huey.lock_task (redis)": huey,
        "celery-once (redis)": celery_once,
        "APScheduler (redis)": apscheduler,
    },
    "mongo": {"APScheduler (MongoDB)": apscheduler},
    "postgres": {"APScheduler (PostgreSQL)": apscheduler, "procrastinate": procrastinate},
}
