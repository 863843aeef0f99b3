"""What can go wrong, on demand: leases that get lost, servers and networks that fail."""

from __future__ import annotations

import threading
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self

from ojobchannels.errors import ChannelError, LockLost
from ojobchannels.leases import Duration, Lease
from ojobchannels.manager import JobRun
from ojobchannels.testing.places import STEM
from ojobchannels.testing.proxy import Proxy

if TYPE_CHECKING:
    from ojobchannels.testing.shared import SharedServer

_OURS: Final = STEM.encode()


class FaultNotPossible(ChannelError, RuntimeError):
    """A fault was asked for that the channels of this test cannot have."""

    def __init__(self, fault: str, reason: str, advice: str) -> None:
        self.fault = fault
        self.reason = reason
        self.advice = advice
        super().__init__(f"{fault} is not possible: {reason}; {advice}")


class Faults:
    """The faults of one test. All but the loss of leases are over when it ends, or with `heal`.

    Those of the network come from a proxy between the test's channels and their server. Where the
    channels are on no server they raise FaultNotPossible.
    """

    def __init__(self) -> None:
        self._proxies: dict[SharedServer, Proxy] = {}

    def lose_lease(self, lease: Lease | JobRun) -> None:
        """Frees the lock by force, and has its holder find out.

        When this returns, ``lease.lost`` is true and ``on_lost`` is on its way.

        Args:
            lease: A lease of any channel, or a run of a job.
        """
        held = _lease(lease)
        held.channel.force_unlock(held.name)
        with suppress(LockLost):
            held.extend()

    def steal_lease(self, lease: Lease | JobRun, ttl: Duration = 60) -> Lease:
        """Gives the lock to somebody else, whose lease this returns; its holder does not know yet.

        That is what a holder comes back to that stood still for longer than its ttl.

        Args:
            lease: A lease of any channel, or a run of a job.
            ttl: Seconds for which the other one holds the lock.
        """
        held = _lease(lease)
        held.channel.force_unlock(held.name)
        return held.channel.lock(held.name, ttl=ttl)

    def server_down(self) -> None:
        """Ends all connections and refuses new ones, as when no server runs, until `server_up`."""
        proxy = self._proxy("server_down")
        proxy.refuse()
        proxy.reset()

    def server_up(self) -> None:
        """Lets the server be reached again, with all that it stored."""
        self._proxy("server_up").heal()

    def restart_server(self) -> None:
        """Kills the server's process with -9 and starts it again on what it had stored."""
        self._proxy("restart_server")
        process = next(iter(self._proxies)).process
        if process is None:
            raise FaultNotPossible(
                "restart_server",
                "the tests did not start the server",
                "use server_down and server_up, or leave out its URL",
            )
        process.kill()
        process.start()

    def cut_next_reply(self, containing: bytes = _OURS) -> threading.Event:
        """Cuts the connection once the server has done the next request, before it tells so.

        Args:
            containing: Counts only requests that hold these bytes; by default those that are about
                this test's data, and so no greeting or heartbeat of a driver.

        Returns:
            An event that is set when it has happened.
        """
        return self._proxy("cut_next_reply").cut_reply(containing=containing)

    def cut_next_request(self, containing: bytes = _OURS) -> threading.Event:
        """Cuts the connection before the next request reaches the server.

        Args:
            containing: Counts only requests that hold these bytes, as for `cut_next_reply`.

        Returns:
            An event that is set when it has happened.
        """
        return self._proxy("cut_next_request").cut_request(containing=containing)

    def delay(self, *, requests: float = 0.0, replies: float = 0.0) -> None:
        """Keeps back what is sent, for so many seconds each time."""
        self._proxy("delay").delay(requests=requests, replies=replies)

    def black_hole(self, *, requests: bool = True, replies: bool = True) -> None:
        """Lets nothing pass, or nothing in one direction; what is sent arrives when it heals."""
        self._proxy("black_hole").black_hole(requests=requests, replies=replies)

    def heal(self) -> None:
        """Ends all faults: everything passes, and the server runs."""
        for server, proxy in self._proxies.items():
            server.mend()
            proxy.heal()

    def stand_before(self, server: SharedServer) -> tuple[str, int]:
        """Puts a proxy before a server, and returns where clients find it."""
        if server not in self._proxies:
            server.prepare()
            self._proxies[server] = Proxy(server.address).start()
        return self._proxies[server].address

    def _proxy(self, fault: str) -> Proxy:
        if not self._proxies:
            raise FaultNotPossible(
                fault,
                "no channel of this test is on a server",
                'take ojob_redis or ojob_mongo, or mark the test @pytest.mark.ojob_backends("redis"'
                ', "mongo"); and take ojob_faults as an argument of the test',
            )
        if len(self._proxies) > 1:
            raise FaultNotPossible(
                fault,
                "the channels of this test are on several servers",
                "keep to one of them where you take ojob_faults",
            )
        return next(iter(self._proxies.values()))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        for proxy in self._proxies.values():
            proxy.stop()


def _lease(held: Lease | JobRun) -> Lease:
    return held if isinstance(held, Lease) else held.lease
