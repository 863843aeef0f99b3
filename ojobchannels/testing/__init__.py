"""Tools to test channels, backends, and code that uses them.

The names below belong to the conformance kit and the pytest fixtures. They are imported on first
use and need the extra ``ojobchannels[testing]``. Real servers are in
`ojobchannels.testing.servers`, a proxy that breaks connections is in `ojobchannels.testing.proxy`.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from ojobchannels.moved import renamed

if TYPE_CHECKING:
    from ojobchannels.testing.clock import ManualClock
    from ojobchannels.testing.contracts import (
        AsyncContract,
        BatchContract,
        ChannelConformance,
        ClockContract,
        ClosingContract,
        CompareAndSetContract,
        CrashReleaseContract,
        CrowdContract,
        DeadlineContract,
        DocumentContract,
        DocumentStepContract,
        FenceContract,
        FenceOrderContract,
        FifoContract,
        ForkContract,
        HandleContract,
        HandoverContract,
        IsolationContract,
        KeepAliveContract,
        KeyContract,
        KillContract,
        LeaseContract,
        LockContract,
        LockInfoContract,
        LockStepContract,
        ManyContract,
        MatchContract,
        OrderContract,
        ProcessContract,
        RetryContract,
        SlotContract,
        StorageContract,
        SubscribeContract,
        TokenContract,
        VisibilityContract,
        WaitContract,
        WakeupContract,
        requires,
        without,
    )
    from ojobchannels.testing.fixtures.errors import FaultNotPossible
    from ojobchannels.testing.fixtures.factories import (
        channel_fixture,
        ignite_fixture,
        manager_fixture,
        mongo_fixture,
        postgres_fixture,
        redis_fixture,
    )
    from ojobchannels.testing.fixtures.faults import Faults
    from ojobchannels.testing.fixtures.storage import IsolatedStorage
    from ojobchannels.testing.kit.subject import Subject

_CONTRACTS = "contracts"
_MODULES = {
    "ChannelConformance": _CONTRACTS,
    "FaultNotPossible": "fixtures.errors",
    "Faults": "fixtures.faults",
    "IsolatedStorage": "fixtures.storage",
    "ManualClock": "clock",
    "Subject": "kit.subject",
    "channel_fixture": "fixtures.factories",
    "document_machine": "machines",
    "ignite_fixture": "fixtures.factories",
    "lock_machine": "machines",
    "manager_fixture": "fixtures.factories",
    "mongo_fixture": "fixtures.factories",
    "postgres_fixture": "fixtures.factories",
    "prove_documents": "machines",
    "prove_locks": "machines",
    "redis_fixture": "fixtures.factories",
    "requires": "contracts.base",
    "without": "contracts.base",
}
_EXTRAS = {"pytest", "hypothesis"}

__all__ = [
    "AsyncContract",
    "BatchContract",
    "ChannelConformance",
    "ClockContract",
    "ClosingContract",
    "CompareAndSetContract",
    "CrashReleaseContract",
    "CrowdContract",
    "DeadlineContract",
    "DocumentContract",
    "DocumentStepContract",
    "FaultNotPossible",
    "Faults",
    "FenceContract",
    "FenceOrderContract",
    "FifoContract",
    "ForkContract",
    "HandleContract",
    "HandoverContract",
    "IsolatedStorage",
    "IsolationContract",
    "KeepAliveContract",
    "KeyContract",
    "KillContract",
    "LeaseContract",
    "LockContract",
    "LockInfoContract",
    "LockStepContract",
    "ManualClock",
    "ManyContract",
    "MatchContract",
    "OrderContract",
    "ProcessContract",
    "RetryContract",
    "SlotContract",
    "StorageContract",
    "Subject",
    "SubscribeContract",
    "TokenContract",
    "VisibilityContract",
    "WaitContract",
    "WakeupContract",
    "channel_fixture",
    "document_machine",
    "ignite_fixture",
    "lock_machine",
    "manager_fixture",
    "mongo_fixture",
    "postgres_fixture",
    "prove_documents",
    "prove_locks",
    "redis_fixture",
    "requires",
    "without",
]


_renamed = renamed(
    __name__,
    {
        "CompareContract": "CompareAndSetContract",
        "DeathContract": "CrashReleaseContract",
        "GrowingContract": "FenceOrderContract",
        "Place": "IsolatedStorage",
        "QueueContract": "FifoContract",
        "RenewContract": "KeepAliveContract",
        "TellContract": "LockInfoContract",
        "WakeContract": "WakeupContract",
    },
)


def __getattr__(name: str) -> Any:
    if name not in __all__:
        return _renamed(name)
    try:
        module = importlib.import_module(f"{__name__}.{_MODULES.get(name, _CONTRACTS)}")
    except ModuleNotFoundError as error:
        if error.name not in _EXTRAS:
            raise
        raise ImportError(
            f"{__name__}.{name} needs {error.name}; install it with: "
            "pip install 'ojobchannels[testing]'"
        ) from error
    return getattr(module, name)
