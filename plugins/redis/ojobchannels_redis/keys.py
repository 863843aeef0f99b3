"""The names of the keys of a channel, and the hash slot of each."""

from binascii import crc_hqx
from typing import Final
from urllib.parse import unquote

_SLOTS: Final = 16384
_IN_CHANNEL: Final = str.maketrans({"%": "%25", "{": "%7B", "}": "%7D", ":": "%3A"})
_IN_LOCK: Final = str.maketrans({"%": "%25", "{": "%7B", "}": "%7D"})
_IN_PATTERN: Final = str.maketrans({char: f"\\{char}" for char in "\\*?[]^-"})


class Keys:
    """The keys of one channel.

    All documents of a channel are in one hash slot, each lock is in a slot of its own: the text
    between the first pair of braces decides. Names are escaped so that different names never make
    the same key.

    Attributes:
        documents: The keys of the documents, in the order in which the scripts take them: values,
            order of change, keys as written, marks of fences, counter of changes.
        changes: The Pub/Sub channel for messages about changes; databases of a server share it.
        marks: The key of the marks of fences.
        swept: The key that exists for a day after marks were swept.
        indexes: The key of what is known of the indexes.
        all_locks: The pattern of the keys of the locks of all channels with the prefix.
    """

    def __init__(self, prefix: str, channel: str) -> None:
        escaped = channel.translate(_IN_CHANNEL)
        stem = f"{prefix}:{{{escaped}}}"
        self.documents = tuple(f"{stem}:{part}" for part in "values order keys marks count".split())
        self.values = self.documents[0]
        self._lock_stem = f"{prefix}:{{{escaped}:"
        self._wake_stem = f"{prefix}:wake:"
        self.marks = self.documents[3]
        self.changes = self.documents[4]
        self.swept = f"{stem}:swept"
        self.indexes = f"{stem}:indexes-1"
        self._index_stem = f"{stem}:index-1"
        self.all_locks = f"{prefix.translate(_IN_PATTERN)}:{{*}}:lock"
        self.lock_pattern = f"{self._lock_stem.translate(_IN_PATTERN)}*}}:lock"

    def lock(self, name: str) -> str:
        """Return the key of a lock."""
        if "%" in name or "{" in name or "}" in name:  # to translate takes long
            name = name.translate(_IN_LOCK)
        return f"{self._lock_stem}{name}}}:lock"

    def index(self, kind: str, field: str) -> str:
        """Return the key of the index of a kind of values in a field."""
        return f"{self._index_stem}:{kind}:{field.translate(_IN_CHANNEL)}"

    def lock_name(self, key: str) -> str:
        """Return the name of the lock that has that key."""
        return unquote(key[len(self._lock_stem) : -len("}:lock")])

    def queue(self, lock_key: str) -> str:
        """Return the key of the queue of waiters for a lock."""
        return f"{lock_key.removesuffix('lock')}queue"

    def wake_channel(self, subscriber: str) -> str:
        """Return the Pub/Sub channel on which the waiters of a process are woken."""
        return self._wake_stem + subscriber


def slot(key: str) -> int:
    """Return the hash slot of a key."""
    tag = key[key.index("{") + 1 : key.index("}")]
    return crc_hqx(tag.encode(), 0) % _SLOTS
