"""The names of our keys, and in which hash slot of a Redis Cluster they are.

All documents of a channel are in one slot, each lock is in a slot of its own: what stands between
the first brace and the next decides. Names are escaped so far that no two can be taken for another.
"""

from __future__ import annotations

from binascii import crc_hqx
from typing import Final
from urllib.parse import unquote

_SLOTS: Final = 16384
_IN_CHANNEL: Final = str.maketrans({"%": "%25", "{": "%7B", "}": "%7D", ":": "%3A"})
_IN_LOCK: Final = str.maketrans({"%": "%25", "{": "%7B", "}": "%7D"})
_IN_PATTERN: Final = str.maketrans({one: f"\\{one}" for one in "\\*?[]^-"})


class Keys:
    """The keys of one channel.

    Attributes:
        documents: Those of the documents, in the order in which the scripts take them: values,
            order of change, keys as written, marks of fences, counter of changes.
        changes: The Pub/Sub channel that tells of their changes; databases of one server share it.
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
        """Returns the key of a lock."""
        return f"{self._lock_stem}{name.translate(_IN_LOCK)}}}:lock"

    def lock_name(self, key: str) -> str:
        """Returns the name of the lock that has that key."""
        return unquote(key[len(self._lock_stem) : -len("}:lock")])

    def queue(self, lock_key: str) -> str:
        """Returns the key of those who wait for a lock."""
        return f"{lock_key.removesuffix('lock')}queue"

    def ear(self, subscriber: str) -> str:
        """Returns the name of the Pub/Sub channel on which a process hears that it is called."""
        return f"{self._prefix}:ear:{subscriber}"


def slot(key: str) -> int:
    """Returns the hash slot of a key."""
    tag = key[key.index("{") + 1 : key.index("}")]
    return crc_hqx(tag.encode(), 0) % _SLOTS
