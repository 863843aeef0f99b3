"""The contracts: the promises of a channel and its locks, one module for each subject."""

from ojobchannels.testing.contracts.base import Contract, requires, without
from ojobchannels.testing.contracts.concurrent.closing import ClosingContract
from ojobchannels.testing.contracts.concurrent.crowds import CrowdContract
from ojobchannels.testing.contracts.concurrent.document_steps import DocumentStepContract
from ojobchannels.testing.contracts.concurrent.lock_steps import LockStepContract
from ojobchannels.testing.contracts.concurrent.slots import SlotContract
from ojobchannels.testing.contracts.concurrent.tasks import AsyncContract
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
from ojobchannels.testing.contracts.locks.deadlines import DeadlineContract
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
from ojobchannels.testing.contracts.many import ManyContract
from ojobchannels.testing.contracts.processes.concurrency import ProcessContract
from ojobchannels.testing.contracts.processes.crash_release import CrashReleaseContract
from ojobchannels.testing.contracts.processes.forks import ForkContract
from ojobchannels.testing.contracts.processes.handles import HandleContract
from ojobchannels.testing.contracts.processes.kills import KillContract
from ojobchannels.testing.contracts.processes.storage import StorageContract
from ojobchannels.testing.contracts.visibility import VisibilityContract

__all__ = [
    "AsyncContract",
    "BatchContract",
    "ChannelConformance",
    "ClockContract",
    "ClosingContract",
    "CompareAndSetContract",
    "Contract",
    "CrashReleaseContract",
    "CrowdContract",
    "DeadlineContract",
    "DocumentContract",
    "DocumentStepContract",
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
    "LockStepContract",
    "ManyContract",
    "MatchContract",
    "OrderContract",
    "ProcessContract",
    "RetryContract",
    "SlotContract",
    "StorageContract",
    "SubscribeContract",
    "TokenContract",
    "VisibilityContract",
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
    DeadlineContract,
    LeaseContract,
    KeepAliveContract,
    LockInfoContract,
    # On many handles, of many entries
    VisibilityContract,
    ManyContract,
    # At the same time
    DocumentStepContract,
    LockStepContract,
    CrowdContract,
    SlotContract,
    AsyncContract,
    ClosingContract,
    # Handles and processes
    HandoverContract,
    HandleContract,
    ProcessContract,
    KillContract,
    CrashReleaseContract,
    ForkContract,
    StorageContract,
):
    """All contracts: the complete conformance kit."""
