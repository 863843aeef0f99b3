"""The public names as type checkers see them in a user's program; checked, never run."""

import asyncio
from collections.abc import Generator, Iterable
from datetime import timedelta
from typing import Any, assert_type

import ojobchannels as oc


def channels() -> None:
    by_options = oc.open_channel("orders", type="db", file="orders.db")
    by_mapping = oc.open_channel("orders", {"type": "db", "args": {"file": "orders.db"}})
    by_url = oc.open_channel("orders", "redis://localhost")
    assert_type(by_options, oc.Channel)
    assert_type(by_mapping, oc.Channel)
    assert_type(by_url, oc.Channel)
    with oc.open_channel("orders") as channel:
        assert_type(channel, oc.Channel)


def misspelled() -> None:
    oc.open_chanel("orders")  # type: ignore[attr-defined]  # a name that does not exist


def operations(channel: oc.Channel) -> None:
    channel.set({"id": 1}, {"id": 1, "state": "new"})
    channel.set("counter", 1, fence=7)
    assert_type(channel.get("counter"), Any)
    assert_type(channel.get("counter", default=0), Any)
    assert_type(channel.get_all(match={"state": "new"}), list[Any])
    assert_type(channel.get_keys(), list[Any])
    assert_type(channel.size(), int)
    channel.set_all({"a": 1, "b": 2})
    channel.set_all([({"id": 1}, None), ({"id": 2}, None)])
    assert_type(channel.unset("counter"), bool)
    assert_type(channel.unset_all(["a", "b"]), int)
    assert_type(channel.add({"id": 2}, {"id": 2}), bool)
    assert_type(channel.get_set({"state": "new"}, {"id": 1}, {"state": "taken"}), Any)
    assert_type(channel.pop(), Any)
    for key, value in channel.items(limit=10, newest_first=True):
        print(key, value)
    for item in channel.items():
        assert_type(item, oc.Item)


def locks(channel: oc.Channel) -> None:
    with channel.lock("nightly", ttl=30, wait=5, keep_alive=True) as lease:
        assert_type(lease, oc.Lease)
        assert_type(lease.fence, int)
        assert_type(lease.remaining(), float)
        assert_type(lease.lost, bool)
        lease.extend(timedelta(minutes=1))
    if (attempt := channel.try_lock("nightly", ttl=timedelta(seconds=30))) is not None:
        assert_type(attempt, oc.Lease)
        moved = channel.lease_from(attempt.to_document())
        assert_type(moved, oc.Lease)
    assert_type(channel.lock_info("nightly"), oc.LockInfo | None)
    assert_type(channel.locks(), list[oc.LockInfo])
    assert_type(channel.force_unlock("nightly"), oc.LockInfo | None)


async def awaited() -> None:
    async with oc.open_async_channel("orders", type="db", file="orders.db") as channel:
        assert_type(channel, oc.AsyncChannel)
        assert_type(await channel.get("counter"), Any)
        assert_type(await channel.size(), int)
        async with channel.lock("nightly", ttl=30, wait=5, keep_alive=True) as lease:
            assert_type(lease, oc.AsyncLease)
            assert_type(lease.fence, int)
        assert_type(await channel.lock("nightly", ttl=30), oc.AsyncLease)
        async for change in channel.subscribe(replay=True):
            assert_type(change, oc.Change)
        async for item in channel.items(limit=10):
            assert_type(item, oc.Item)
    assert_type(await oc.open_async_channel("orders"), oc.AsyncChannel)


async def awaited_jobs() -> None:
    async with oc.AsyncJobManager(jobs="sqlite:///jobs.db") as manager:

        @manager.job("double", timeout=60)
        async def double(number: int) -> int:
            return 2 * number

        assert_type(await double(1), int | None)
        assert_type(manager.launch("double", {"number": 1}), oc.AsyncLaunch)
        async with manager.run("clean", timeout=60) as run:
            assert_type(run, oc.AsyncJobRun)
            await run.update(progress=0.5)

        @manager.job("tick", interval=timedelta(minutes=5), misfire="none", retries=2)
        async def tick() -> None:
            """Do nothing."""

        @manager.job("tock", every=60)  # type: ignore[call-arg]  # an option that does not exist
        async def tock() -> None:
            """Do nothing."""

        assert_type(await tick(), None)
        await manager.serve()


