"""The document operations of a channel whose backend works in the event loop."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from ojobchannels.aio.channel import AsyncChannel
from ojobchannels.channels.arguments import checked_fence
from ojobchannels.channels.documents import check_match, checked_items, checked_keys, pages
from ojobchannels.documents import Document, Item, check_key, check_value
from ojobchannels.hookspecs import ABSENT, MISSING, Compared

if TYPE_CHECKING:
    from ojobchannels.aio.native.calls import NativeCalls


class NativeDocuments(AsyncChannel):
    """The part of a `NativeChannel` that stores documents; `Channel` describes each operation."""

    _requests: NativeCalls

    async def get(self, key: Document, default: Document = None) -> Document:
        value = await self._read("get", key=check_key(key))
        return default if value is MISSING else value

    async def set(self, key: Document, value: Document, fence: int | None = None) -> None:
        checked = check_key(key)
        check_value(value)
        await self._call("set", key=checked, value=value, fence=checked_fence(fence))

    async def unset(self, key: Document, fence: int | None = None) -> bool:
        removed: bool = await self._call("unset", key=check_key(key), fence=checked_fence(fence))
        return removed

    async def get_all(self, match: Document = None) -> list[Document]:
        check_value(match)
        values: list[Document] = await self._read("get_all", match=match)
        return values

    async def items(
        self,
        match: Document = None,
        limit: int | None = None,
        newest_first: bool = False,
        after: int | None = None,
    ) -> AsyncIterator[Item]:
        check_value(match)
        reading = pages(limit, after)
        size, after = next(reading)
        while size:
            page: list[Item] = await self._read(
                "items", match=match, limit=size, newest_first=newest_first, after=after
            )
            for item in page:
                yield item
            size, after = reading.send(page)

    async def get_keys(self) -> list[Document]:
        keys: list[Document] = await self._read("get_keys")
        return keys

    async def size(self) -> int:
        size: int = await self._read("size")
        return size

    async def set_all(
        self, items: Mapping[Any, Document] | Iterable[tuple[Document, Document]]
    ) -> None:
        checked = checked_items(items)
        self.sync._check_batch(len(checked))
        if checked:
            await self._call("set_all", items=checked)

    async def unset_all(self, keys: Iterable[Document]) -> int:
        checked = checked_keys(keys)
        self.sync._check_batch(len(checked))
        removed: int = await self._call("unset_all", keys=checked) if checked else 0
        return removed

    async def get_set(
        self,
        match: Document,
        key: Document,
        value: Document,
        fence: int | None = None,
        default: Document = None,
    ) -> Document:
        compared = await self._compare_and_set(match, key, value, fence)
        return compared.previous if compared.stored else default

    async def add(self, key: Document, value: Document, fence: int | None = None) -> bool:
        return (await self._compare_and_set(ABSENT, key, value, fence)).stored

    async def pop(self, default: Document = None) -> Document:
        value = await self._call("pop")
        return default if value is MISSING else value

    async def shift(self, default: Document = None) -> Document:
        value = await self._call("shift")
        return default if value is MISSING else value

    async def destroy(self) -> None:
        await self._call("destroy")

    async def _compare_and_set(
        self, match: Document, key: Document, value: Document, fence: int | None
    ) -> Compared:
        checked = check_key(key)
        check_value(value)
        check_match(match)
        compared: Compared = await self._call(
            "get_set", match=match, key=checked, value=value, fence=checked_fence(fence)
        )
        return compared

    async def _call(self, operation: str, **arguments: Any) -> Any:
        return await self._requests.call(partial(getattr(self._hook, operation), **arguments))

    async def _read(self, operation: str, **arguments: Any) -> Any:
        return await self._requests.read(partial(getattr(self._hook, operation), **arguments))
