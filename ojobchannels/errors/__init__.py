"""All errors of this package: one tree; every message says what happened and what to do."""

from __future__ import annotations

from ojobchannels.errors.base import ChannelError
from ojobchannels.errors.channel import (
    ChannelClosed,
    ChannelDamaged,
    ChannelTimeout,
    ChannelUnavailable,
    DuplicateChannelType,
    InvalidKey,
    InvalidName,
    InvalidOption,
    InvalidValue,
    LockBusy,
    LockLost,
    NotSupported,
    OutcomeUnknown,
    PluginFailed,
    StaleFence,
    StorageFull,
    UnknownChannelType,
)
from ojobchannels.errors.job import (
    CodeFailed,
    CodeFault,
    Diagnostic,
    FireTimeTaken,
    InvalidJobArgs,
    JobError,
    JobFileError,
    JobMisuse,
    JobTimeout,
    LogFileUnavailable,
    RunNotStarted,
    RunsAlready,
    UnknownJob,
)
from ojobchannels.errors.text import describe_holder, shown

__all__ = [
    "ChannelClosed",
    "ChannelDamaged",
    "ChannelError",
    "ChannelTimeout",
    "ChannelUnavailable",
    "CodeFailed",
    "CodeFault",
    "Diagnostic",
    "DuplicateChannelType",
    "FireTimeTaken",
    "InvalidJobArgs",
    "InvalidKey",
    "InvalidName",
    "InvalidOption",
    "InvalidValue",
    "JobError",
    "JobFileError",
    "JobMisuse",
    "JobTimeout",
    "LockBusy",
    "LockLost",
    "LogFileUnavailable",
    "NotSupported",
    "OutcomeUnknown",
    "PluginFailed",
    "RunNotStarted",
    "RunsAlready",
    "StaleFence",
    "StorageFull",
    "UnknownChannelType",
    "UnknownJob",
    "describe_holder",
    "shown",
]

# The modules inside are an implementation detail: tracebacks and pickles show the public path.
for _name in __all__:
    globals()[_name].__module__ = __name__
