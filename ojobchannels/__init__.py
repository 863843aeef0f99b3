"""Locks that hold and runs that leave a record: channels over many backends, and a job manager."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ojobchannels.channel import Channel, add_extension, open_channel, remove_extension
from ojobchannels.documents import Document, Item, Key, matches
from ojobchannels.errors import (
    ChannelClosed,
    ChannelDamaged,
    ChannelError,
    ChannelTimeout,
    ChannelUnavailable,
    DuplicateChannelType,
    InvalidKey,
    InvalidName,
    InvalidOption,
    InvalidValue,
    JobError,
    JobFileError,
    JobTimeout,
    LockBusy,
    LockLost,
    NotSupported,
    OutcomeUnknown,
    PluginFailed,
    RunNotStarted,
    StaleFence,
    StorageFull,
    UnknownChannelType,
    UnknownJob,
)
from ojobchannels.hookspecs import (
    ABSENT,
    MISSING,
    ChannelType,
    LockInfo,
    Option,
    hookimpl,
)
from ojobchannels.leases import Lease

if TYPE_CHECKING:
    from ojobchannels.manager import JobManager, JobRun, Launch

__all__ = [
    "ABSENT",
    "MISSING",
    "Channel",
    "ChannelClosed",
    "ChannelDamaged",
    "ChannelError",
    "ChannelTimeout",
    "ChannelType",
    "ChannelUnavailable",
    "Document",
    "DuplicateChannelType",
    "InvalidKey",
    "InvalidName",
    "InvalidOption",
    "InvalidValue",
    "Item",
    "JobError",
    "JobFileError",
    "JobManager",
    "JobRun",
    "JobTimeout",
    "Key",
    "Launch",
    "Lease",
    "LockBusy",
    "LockInfo",
    "LockLost",
    "NotSupported",
    "Option",
    "OutcomeUnknown",
    "PluginFailed",
    "RunNotStarted",
    "StaleFence",
    "StorageFull",
    "UnknownChannelType",
    "UnknownJob",
    "add_extension",
    "hookimpl",
    "matches",
    "open_channel",
    "remove_extension",
]


def __getattr__(name: str) -> Any:
    if name in ("JobManager", "JobRun", "Launch"):
        from ojobchannels import manager

        return getattr(manager, name)
    if name == "__version__":
        from importlib.metadata import version

        return version("ojobchannels")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
