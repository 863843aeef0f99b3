"""Refusals and interruptions, caused by fail points of a real server."""

from __future__ import annotations

import secrets
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pymongo
import pytest

import ojobchannels as oc
from ojobchannels.testing.servers import MongoServer, or_skip

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from conftest import Storage

REFUSALS: dict[int, tuple[type[oc.ChannelError], str]] = {
    13: (oc.ChannelUnavailable, "grant the user the role readWrite"),
    18: (oc.ChannelUnavailable, "check username and password"),
    388: (oc.ChannelUnavailable, "a larger cache"),
    14031: (oc.StorageFull, "free space"),
    10334: (oc.InvalidValue, "16 MB"),
    2: (oc.ChannelUnavailable, "the server refuses a command that is needed"),
}
NOT_STARTED = {"no primary": 10107, "write conflict": 112, "busy for now": 365}
INTERRUPTED = {"stepped down": 189, "shut down": 91, "killed": 11601, "other state": 11602}


class Faulty:
    """A server of a replica set with fail points, and a channel on it."""

    def __init__(self, client: pymongo.MongoClient[dict[str, Any]], channel: oc.Channel) -> None:
        self.channel = channel
        self._client = client

    @contextmanager
    def failing(self, *commands: str, times: int = 1, **how: Any) -> Iterator[None]:
        """Make the next commands of the channel fail, before or after they are done."""
        point = {"failCommands": commands, "appName": "ojobchannels", **how}
        self._set(mode={"times": times}, data=point)
        try:
            yield
        finally:
            self._set(mode="off")

    def _set(self, **what: Any) -> None:
        self._client.admin.command("configureFailPoint", "failCommand", **what)


@pytest.fixture(scope="module")
def faulty_server() -> Iterator[MongoServer]:
    """A server with fail points enabled."""
    options = ("--setParameter", "enableTestCommands=1")
    with or_skip(), MongoServer(replica_set=True, options=options) as server:
        yield server


@pytest.fixture
def faulty(faulty_server: MongoServer) -> Iterator[Faulty]:
    """The server, with an empty channel."""
    with (
        pymongo.MongoClient[dict[str, Any]](faulty_server.url) as client,
        # After an error that says that the primary steps down, the next heartbeat checks it.
        oc.open_channel(
            f"orders-{secrets.token_hex(6)}", f"{faulty_server.url}&heartbeatFrequencyMS=500"
        ) as channel,
    ):
        yield Faulty(client, channel)


@pytest.mark.parametrize("code", REFUSALS)
@pytest.mark.parametrize(
    ("command", "operation"),
    [
        ("update", lambda channel: channel.set("key", 1)),
        ("find", lambda channel: channel.get("key")),
        ("findAndModify", lambda channel: channel.pop()),
        ("findAndModify", lambda channel: channel.try_lock("nightly", ttl=30)),
    ],
    ids=["set", "get", "pop", "lock"],
)
def test_the_error_for_a_refusal_says_what_to_do(
    faulty: Faulty, code: int, command: str, operation: Callable[[oc.Channel], Any]
) -> None:
    """At once, with the driver's error as its cause."""
    kind, advice = REFUSALS[code]
    words = "authentication failed" if code == 18 else ""
    with (
        faulty.failing(command, errorCode=code, errmsg=words),
        pytest.raises(kind, match=advice) as refused,
    ):
        operation(faulty.channel)
    assert isinstance(refused.value.__cause__, pymongo.errors.PyMongoError)


@pytest.mark.parametrize("code", NOT_STARTED.values(), ids=NOT_STARTED.keys())
def test_a_request_that_was_not_started_is_repeated(faulty: Faulty, code: int) -> None:
    """This holds for every operation: nothing was done."""
    channel = faulty.channel
    channel.set("key", 1)
    with faulty.failing("update", "findAndModify", "find", times=3, errorCode=code):
        lease = channel.lock("nightly", ttl=30)
        assert channel.get_set(1, "key", 2) == 1
        assert channel.force_unlock("nightly") is not None
        assert channel.pop() == 2
    with pytest.raises(oc.LockLost):
        lease.release()


