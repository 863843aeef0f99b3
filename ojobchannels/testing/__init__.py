"""What tests of channels, of backends and of their locks stand on.

The names below are those of the conformance kit and of the fixtures; they load when they are asked
for, and need the extra ``ojobchannels[testing]``. Real servers are in
`ojobchannels.testing.servers`, a proxy that breaks connections in `ojobchannels.testing.proxy`.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ojobchannels.testing.clock import ManualClock
    from ojobchannels.testing.contracts import (
        BatchContract,
        ChannelConformance,
        ClockContract,
        CompareContract,
        DeathContract,
        DocumentContract,
        FenceContract,
        ForkContract,
        GrowingContract,
        HandleContract,
        HandoverContract,
        IsolationContract,
        KeyContract,
        KillContract,
        LeaseContract,
        LockContract,
        MatchContract,
        OrderContract,
        ProcessContract,
        QueueContract,
        RenewContract,
        RetryContract,
        SubscribeContract,
        TellContract,
        TokenContract,
        WaitContract,
        WakeContract,
        requires,
        without,
    )
    from ojobchannels.testing.fixtures.errors import FaultNotPossible
    from ojobchannels.testing.fixtures.factories import (
        channel_fixture,
        manager_fixture,
        mongo_fixture,
        redis_fixture,
    )
    from ojobchannels.testing.fixtures.faults import Faults
    from ojobchannels.testing.fixtures.storage import Place
    from ojobchannels.testing.kit.subject import Subject

_CONTRACTS = "contracts"
_HOME = {
    "ChannelConformance": _CONTRACTS,
    "FaultNotPossible": "fixtures.errors",
    "Faults": "fixtures.faults",
    "ManualClock": "clock",
    "Place": "fixtures.storage",
    "Subject": "kit.subject",
    "channel_fixture": "fixtures.factories",
    "document_machine": "machines",
    "lock_machine": "machines",
    "manager_fixture": "fixtures.factories",
    "mongo_fixture": "fixtures.factories",
    "prove_documents": "machines",
    "prove_locks": "machines",
    "redis_fixture": "fixtures.factories",
    "requires": "contracts.base",
    "without": "contracts.base",
}
_NEEDED = {"pytest", "hypothesis"}

__all__ = [
    "BatchContract",
    "ChannelConformance",
    "ClockContract",
    "CompareContract",
    "DeathContract",
    "DocumentContract",
    "FaultNotPossible",
    "Faults",
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
    "ManualClock",
    "MatchContract",
    "OrderContract",
    "Place",
    "ProcessContract",
    "QueueContract",
    "RenewContract",
    "RetryContract",
    "Subject",
    "SubscribeContract",
    "TellContract",
    "TokenContract",
    "WaitContract",
    "WakeContract",
    "channel_fixture",
    "document_machine",
    "lock_machine",
    "manager_fixture",
    "mongo_fixture",
    "prove_documents",
    "prove_locks",
    "redis_fixture",
    "requires",
    "without",
]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        module = importlib.import_module(f"{__name__}.{_HOME.get(name, _CONTRACTS)}")
    except ModuleNotFoundError as error:
        if error.name not in _NEEDED:
            raise
        raise ImportError(
            f"{__name__}.{name} needs {error.name}; install it with: "
            "pip install 'ojobchannels[testing]'"
        ) from error
    return getattr(module, name)
