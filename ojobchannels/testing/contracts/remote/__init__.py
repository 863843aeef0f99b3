"""What a backend on a server promises besides: when the network or the server fails, for example.

A plugin proves it with two fixtures, which give its adapter (see `SharedServer`)::

    class TestMine(RemoteContract):
        @pytest.fixture
        def ojob_server(self, url):  # of a server that all tests of the session share
            return SharedMine(url)

        @pytest.fixture
        def ojob_own_server(self):  # the test may stop it
            with MyServer() as process:
                yield SharedMine(None, process)
"""

from ojobchannels.testing.contracts.remote.base import NetworkContract, OwnServerContract
from ojobchannels.testing.contracts.remote.cancelled import CancelledTaskContract
from ojobchannels.testing.contracts.remote.clock import ServerClockContract
from ojobchannels.testing.contracts.remote.entries import EntryContract
from ojobchannels.testing.contracts.remote.forks import ClientForkContract
from ojobchannels.testing.contracts.remote.health import ServerHealthContract
from ojobchannels.testing.contracts.remote.outages import OutageContract
from ojobchannels.testing.contracts.remote.requests import LostRequestContract
from ojobchannels.testing.contracts.remote.restarts import RestartContract
from ojobchannels.testing.contracts.remote.traffic import TrafficContract
from ojobchannels.testing.contracts.remote.waiters import RemoteWaiterContract

__all__ = [
    "CancelledTaskContract",
    "ClientForkContract",
    "EntryContract",
    "LostRequestContract",
    "NetworkContract",
    "OutageContract",
    "OwnServerContract",
    "RemoteContract",
    "RemoteWaiterContract",
    "RestartContract",
    "ServerClockContract",
    "ServerHealthContract",
    "TrafficContract",
]


class RemoteContract(
    LostRequestContract,
    OutageContract,
    TrafficContract,
    RemoteWaiterContract,
    EntryContract,
    ServerClockContract,
    ServerHealthContract,
    RestartContract,
    ClientForkContract,
):
    """All of them: what a backend on a server proves besides `ChannelConformance`."""