@pytest.mark.parametrize("code", INTERRUPTED.values(), ids=INTERRUPTED.keys())
@pytest.mark.parametrize("done", [False, True], ids=["before", "after"])
def test_an_interrupted_request_is_repeated_where_that_is_safe(
    faulty: Faulty, code: int, done: bool
) -> None:
    """Before or after it was done; the outcome of a forced unlock is unknown."""
    channel = faulty.channel
    how = (
        {"writeConcernError": {"code": code, "errmsg": "interrupted"}}
        if done
        else {"errorCode": code}
    )
    with faulty.failing("findAndModify", **how):
        lease = channel.lock("nightly", ttl=30)
    with faulty.failing("update", **how):
        channel.set("key", 1, fence=lease.fence)
    with faulty.failing("update", **how):
        lease.extend()
    with faulty.failing("update", **how):
        lease.release()
    channel.lock("nightly", ttl=30)
    with faulty.failing("findAndModify", **how), pytest.raises(oc.OutcomeUnknown):
        channel.force_unlock("nightly")
    channel.force_unlock("nightly")


@pytest.mark.parametrize("code", INTERRUPTED.values(), ids=INTERRUPTED.keys())
def test_an_entry_that_an_interrupted_call_removed_is_not_lost_silently(
    faulty: Faulty, code: int
) -> None:
    """The server repeats its reply, unless the operation was killed."""
    channel = faulty.channel
    channel.set("key", 1)
    interrupted = {"code": code, "errmsg": "interrupted"}
    with faulty.failing("findAndModify", writeConcernError=interrupted):
        if code == INTERRUPTED["killed"]:
            with pytest.raises(oc.OutcomeUnknown):
                channel.pop()
        else:
            assert channel.pop() == 1
    assert channel.get("key") is None  # `size` sees the removal once it is on a majority


def test_a_batch_whose_commit_is_interrupted_is_committed_once(faulty: Faulty) -> None:
    """The driver repeats the commit with the number of the transaction."""
    channel = faulty.channel
    late = {"code": 91, "errmsg": "interrupted"}
    with faulty.failing("commitTransaction", writeConcernError=late):
        channel.set_all({"a": 1, "b": 2})
    assert channel.get_all() == [1, 2]
    with faulty.failing("update", errorCode=112, errorLabels=["TransientTransactionError"]):
        assert channel.unset_all(["a", "b", "c"]) == 2


def test_a_snapshot_that_the_server_discarded_is_read_again(faulty: Faulty) -> None:
    """Three failures in a row are reported."""
    channel = faulty.channel
    channel.set_all({"a": 1, "b": 2})
    with faulty.failing("find", times=2, errorCode=239):
        assert channel.get_all() == [1, 2]
    with faulty.failing("find", times=3, errorCode=239), pytest.raises(oc.ChannelUnavailable):
        channel.get_all()


def test_a_write_after_a_connection_that_failed_at_its_start_is_repeated(
    storage_alone: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The driver numbers it as for a replica set, which a standalone server refuses."""
    channel = storage_alone.open()
    checkout = pymongo.MongoClient._checkout
    failures: list[pymongo.errors.AutoReconnect] = []

    def check_out(*args: Any, **more: Any) -> Any:
        if failures:
            raise failures.pop()
        return checkout(*args, **more)

    def fail_once() -> None:
        failure = pymongo.errors.AutoReconnect("reset during the handshake")
        for label in ("SystemOverloadedError", "RetryableError"):  # as its pool labels it
            failure._add_error_label(label)
        failures.append(failure)

    monkeypatch.setattr(pymongo.MongoClient, "_checkout", check_out)
    for number in range(2):
        fail_once()
        channel.set("key", number)
        assert not failures
        assert channel.get("key") == number