async def awaited_more(channel: oc.AsyncChannel) -> None:
    async def on_lost(lease: oc.AsyncLease) -> None:
        print(lease.name)

    lease = await channel.try_lock("nightly", ttl=timedelta(seconds=30), on_lost=on_lost)
    if lease is not None:
        await lease.extend(60)
        assert_type(await lease.to_document(), dict[str, Any])
    assert_type(await channel.locks(), list[oc.LockInfo])
    assert_type(await channel.get_set({"state": "new"}, {"id": 1}, {"state": "taken"}), Any)
    assert_type(channel.sync, oc.Channel)
    async with channel.subscribe(replay=True) as changes:
        assert_type(changes, oc.AsyncSubscription)
        assert_type(await anext(changes), oc.Change)
    async with asyncio.TaskGroup() as tasks:
        waiting = tasks.create_task(channel.lock("nightly", ttl=30, wait=None))
    assert_type(waiting.result(), oc.AsyncLease)
    async with asyncio.timeout(1):
        both = await asyncio.gather(channel.size(), channel.lock("nightly", ttl=30))
    assert_type(both, tuple[int, oc.AsyncLease])


async def launched(manager: oc.AsyncJobManager) -> None:
    launch = await manager.launch("double", {"number": 1}, durable=True, idempotency_key="1")
    assert_type(launch, oc.AsyncDurableLaunch)
    assert_type(launch.launch_id, str)
    assert_type(await manager.runs(status="failed"), list[oc.RunRecord])
    assert_type(await manager.call(manager.sync.report), list[dict[str, Any]])
    serving = asyncio.create_task(manager.serve())
    try:
        await serving
    except oc.WrongEventLoop as error:
        mistake: RuntimeError = error
        print(mistake, error.advice)


def subscriptions(channel: oc.Channel) -> None:
    def on_change(change: oc.Change) -> None:
        print(change)

    with channel.subscribe(on_change, replay=True) as subscription:
        assert_type(subscription, oc.Subscription)


def errors() -> None:
    try:
        channels()
    except oc.LockBusy as busy:
        late: TimeoutError = busy
        print(late)
    except oc.InvalidKey as invalid:
        wrong: ValueError = invalid
        print(wrong)
    except oc.ChannelError as error:
        print(error)


def jobs() -> None:
    manager = oc.JobManager(jobs="sqlite:///jobs.db", locks={"type": "simple"})

    @manager.job("cleanup", timeout=600, if_running="skip")
    def cleanup(days: int) -> str:
        return f"{days} days"

    # A job takes the arguments of its function; it returns None where the run was skipped.
    assert_type(cleanup(days=3), str | None)

    with manager.run("daily-report", timeout=3600) as run:
        assert_type(run, oc.JobRun)
        assert_type(run.fence, int)
        run.update(progress=0.5)
    launch = manager.launch("cleanup", {"days": 3})
    assert_type(launch, oc.Launch[Any])
    assert_type(cleanup.launch(days=3).result(timeout=1), str | None)
    durable = manager.launch("cleanup", {"days": 3}, durable=True, retries=2)
    assert_type(durable, oc.DurableLaunch[Any])
    assert_type(durable.launch_id, str)
    assert_type(launch.done(), bool)
    assert_type(launch.wait(timeout=1), bool)
    for record in manager.runs(status="failed", limit=10):
        print(record["name"])


def schedules(manager: oc.JobManager) -> None:
    @manager.job(
        "report",
        cron="0 2 * * *",
        timezone="Europe/Lisbon",
        jitter=timedelta(minutes=5),
        misfire="all",
        overdue_after=3600,
    )
    def report(day: str = "today") -> str:
        return day

    assert_type(report("monday"), str | None)
    manager.start_schedules()
    for schedule in manager.schedules():
        assert_type(schedule.next_time, int | None)
    manager.stop_schedules()
    manager.serve()


class Audit:
    """An extension, as in the how-to."""

    @oc.hookimpl(wrapper=True)
    def get(self, key: Any) -> Generator[None, Any, Any]:
        result = yield
        print(key)
        return result


def extensions(types: Iterable[oc.ChannelType]) -> None:
    audit = Audit()
    oc.add_extension(audit)
    oc.remove_extension(audit)
    for type in types:
        assert_type(type.name, str)
