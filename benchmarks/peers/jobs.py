"""Managed runs of other libraries: one run of an empty job, with what they do around it."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

from benchmarks.measure import Turn, Workspace, repeated


@contextmanager
def huey(type: str, workspace: Workspace) -> Iterator[Turn]:
    """The lock of huey that a task takes: no ttl, no record of the run."""
    import huey as library

    queue: Any
    if type == "redis":
        queue = library.RedisHuey("bench", url=workspace.server(workspace.redis))
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

        backend = Redis({"url": workspace.server(workspace.redis), "default_timeout": 30})
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
    elif type == "redis":
        server = urlsplit(workspace.server(workspace.redis))
        scheduler.add_jobstore("redis", host=server.hostname, port=server.port)
    elif type == "mongo":
        scheduler.add_jobstore("mongodb", host=workspace.server(workspace.mongo))
    done = threading.Event()
    scheduler.add_listener(lambda _: done.set(), EVENT_JOB_EXECUTED)
    scheduler.start()

    def run() -> None:
        done.clear()
        scheduler.add_job(_nothing)
        done.wait(10)

    yield repeated(run)
    scheduler.shutdown()


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
}
