"""Hand-over: a lease moves by its document, or is shared with a child process."""

from __future__ import annotations

import json
import os
import signal
from typing import TYPE_CHECKING, Any

import pytest

import ojobchannels as oc

if TYPE_CHECKING:
    from collections.abc import Callable

    from conftest import ManualClock, Storage, Worker


def test_to_document_detaches_the_lease(storage: Storage, clock: ManualClock) -> None:
    """The document is JSON; the lease it came from does nothing any more; the lock stays held."""
    channel, other = storage.open(clock=clock), storage.open(clock=clock)
    with channel.lock("nightly", ttl=30, keep_alive=True) as lease:
        document = lease.to_document()
        assert json.loads(json.dumps(document)) == document
        assert not lease.held
        assert lease.remaining() == 0
        for attempt in (lease.check, lease.extend, lease.to_document, lease.share):
            with pytest.raises(oc.LockLost, match="handed over"):
                attempt()
    lease.release()
    assert other.try_lock("nightly", ttl=1) is None


def test_a_detached_lease_outlives_its_channel_and_ends_with_its_ttl(
    storage: Storage, clock: ManualClock
) -> None:
    """Closing the handle does not free it; its time does."""
    channel, other = storage.open(clock=clock), storage.open(clock=clock)
    channel.lock("nightly", ttl=30).to_document()
    channel.close()
    clock.advance(29)
    assert other.try_lock("nightly", ttl=1) is None
    clock.advance(1)
    with other.lock("nightly", ttl=1):
        pass


def test_lease_from_takes_it_over_while_it_lives(storage: Storage, clock: ManualClock) -> None:
    """Same fence, same ttl, what is left of the time; then it is the new owner's."""
    channel, other = storage.open(clock=clock), storage.open(clock=clock)
    lease = channel.lock("nightly", ttl=30, holder={"job": "report"})
    document = lease.to_document()
    clock.advance(10)
    adopted = other.lease_from(json.loads(json.dumps(document)))
    assert (adopted.fence, adopted.ttl, adopted.name) == (lease.fence, 30, "nightly")
    assert adopted.remaining() == pytest.approx(20 - 0.3)
    channel.close()
    adopted.extend()
    clock.advance(25)
    adopted.check()
    with adopted:
        pass
    assert other.lock_info("nightly") is None


def test_closing_the_new_owners_channel_releases_the_lease(storage: Storage) -> None:
    """An adopted lease is as much the handle's as one that it acquired."""
    channel, other = storage.open(), storage.open()
    document = channel.lock("nightly", ttl=30).to_document()
    other.lease_from(document)
    other.close()
    assert channel.lock_info("nightly") is None


def test_an_adopted_lease_can_be_handed_on(storage: Storage) -> None:
    """From hand to hand, with the same fence."""
    channel = storage.open()
    lease = channel.lock("nightly", ttl=30)
    fence = lease.fence
    for _ in range(3):
        lease = storage.open().lease_from(lease.to_document())
        assert lease.fence == fence
    lease.release()
    assert channel.lock_info("nightly") is None


@pytest.mark.parametrize("end", ["expired", "put out", "taken"])
def test_lease_from_refuses_a_lease_that_is_over(
    storage: Storage, clock: ManualClock, end: str
) -> None:
    """It is never revived, and whoever holds the lock by then keeps it."""
    channel = storage.open(clock=clock)
    lease = channel.lock("nightly", ttl=30)
    document = lease.to_document()
    if end == "put out":
        channel.force_unlock("nightly")
    else:
        clock.advance(30)
    current = channel.lock("nightly", ttl=30) if end == "taken" else None
    with pytest.raises(oc.LockLost) as lost:
        channel.lease_from(document)
    assert lost.value.fence == lease.fence
    if current:
        current.release()
    assert channel.lock_info("nightly") is None


def test_to_document_of_a_lease_that_was_put_out_is_refused(channel: oc.Channel) -> None:
    """There is nothing to hand over, and the lease is lost."""
    lease = channel.lock("nightly", ttl=30)
    channel.force_unlock("nightly")
    with pytest.raises(oc.LockLost):
        lease.to_document()
    assert lease.lost


@pytest.mark.parametrize("document", [{}, {"name": "nightly"}, None, 7, "text", []], ids=repr)
def test_lease_from_says_what_document_it_wants(channel: oc.Channel, document: Any) -> None:
    """Anything but what to_document returned is an InvalidOption."""
    with pytest.raises(oc.InvalidOption, match="to_document"):
        channel.lease_from(document)


