"""Extensions of channels whose backend works in the event loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Generator
from typing import Any

import pytest

import ojobchannels as oc
from ojobchannels.aio.native.channel import NativeChannel
from ojobchannels.aio.native.hookspecs import AWAITED, async_hooks
from ojobchannels.hookspecs import MISSING, ChannelSpec
from tests.aio.native import InLoop

PATIENCE = 60

pytestmark = pytest.mark.usefixtures("native")


class Recorder:
    """An extension that records what its wrappers get, and interferes with some keys."""

    def __init__(self, name: str, log: list[str], never_blocks: bool) -> None:
        self.name = name
        self.log = log
        self.never_blocks = never_blocks
        self.threads: set[int] = set()

    def around(self, operation: str, key: object) -> Generator[None, Any, Any]:
        self.threads.add(threading.get_ident())
        call = f"{self.name} {operation} {key}"
        self.log.append(call)
        if (key, self.name) == ("refused", "middle"):
            raise PermissionError("refused")
        try:
            result = yield
        except BaseException as error:
            self.log.append(f"{call}: {type(error).__name__}")
            if (key, self.name) == ("swallowed", "inner"):
                return "instead of an error"
            raise
        self.log.append(f"{call} → {type(result) if isinstance(result, tuple) else result}")
        if (key, self.name) == ("failed", "inner"):
            raise PermissionError("failed")
        is_replaced = (operation, key, self.name) == ("get", "replaced", "middle")
        return "replaced" if is_replaced else result


def wrapper(operation: str, *, is_first: bool) -> Any:
    with_key = "key" in ChannelSpec.__dict__[operation].__annotations__

    def keyed(self: Recorder, key: Any) -> Generator[None, Any, Any]:
        return (yield from self.around(operation, key.document))

    def plain(self: Recorder) -> Generator[None, Any, Any]:
        return (yield from self.around(operation, None))

    mark = oc.hookimpl(wrapper=True, specname=operation, tryfirst=is_first)
    return mark(keyed if with_key else plain)


class First(Recorder):
    """Is called first, although other extensions are added later."""


for each in AWAITED:
    setattr(Recorder, each, wrapper(each, is_first=False))
    setattr(First, each, wrapper(each, is_first=True))


async def use(channel: oc.AsyncChannel, log: list[str]) -> None:
    """Call each operation, and log what the caller gets."""

    async def noted(call: Any) -> None:
        try:
            log.append(f"the caller gets {await call}")
        except (oc.ChannelError, PermissionError) as error:
            log.append(f"the caller gets {type(error).__name__}")

    async with channel.lock("nightly", ttl=60) as lease:
        await channel.set("fenced", 1, fence=lease.fence)
        await lease.extend()
        assert await channel.lock_info("nightly")
    assert await channel.locks() == []
    assert await channel.force_unlock("nightly") is None
    await noted(channel.set("fenced", 2, fence=1))
    await noted(channel.set("swallowed", 2, fence=1))
    for key in ("refused", "failed", "replaced", "swallowed", "fenced", "absent"):
        await noted(channel.get(key, "the default"))
        await noted(channel.add(key, 1))
    await noted(channel.get_set(1, "refused", 2))
    await channel.set_all({"a": 1, "b": 2})
    assert await channel.unset_all(["a"]) == 1
    assert [item async for item in channel.items(limit=1)] == [("fenced", 1)]
    for call in (channel.get_all, channel.get_keys, channel.size, channel.pop, channel.shift):
        await noted(call())
    await noted(channel.unset("failed"))
    await channel.destroy()


@pytest.mark.filterwarnings("error")
def test_wrappers_see_the_same_in_a_loop_and_on_threads(request: pytest.FixtureRequest) -> None:
    """The same calls in the same order, with the same results, and their errors do the same."""

    async def recorded(never_blocks: bool) -> list[str]:
        log: list[str] = []
        names = {"outermost": First, "inner": Recorder, "middle": Recorder, "outer": Recorder}
        extensions = [kind(name, log, never_blocks) for name, kind in names.items()]
        name = f"{request.node.name} {never_blocks}"
        opened = oc.open_async_channel(name, type="native", extensions=extensions)
        async with opened as channel:
            assert isinstance(channel, NativeChannel) is never_blocks
            await use(channel, log)
        mine = threading.get_ident()
        assert all((each.threads == {mine}) is never_blocks for each in extensions)
        return log

    in_loop, on_threads = (asyncio.run(recorded(each)) for each in (True, False))
    assert in_loop == on_threads
    begun = [line for line in in_loop if "get refused" in line or "get replaced" in line]
    assert begun == [
        *("outermost get refused", "outer get refused", "middle get refused"),
        *("outer get refused: PermissionError", "outermost get refused: PermissionError"),
        *(f"{name} get replaced" for name in ("outermost", "outer", "middle", "inner")),
        *(f"{name} get replaced → {MISSING}" for name in ("inner", "middle")),
        *("outer get replaced → replaced", "outermost get replaced → replaced"),
    ]


class Open:
    """An extension whose wrappers note how they end."""

    never_blocks = True

    def __init__(self) -> None:
        self.begun = asyncio.Event()
        self.ended: list[object] = []

    @oc.hookimpl(wrapper=True)
    def get(self) -> Generator[None, Any, Any]:
        return (yield from self.noted())

    @oc.hookimpl(wrapper=True)
    def set(self) -> Generator[None, Any, Any]:
        return (yield from self.noted())

    def noted(self) -> Generator[None, Any, Any]:
        self.begun.set()
        try:
            result = yield
        except BaseException as error:
            self.ended.append(type(error))
            raise
        self.ended.append(result)
        return result


def test_a_cancelled_read_ends_its_wrappers(monkeypatch: pytest.MonkeyPatch) -> None:
    """They get the CancelledError; around what is completed they get its result."""
    extensions = [Open(), Open()]

    async def test() -> None:
        opened = oc.open_async_channel("cancelled", type="native", extensions=extensions)
        slow = {"get": asyncio.Event(), "set": asyncio.Event()}
        monkeypatch.setattr(InLoop, "slow", slow)
        async with asyncio.timeout(PATIENCE), opened as channel:
            for operation, call in ("get", channel.get("key")), ("set", channel.set("key", 1)):
                task = asyncio.create_task(call)
                await extensions[0].begun.wait()
                task.cancel()
                if operation == "set":
                    slow["set"].set()
                with pytest.raises(asyncio.CancelledError):
                    await task
                extensions[0].begun.clear()

    asyncio.run(test())
    assert [each.ended for each in extensions] == [[asyncio.CancelledError, True]] * 2


def test_a_call_that_is_never_awaited_to_its_end_closes_its_wrappers() -> None:
    """As at the end of a loop."""
    extension = Open()
    with oc.open_channel("closed", type="native", extensions=[extension]) as channel:
        call = async_hooks(channel.hook).get(key=None)
        call.send(None)
        call.close()
    assert extension.ended == [GeneratorExit]


def test_a_wrapper_must_yield_once() -> None:
    """As with pluggy, it is an error of the call."""

    class Wrong:
        never_blocks = True

        @oc.hookimpl(wrapper=True)
        def get(self) -> Generator[None, Any, Any]:
            yield
            yield

        @oc.hookimpl(wrapper=True)
        def set(self) -> Generator[None, Any, Any]:
            yield from ()

    async def test() -> None:
        async with oc.open_async_channel("wrong", type="native", extensions=[Wrong()]) as channel:
            assert isinstance(channel, NativeChannel)
            with pytest.raises(RuntimeError, match="yielded twice"):
                await channel.get("key")
            with pytest.raises(RuntimeError, match="did not yield"):
                await channel.set("key", 1)

    asyncio.run(test())


class MayBlock:
    @oc.hookimpl(wrapper=True)
    def get(self) -> Generator[None, Any, Any]:
        return (yield)


class OldStyle:
    never_blocks = True

    @oc.hookimpl(hookwrapper=True)
    def get(self) -> Generator[None, Any, None]:
        yield


class NoWrapper:
    never_blocks = True

    @oc.hookimpl
    def lock_info(self) -> None:
        """Add nothing."""


class Defaults:
    never_blocks = True

    @oc.hookimpl(wrapper=True)
    def get(self, key: object = None) -> Generator[None, Any, Any]:
        return (yield) or key


class Elsewhere:
    """Wraps what is called on a thread, or at once in a loop."""

    @oc.hookimpl(wrapper=True)
    def extend_all(self) -> Generator[None, Any, Any]:
        return (yield)

    @oc.hookimpl(wrapper=True)
    def watch(self) -> Generator[None, Any, Any]:
        return (yield)

    @oc.hookimpl(wrapper=True)
    def close(self) -> Generator[None, Any, Any]:
        return (yield)


@pytest.mark.parametrize("extension", [MayBlock, OldStyle, NoWrapper, Defaults])
def test_a_channel_uses_threads_unless_its_extensions_never_block(extension: type) -> None:
    """And if what they do cannot be done in a loop in the same way."""
    extensions = [Open(), extension()]
    with oc.open_channel("threads", type="native", extensions=extensions) as channel:
        assert async_hooks(channel.hook) is None


def test_other_wrappers_do_not_matter() -> None:
    """Those of operations that no loop awaits."""
    with oc.open_channel("elsewhere", type="native", extensions=[Elsewhere()]) as channel:
        assert async_hooks(channel.hook) is not None


def test_a_channel_beside_uses_threads_if_an_extension_was_added_that_may_block() -> None:
    """Each channel gets the extensions that were added before it was opened."""
    extension = MayBlock()

    async def test() -> None:
        async with oc.open_async_channel("beside", type="native") as channel:
            oc.add_extension(extension)
            try:
                another = await channel.beside("another")
            finally:
                oc.remove_extension(extension)
            async with another:
                assert not isinstance(another, NativeChannel)
                assert await another.get("key") is None

    asyncio.run(test())
