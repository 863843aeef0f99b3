"""The client of a process, and the children that have a copy of it."""

from __future__ import annotations

from ojobchannels.testing.contracts.remote.base import NetworkContract
from ojobchannels.testing.kit.children import Children
from ojobchannels.testing.kit.subject import Subject

_FORKS = """
import os, sys, warnings
warnings.simplefilter("ignore", DeprecationWarning)
channel.set("key", 1)
lease = channel.lock("nightly", ttl=60)
for uses in (True, False):
    child = os.fork()
    if child == 0:
        if uses:
            channel.get("key")
        sys.exit(7)  # runs the exit handlers
    send(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    lease.check()
    channel.set("key", 2, fence=lease.fence)
    lease.extend()
lease.release()
"""


class ClientForkContract(NetworkContract):
    """Children of a process that is connected to the server."""

    def test_a_child_that_ends_closes_nothing_of_its_parent(
        self, subject: Subject, children: Children
    ) -> None:
        """Neither connections nor leases; and it ends without a warning."""
        worker = children(_FORKS, subject)
        assert worker.receive() == 7
        assert worker.receive() == 7
        assert worker.end() == 0
