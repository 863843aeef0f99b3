"""A forked child has a client of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from conftest import Storage

    from ojobchannels.testing.kit.pytest_fixtures import StartWorker


def test_a_child_that_ends_closes_nothing_of_its_parent(
    storage: Storage, start_worker: StartWorker
) -> None:
    """Neither connections nor leases; and it ends without a warning."""
    worker = start_worker(
        """
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
""",
        storage,
    )
    assert worker.receive() == 7
    assert worker.receive() == 7
    assert worker.end() == 0


def test_handles_with_equal_settings_share_a_client(storage: Storage) -> None:
    """It is closed with the last of them, also where another one is closed twice."""
    one, other = storage.open(), storage.open("another")
    elsewhere = storage.open(prefix="elsewhere")
    servers = [
        handle.hook.get.get_hookimpls()[0].plugin.connection.server
        for handle in (one, other, elsewhere)
    ]
    assert servers[0] is servers[1] is not servers[2]
    backend = one.hook.get.get_hookimpls()[0].plugin
    one.close()
    backend.close()  # as after an interruption
    other.set("key", 1)
    assert other.get("key") == 1


def test_a_channel_that_was_not_closed_is_closed_with_the_process(
    storage: Storage, start_worker: StartWorker
) -> None:
    """Without a warning of the driver."""
    worker = start_worker(
        """
kept = oc.open_channel("kept", channel_config, prefix="kept")
kept.set("key", 1)
send("done")
""",
        storage,
    )
    assert worker.receive() == "done"
    assert worker.end() == 0
