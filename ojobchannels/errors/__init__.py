"""All errors of this package: one tree; every message says what happened and what to do."""

from typing import TYPE_CHECKING

from ojobchannels.errors.channel import STORE_ERRORS as STORE_ERRORS
from ojobchannels.errors.channel import ChannelClosed as ChannelClosed
from ojobchannels.errors.channel import ChannelDamaged as ChannelDamaged
from ojobchannels.errors.channel import ChannelError as ChannelError
from ojobchannels.errors.channel import ChannelTimeout as ChannelTimeout
from ojobchannels.errors.channel import ChannelUnavailable as ChannelUnavailable
from ojobchannels.errors.channel import DuplicateChannelType as DuplicateChannelType
from ojobchannels.errors.channel import InvalidBackend as InvalidBackend
from ojobchannels.errors.channel import InvalidKey as InvalidKey
from ojobchannels.errors.channel import InvalidName as InvalidName
from ojobchannels.errors.channel import InvalidOption as InvalidOption
from ojobchannels.errors.channel import InvalidValue as InvalidValue
from ojobchannels.errors.channel import LockBusy as LockBusy
from ojobchannels.errors.channel import LockLost as LockLost
from ojobchannels.errors.channel import NotSupported as NotSupported
from ojobchannels.errors.channel import OutcomeUnknown as OutcomeUnknown
from ojobchannels.errors.channel import PluginFailed as PluginFailed
from ojobchannels.errors.channel import StaleFence as StaleFence
from ojobchannels.errors.channel import StorageFull as StorageFull
from ojobchannels.errors.channel import UnknownChannelType as UnknownChannelType
from ojobchannels.errors.channel import WouldDeadlock as WouldDeadlock
from ojobchannels.errors.channel import WrongEventLoop as WrongEventLoop
from ojobchannels.errors.job import AlertNotSent as AlertNotSent
from ojobchannels.errors.job import CodeFailed as CodeFailed
from ojobchannels.errors.job import CodeFault as CodeFault
from ojobchannels.errors.job import Diagnostic as Diagnostic
from ojobchannels.errors.job import FireTimeTaken as FireTimeTaken
from ojobchannels.errors.job import InvalidJobArgs as InvalidJobArgs
from ojobchannels.errors.job import JobError as JobError
from ojobchannels.errors.job import JobFileError as JobFileError
from ojobchannels.errors.job import JobLocked as JobLocked
from ojobchannels.errors.job import JobMisuse as JobMisuse
from ojobchannels.errors.job import JobTimeout as JobTimeout
from ojobchannels.errors.job import LaunchFailed as LaunchFailed
from ojobchannels.errors.job import LogFileUnavailable as LogFileUnavailable
from ojobchannels.errors.job import ManagerClosed as ManagerClosed
from ojobchannels.errors.job import NoDaemon as NoDaemon
from ojobchannels.errors.job import NoThread as NoThread
from ojobchannels.errors.job import RateLimited as RateLimited
from ojobchannels.errors.job import ResultNotKept as ResultNotKept
from ojobchannels.errors.job import RunAbandoned as RunAbandoned
from ojobchannels.errors.job import RunCancelled as RunCancelled
from ojobchannels.errors.job import RunNotStarted as RunNotStarted
from ojobchannels.errors.job import RunsAlready as RunsAlready
from ojobchannels.errors.job import UnknownJob as UnknownJob
from ojobchannels.errors.job import UnknownLaunch as UnknownLaunch
from ojobchannels.errors.job import UnknownSchedule as UnknownSchedule
from ojobchannels.errors.job import WrongRun as WrongRun
from ojobchannels.errors.text import add_note as add_note
from ojobchannels.errors.text import describe_holder as describe_holder
from ojobchannels.errors.text import notes_of as notes_of
from ojobchannels.errors.text import quoted as quoted
from ojobchannels.errors.text import safe_repr as safe_repr
from ojobchannels.errors.text import safe_str as safe_str
from ojobchannels.errors.text import shown as shown
from ojobchannels.errors.text import summary as summary
from ojobchannels.moved import renamed

# The modules inside are an implementation detail: tracebacks and pickles show the public path.
for _value in list(globals().values()):
    if getattr(_value, "__module__", "").startswith(f"{__name__}."):
        _value.__module__ = __name__

if not TYPE_CHECKING:  # type checkers would accept any name
    __getattr__ = renamed(__name__, {"Problem": "Diagnostic"})
