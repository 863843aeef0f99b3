"""What the floors share: tokens, holders, and documents as JSON."""

from __future__ import annotations

import json
import os
import secrets
import socket
import threading
from collections.abc import Iterable
from typing import Any, Final

TTL: Final = 30_000
Key = dict[str, Any]
Value = dict[str, Any]
BOOT_ID: Final = "0" * 36  # as long as the one in the records of `file` and `db`

_HOST: Final = socket.gethostname()
_encoder: Final = json.JSONEncoder(ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def encode(document: object) -> str:
    """Return canonical JSON."""
    return _encoder.encode(document)


def decode_all(texts: Iterable[str | bytes]) -> list[Any]:
    """Parse many JSON texts as one array, which is the fastest way."""
    parts = (text if isinstance(text, str) else text.decode() for text in texts)
    documents: list[Any] = json.loads(f"[{','.join(parts)}]")
    return documents


def new_token() -> str:
    """Return 128 random bits."""
    return secrets.token_hex(16)


def holder() -> dict[str, object]:
    """Return the holder info that is stored with a lock."""
    return {"host": _HOST, "pid": os.getpid(), "thread": threading.current_thread().name}
