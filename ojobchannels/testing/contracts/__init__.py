"""The contracts: the promises of a channel and its locks, one module for each subject."""

from ojobchannels.testing.contracts.base import Contract, requires, without
from ojobchannels.testing.contracts.documents.batches import BatchContract
from ojobchannels.testing.contracts.documents.comparing import CompareAndSetContract
from ojobchannels.testing.contracts.documents.fence_marks import FenceContract
from ojobchannels.testing.contracts.documents.isolation import IsolationContract
from ojobchannels.testing.contracts.documents.keys import KeyContract
from ojobchannels.testing.contracts.documents.matching import MatchContract
from ojobchannels.testing.contracts.documents.ordering import OrderContract
from ojobchannels.testing.contracts.documents.subscribing import SubscribeContract
from ojobchannels.testing.contracts.documents.values import DocumentContract
from ojobchannels.testing.contracts.locks.clocks import ClockContract
from ojobchannels.testing.contracts.locks.exclusion import LockContract
from ojobchannels.testing.contracts.locks.fences import FenceOrderContract
from ojobchannels.testing.contracts.locks.fifo import FifoContract
from ojobchannels.testing.contracts.locks.handover import HandoverContract
from ojobchannels.testing.contracts.locks.keep_alive import KeepAliveContract
from ojobchannels.testing.contracts.locks.leases import LeaseContract
from ojobchannels.testing.contracts.locks.lock_info import LockInfoContract
from ojobchannels.testing.contracts.locks.retries import RetryContract
from ojobchannels.testing.contracts.locks.tokens import TokenContract
from ojobchannels.testing.contracts.locks.waiting import WaitContract
from ojobchannels.testing.contracts.locks.waking import WakeupContract
from ojobchannels.testing.contracts.processes.concurrency import ProcessContract
from ojobchannels.testing.contracts.processes.crash_release import CrashReleaseContract
from ojobchannels.testing.contracts.processes.forks import ForkContract
from ojobchannels.testing.contracts.processes.handles import HandleContract
from ojobchannels.testing.contracts.processes.kills import KillContract

__all__ = [
    "BatchContract",
    "ChannelConformance",
    "ClockContract",
    "CompareAndSetContract",
    "Contract",
    "CrashReleaseContract",
    "DocumentContract",
    "FenceContract",
    "FenceOrderContract",
    "FifoContract",
    "ForkContract",
    "HandleContract",
    "HandoverContract",
    "IsolationContract",
    "KeepAliveContract",
    "KeyContract",
    "KillContract",
    "LeaseContract",
    "LockContract",
    "LockInfoContract",
    "MatchContract",
    "OrderContract",
    "ProcessContract",
    "RetryContract",
    "SubscribeContract",
    "TokenContract",
    "WaitContract",
    "WakeupContract",
    "requires",
    "without",
]


class ChannelConformance(
    # Documents
    DocumentContract,
    KeyContract,
    MatchContract,
    OrderContract,
    CompareAndSetContract,
    BatchContract,
    FenceContract,
    IsolationContract,
    SubscribeContract,
    # Locks
    LockContract,
    TokenContract,
    RetryContract,
    FenceOrderContract,
    WakeupContract,
    WaitContract,
    FifoContract,
    ClockContract,
    LeaseContract,
    KeepAliveContract,
    LockInfoContract,
    # Handles and processes
    HandoverContract,
    HandleContract,
    ProcessContract,
    KillContract,
    CrashReleaseContract,
    ForkContract,
):
    """All contracts: the complete conformance kit."""