def test_lease_from_another_channel_is_told(storage: Storage) -> None:
    """The lock of the same name there is another one."""
    channel, other = storage.open(), storage.open(f"{storage.name}-other")
    document = channel.lock("nightly", ttl=30).to_document()
    with pytest.raises(oc.InvalidOption, match=f"of channel '{storage.name}'"):
        other.lease_from(document)
    channel.lease_from(document).release()


def test_a_lease_goes_to_another_process_whose_sender_exits(
    shared_storage: Storage, start_worker: Callable[..., Worker]
) -> None:
    """The death of the sender does not free it, that of the receiver does; nobody got between."""
    channel = shared_storage.open()
    sender = start_worker(
        "say(channel.lock('nightly', ttl=60, keep_alive=True).to_document()); hear()",
        shared_storage,
    )
    document = sender.hear()
    assert channel.try_lock("nightly", ttl=1) is None
    sender.kill()
    assert channel.try_lock("nightly", ttl=1) is None
    receiver = start_worker(
        """
lease = channel.lease_from(facts["document"], keep_alive=True)
channel.set("result", "done", fence=lease.fence)
say(lease.fence)
hear()
""",
        shared_storage,
        document=document,
    )
    assert receiver.hear() == document["fence"]
    assert channel.get("result") == "done"
    info = channel.lock_info("nightly")
    assert info is not None
    assert info.holder["pid"] == receiver.process.pid
    receiver.kill()
    with channel.lock("nightly", ttl=1, wait=5) as lease:
        assert lease.fence > document["fence"]


def test_a_lease_comes_back_from_a_process_that_ended_in_order(
    shared_storage: Storage, start_worker: Callable[..., Worker]
) -> None:
    """Also one that closed its channel: what it handed over is not its own any more."""
    sender = start_worker("say(channel.lock('nightly', ttl=60).to_document())", shared_storage)
    document = sender.hear()
    assert sender.end() == 0
    with shared_storage.open().lease_from(document) as lease:
        lease.check()


SHARING = """
import subprocess
lease = channel.lock("nightly", ttl=60)
child = subprocess.Popen(["sleep", "60"], pass_fds=lease.share())
say(child.pid)
if hear() == "release":
    lease.release()
    child.kill()
    child.wait()
    say()
hear()
"""


def test_a_shared_lease_is_free_when_the_last_that_works_under_it_is_gone(
    shared_storage: Storage, start_worker: Callable[..., Worker]
) -> None:
    """The job's own child process keeps the lock when the parent is killed."""
    channel = shared_storage.open()
    parent = start_worker(SHARING, shared_storage)
    child = parent.hear()
    try:
        parent.kill()
        assert channel.try_lock("nightly", ttl=1) is None
        assert channel.lock_info("nightly") is not None
    finally:
        os.kill(child, signal.SIGKILL)
    with channel.lock("nightly", ttl=1, wait=5):
        pass


def test_a_shared_lease_is_held_while_only_the_child_is_gone(
    shared_storage: Storage, start_worker: Callable[..., Worker]
) -> None:
    """The end of a child frees nothing while the parent lives; the parent's release does."""
    channel = shared_storage.open()
    parent = start_worker(SHARING, shared_storage)
    child = parent.hear()
    os.kill(child, signal.SIGKILL)
    assert channel.try_lock("nightly", ttl=1) is None
    parent.tell("release")
    parent.hear()
    assert channel.lock_info("nightly") is None


def test_share_after_a_loss_is_refused(channel: oc.Channel) -> None:
    """A child must not start to work under a lease that is over."""
    lease = channel.lock("nightly", ttl=30)
    lease.release()
    with pytest.raises(oc.LockLost):
        lease.share()


def test_share_of_a_lease_that_was_put_out_is_refused(channel: oc.Channel) -> None:
    """The backend knows better than the holder's clock, and the lease is lost from then on."""
    lease = channel.lock("nightly", ttl=30)
    channel.force_unlock("nightly")
    with pytest.raises(oc.LockLost):
        lease.share()
    assert lease.lost


def test_a_backend_that_does_not_watch_over_holders_has_nothing_to_share(
    simple_storage: Storage,
) -> None:
    """The list is empty; only the ttl and the release end the lease."""
    channel = simple_storage.open()
    assert "crash_release" not in channel.capabilities
    with channel.lock("nightly", ttl=30) as lease:
        assert lease.share() == []


def test_a_shared_lease_can_be_extended_and_shared_again(shared_storage: Storage) -> None:
    """Sharing changes nothing but whose life counts."""
    channel = shared_storage.open()
    with channel.lock("nightly", ttl=30) as lease:
        assert len(lease.share()) == 1
        assert lease.share() == lease.share()
        lease.extend(60)
        lease.check()
    assert channel.lock_info("nightly") is None
