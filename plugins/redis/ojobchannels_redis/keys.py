"""The names of our keys, and in which hash slot of a Redis Cluster they are.

All documents of a channel are in one slot, each lock is in a slot of its own: the text between the
first pair of braces decides. Names are escaped so that different names never make the same key.
"""

from __future__ import annotations

from binascii import crc_hqx
from typing import Final
from urllib.parse import unquote

_SLOTS: Final = 16384
_IN_CHANNEL: Final = str.maketrans({"%": "%25", "{": "%7B", "}": "%7D", ":": "%3A"})
_IN_LOCK: Final = str.maketrans({"%": "%25", "{": "%7B", "}": "%7D"})
_IN_PATTERN: Final = str.maketrans({char: f"\\{char}" for char in "\\*?[]^-"})


class Keys:
    """The keys of one channel.

    Attributes:
        documents: The keys of the documents, in the order in which the scripts take them: values,
            order of change, keys as written, marks of fences, counter of changes.
        changes: The Pub/Sub channel for messages about changes; databases of a server share it.
    """

    def __init__(self, prefix: str, channel: str) -> None:
        escaped = channel.translate(_IN_CHANNEL)
        stem = f"{prefix}:{{{escaped}}}"
        self.documents = tuple(f"{stem}:{part}" for part in "values order keys marks count".split())
        self.values = self.documents[0]
        self._prefix = prefix
        self._lock_stem = f"{prefix}:{{{escaped}:"
        self.changes = self.documents[4]
        self.lock_pattern = f"{self._lock_stem.translate(_IN_PATTERN)}*}}:lock"

    def lock(self, name: str) -> str:
        """Return the key of a lock."""
        return f"{self._lock_stem}{name.translate(_IN_LOCK)}}}:lock"

    def lock_name(self, key: str) -> str:
        """Return the name of the lock that has that key."""
        return unquote(key[len(self._lock_stem) : -len("}:lock")])

    def queue(self, lock_key: str) -> str:
        """Return the key of the queue of waiters for a lock."""
        return f"{lock_key.removesuffix('lock')}queue"

    def wake_channel(self, subscriber: str) -> str:
        """Return the Pub/Sub channel on which the waiters of a process are woken."""
        return f"{self._prefix}:wake:{subscriber}"


def slot(key: str) -> int:
    """Return the hash slot of a key."""
    tag = key[key.index("{") + 1 : key.index("}")]
    return crc_hqx(tag.encode(), 0) % _SLOTS
