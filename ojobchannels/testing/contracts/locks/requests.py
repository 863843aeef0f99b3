"""How the contracts ask a backend for a lock, at the hook itself."""

from __future__ import annotations

from typing import Any

from ojobchannels.channels.channel import Channel

TOKEN = "a" * 32
OTHER = "b" * 32
SOON = 2.0
"""Seconds within which what is woken has long been, also on a machine that is busy."""


def ask(channel: Channel, token: str = TOKEN, ttl: float = 60, name: str = "nightly") -> Any:
    """Asks for a lock by a token of the test's own; answers Granted or Busy."""
    return channel.hook.lock(
        name=name, token=token, ttl=round(ttl * 1000), holder={"n": 1}, waits=False
    )
