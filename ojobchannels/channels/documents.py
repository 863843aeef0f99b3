"""The document operations of a channel."""

from collections.abc import Generator, Iterable, Iterator, Mapping
from typing import Any, Final

from ojobchannels.channels.arguments import check_limit, check_position, checked_fence
from ojobchannels.documents import Document, Item, Key, check_key, check_value
from ojobchannels.errors import InvalidOption, NotSupported, shown
from ojobchannels.hookspecs import ABSENT, MISSING, Compared
from ojobchannels.host.clock import Clock

_FIRST_PAGE: Final = 128
_LARGEST_PAGE: Final = 1024


class DocumentStore:
    """The part of a `Channel` that stores documents; leases and subscriptions need no more of it.

    `Channel` describes its attributes.
    """

    def __init__(
        self, name: str, type: str, capabilities: frozenset[str], hook: Any, clock: Clock
    ) -> None:
        self.name = name
        self.type = type
        self.capabilities = capabilities
        self.clock = clock
        self.hook: Any = hook

    def get(self, key: Document, default: Document = None) -> Document:
        """Return the value of a key, or `default` if the key does not exist."""
        value = self.hook.get(key=check_key(key))
        return default if value is MISSING else value

    def set(self, key: Document, value: Document, fence: int | None = None) -> None:
        """Store a value; replace the old one.

        Args:
            key: A string, 64-bit integer, finite float, boolean or map of JSON values.
            value: A JSON document.
            fence: The fence of the lease that protects this key.

        Raises:
            StaleFence: The key was already written with a higher fence.
            InvalidKey: The key is not a valid key; the message gives the path.
            InvalidValue: The value is not a JSON document; the message gives the path.
        """
        checked = check_key(key)
        check_value(value)
        self.hook.set(key=checked, value=value, fence=checked_fence(fence))

    def unset(self, key: Document, fence: int | None = None) -> bool:
        """Remove a key and return whether it existed; its fence mark is kept."""
        removed: bool = self.hook.unset(key=check_key(key), fence=checked_fence(fence))
        return removed

    def get_all(self, match: Document = None) -> list[Document]:
        """Return the values, oldest change first; with a match, only those that `matches` accepts.

        Example:
            >>> import ojobchannels as oc
            >>> with oc.open_channel("docs-all") as channel:
            ...     channel.set(1, {"state": "new", "n": 1})
            ...     channel.set(2, {"state": "done", "n": 2})
            ...     channel.get_all(match={"state": "new"})
            [{'state': 'new', 'n': 1}]
        """
        check_value(match)
        values: list[Document] = self.hook.get_all(match=match)
        return values

    def items(
        self,
        match: Document = None,
        limit: int | None = None,
        newest_first: bool = False,
        after: int | None = None,
    ) -> Iterator[Item]:
        """Yield key and value pairs in the order of their last change, read in pages.

        Args:
            match: Yield only pairs whose value matches.
            limit: Yield at most this number of pairs.
            newest_first: Start with the latest change.
            after: Start after this position, the `position` of an item yielded before.
        """
        check_value(match)
        reading = pages(limit, after)
        size, after = next(reading)
        while size:
            page: list[Item] = self.hook.items(
                match=match, limit=size, newest_first=newest_first, after=after
            )
            yield from page
            size, after = reading.send(page)

    def get_keys(self) -> list[Document]:
        """Return the keys as they were last written, oldest change first."""
        keys: list[Document] = self.hook.get_keys()
        return keys

    def size(self) -> int:
        """Return the number of entries."""
        size: int = self.hook.size()
        return size

    def set_all(self, items: Mapping[Any, Document] | Iterable[tuple[Document, Document]]) -> None:
        """Store several values in one atomic step: all of them, or none.

        Args:
            items: A map of keys to values, or pairs of key and value.

        Raises:
            NotSupported: There is more than one, and the backend lacks ``atomic_batches``.
        """
        checked = checked_items(items)
        self._check_batch(len(checked))
        if checked:
            self.hook.set_all(items=checked)

    def unset_all(self, keys: Iterable[Document]) -> int:
        """Remove several keys in one atomic step and return how many existed.

        Raises:
            NotSupported: There is more than one, and the backend lacks ``atomic_batches``.
        """
        checked = checked_keys(keys)
        self._check_batch(len(checked))
        removed: int = self.hook.unset_all(keys=checked) if checked else 0
        return removed

    def get_set(
        self,
        match: Document,
        key: Document,
        value: Document,
        fence: int | None = None,
        default: Document = None,
    ) -> Document:
        """Compare and set: store if the current value matches, and return the old value.

        Args:
            match: What the current value must match; ABSENT if the key must not exist.
            key: The key.
            value: The new value.
            fence: The fence of the lease that protects this key.
            default: The result if nothing was stored; with MISSING, it differs from an old null.

        Example:
            >>> import ojobchannels as oc
            >>> with oc.open_channel("docs-cas") as channel:
            ...     channel.set(1, {"state": "new"})
            ...     channel.get_set({"state": "new"}, 1, {"state": "taken"})
            ...     channel.get_set({"state": "new"}, 1, {"state": "taken"}) is None
            {'state': 'new'}
            True
        """
        compared = self._compare_and_set(match, key, value, fence)
        return compared.previous if compared.stored else default

    def add(self, key: Document, value: Document, fence: int | None = None) -> bool:
        """Store a value only if the key does not exist; return whether it was stored."""
        return self._compare_and_set(ABSENT, key, value, fence).stored

    def pop(self, default: Document = None) -> Document:
        """Remove the entry that was changed last and return its value, or `default` if empty."""
        value = self.hook.pop()
        return default if value is MISSING else value

    def shift(self, default: Document = None) -> Document:
        """Remove the entry whose last change is the oldest and return its value, or `default`."""
        value = self.hook.shift()
        return default if value is MISSING else value

    def _compare_and_set(
        self, match: Document, key: Document, value: Document, fence: int | None
    ) -> Compared:
        checked = check_key(key)
        check_value(value)
        check_match(match)
        compared: Compared = self.hook.get_set(
            match=match, key=checked, value=value, fence=checked_fence(fence)
        )
        return compared

    def _check_batch(self, size: int) -> None:
        if size > 1 and "atomic_batches" not in self.capabilities:
            reason = f"{size} entries in one step"
            advice = "store them one by one, if readers may see some of them before the others"
            raise NotSupported(self.name, reason, advice)


