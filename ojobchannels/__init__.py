"""Named locks, key/value channels over many backends, and a job manager that records its runs.

The names are imported when they are first used, so that a test run that merely loads the pytest
plugin of this package does not pay for them.
"""

# ruff: noqa: F403, F405  the names of the errors are not repeated for type checkers

from importlib import import_module
from typing import TYPE_CHECKING, Any

from ojobchannels import moved

if TYPE_CHECKING:
    from ojobchannels.aio.channel import AsyncChannel
    from ojobchannels.aio.jobs import AsyncDurableLaunch, AsyncJobManager, AsyncJobRun, AsyncLaunch
    from ojobchannels.aio.lease import AsyncLease
    from ojobchannels.aio.opening import open_async_channel
    from ojobchannels.aio.subscription import AsyncSubscription
    from ojobchannels.changes import Change
    from ojobchannels.channels.channel import Channel
    from ojobchannels.channels.lease import Lease
    from ojobchannels.channels.opening import add_extension, open_channel, remove_extension
    from ojobchannels.channels.subscription import Subscription
    from ojobchannels.documents import Document, Item, Key, matches
    from ojobchannels.errors import *
    from ojobchannels.hookspecs import ABSENT, MISSING, ChannelType, LockInfo, Option, hookimpl
    from ojobchannels.manager import DurableLaunch, JobManager, JobRun, Launch, RunRecord
    from ojobchannels.ojob.languages import Code, Host, Language, Program

    __version__: str

__all__ = [
    "ABSENT",
    "MISSING",
    "AsyncChannel",
    "AsyncDurableLaunch",
    "AsyncJobManager",
    "AsyncJobRun",
    "AsyncLaunch",
    "AsyncLease",
    "AsyncSubscription",
    "Change",
    "Channel",
    "ChannelClosed",
    "ChannelDamaged",
    "ChannelError",
    "ChannelTimeout",
    "ChannelType",
    "ChannelUnavailable",
    "Code",
    "CodeFailed",
    "CodeFault",
    "Document",
    "DuplicateChannelType",
    "DurableLaunch",
    "FireTimeTaken",
    "Host",
    "InvalidBackend",
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
    "Language",
    "Launch",
    "LaunchFailed",
    "Lease",
    "LockBusy",
    "LockInfo",
    "LockLost",
    "LogFileUnavailable",
    "NoDaemon",
    "NoThread",
    "NotSupported",
    "Option",
    "OutcomeUnknown",
    "PluginFailed",
    "Program",
    "RateLimited",
    "ResultNotKept",
    "RunCancelled",
    "RunNotStarted",
    "RunRecord",
    "RunsAlready",
    "StaleFence",
    "StorageFull",
    "Subscription",
    "UnknownChannelType",
    "UnknownJob",
    "UnknownLaunch",
    "UnknownSchedule",
    "WouldDeadlock",
    "WrongEventLoop",
    "add_extension",
    "hookimpl",
    "matches",
    "open_async_channel",
    "open_channel",
    "remove_extension",
]

moved.install()

# The modules that define the names, the cheapest to import first.
_MODULES = (
    "errors",
    "documents",
    "ojob.languages",
    "changes",
    "hookspecs",
    "channels.lease",
    "channels.subscription",
    "channels.channel",
    "channels.opening",
    "manager",
    "aio.lease",
    "aio.subscription",
    "aio.channel",
    "aio.opening",
    "aio.jobs",
)


if not TYPE_CHECKING:  # with it, type checkers would accept any name

    def __getattr__(name: str) -> Any:
        if name == "__version__":
            from importlib.metadata import version

            return version(__name__)
        for path in _MODULES if name in __all__ else ():
            module = import_module(f"{__name__}.{path}")
            if hasattr(module, name):
                globals()[name] = getattr(module, name)
                return globals()[name]
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*(name for name in globals() if name.startswith("__")), *__all__})
