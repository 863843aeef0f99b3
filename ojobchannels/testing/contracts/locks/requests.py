"""Lock requests at the hook itself, as the contracts use them."""

from __future__ import annotations

from typing import Any

from ojobchannels.channels.channel import Channel

TOKEN = "a" * 32
OTHER = "b" * 32


def ask(channel: Channel, token: str = TOKEN, ttl: float = 60, name: str = "nightly") -> Any:
    """Request a lock with a token of the test; return Granted or Busy."""
    return channel.hook.lock(
        name=name, token=token, ttl=round(ttl * 1000), holder={"n": 1}, waits=False
    )