def pages(
    limit: int | None, after: int | None
) -> Generator[tuple[int, int | None], list[Item], None]:
    """Yield the size of each page, and the position after which it starts; the last size is 0.

    Args:
        limit: The number of items to read; None reads all. The generator is sent each page.
        after: The position after which the first page starts.

    Raises:
        InvalidOption: The limit is negative, or one of them is not an integer.
    """
    check_limit(limit)
    check_position(after)
    left, size = limit, _FIRST_PAGE  # pages grow: many callers stop after a few items
    while left is None or left > 0:
        size = size if left is None else min(left, size)
        page = yield size, after
        if len(page) < size:
            break
        after = page[-1].position
        left = None if left is None else left - size
        size = min(2 * size, _LARGEST_PAGE)
    yield 0, None


def checked_items(
    items: Mapping[Any, Document] | Iterable[tuple[Document, Document]],
) -> list[tuple[Key, Document]]:
    """Return the keys and values of `set_all` if they are valid."""
    pairs = items.items() if isinstance(items, Mapping) else items
    checked = []
    advice = "pass a map of keys to values, or pairs of them"
    for pair in _each("items", pairs, "pairs", advice):
        if not isinstance(pair, tuple | list) or len(pair) != 2:
            raise InvalidOption("items", f"{shown(pair)} is not a pair of key and value", advice)
        key, value = pair
        check_value(value)
        checked.append((check_key(key), value))
    return checked


def checked_keys(keys: Iterable[Document]) -> list[Key]:
    """Return the keys of `unset_all` if they are valid."""
    return [check_key(key) for key in _each("keys", keys, "keys", "pass a list of them")]


def _each(option: str, values: Any, kind: str, advice: str) -> Iterable[Any]:
    """Return the values if there can be several; a text is one, not a list of its characters."""
    if isinstance(values, str | bytes) or not isinstance(values, Iterable):
        raise InvalidOption(option, f"{shown(values)} is not a list of {kind}", advice)
    return values


def check_match(match: Document) -> None:
    """Raise InvalidValue unless it is ABSENT or a JSON document."""
    if match is not ABSENT:
        check_value(match)
