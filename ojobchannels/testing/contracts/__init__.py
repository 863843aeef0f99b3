"""The contracts: what a channel and its locks promise, one module a subject."""

from ojobchannels.testing.contracts.base import Contract, requires, without
from ojobchannels.testing.contracts.batches import BatchContract
from ojobchannels.testing.contracts.clocks import ClockContract
from ojobchannels.testing.contracts.comparing import CompareContract
from ojobchannels.testing.contracts.deaths import DeathContract
from ojobchannels.testing.contracts.documents import DocumentContract
from ojobchannels.testing.contracts.fences import FenceContract
from ojobchannels.testing.contracts.forks import ForkContract
from ojobchannels.testing.contracts.growing import GrowingContract
from ojobchannels.testing.contracts.handles import HandleContract
from ojobchannels.testing.contracts.handover import HandoverContract
from ojobchannels.testing.contracts.isolation import IsolationContract
from ojobchannels.testing.contracts.keys import KeyContract
from ojobchannels.testing.contracts.kills import KillContract
from ojobchannels.testing.contracts.leases import LeaseContract
from ojobchannels.testing.contracts.locks import LockContract
from ojobchannels.testing.contracts.matching import MatchContract
from ojobchannels.testing.contracts.ordering import OrderContract
from ojobchannels.testing.contracts.processes import ProcessContract
from ojobchannels.testing.contracts.queueing import QueueContract
from ojobchannels.testing.contracts.renewing import RenewContract
from ojobchannels.testing.contracts.retries import RetryContract
from ojobchannels.testing.contracts.subscribing import SubscribeContract
from ojobchannels.testing.contracts.telling import TellContract
from ojobchannels.testing.contracts.tokens import TokenContract
from ojobchannels.testing.contracts.waiting import WaitContract
from ojobchannels.testing.contracts.waking import WakeContract

__all__ = [
    "BatchContract",
    "ChannelConformance",
    "ClockContract",
    "CompareContract",
    "Contract",
    "DeathContract",
    "DocumentContract",
    "FenceContract",
    "ForkContract",
    "GrowingContract",
    "HandleContract",
    "HandoverContract",
    "IsolationContract",
    "KeyContract",
    "KillContract",
    "LeaseContract",
    "LockContract",
    "MatchContract",
    "OrderContract",
    "ProcessContract",
    "QueueContract",
    "RenewContract",
    "RetryContract",
    "SubscribeContract",
    "TellContract",
    "TokenContract",
    "WaitContract",
    "WakeContract",
    "requires",
    "without",
]


class ChannelConformance(
    # Documents
    DocumentContract,
    KeyContract,
    MatchContract,
    OrderContract,
    CompareContract,
    BatchContract,
    FenceContract,
    IsolationContract,
    SubscribeContract,
    # Locks
    LockContract,
    TokenContract,
    RetryContract,
    GrowingContract,
    WakeContract,
    WaitContract,
    QueueContract,
    ClockContract,
    LeaseContract,
    RenewContract,
    TellContract,
    # Handles and processes
    HandoverContract,
    HandleContract,
    ProcessContract,
    KillContract,
    DeathContract,
    ForkContract,
):
    """All of them: what a backend proves as a whole."""
