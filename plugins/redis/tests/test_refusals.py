"""Refusals by the server: no memory, no rights, and keys written by another program."""

from __future__ import annotations

import logging
import traceback
from typing import TYPE_CHECKING, Any

import pytest

import ojobchannels as oc
from ojobchannels.hookspecs import LeaseRequest
from ojobchannels.testing.contracts.remote.base import use_everything
from ojobchannels.testing.servers import REDIS_FLAVOURS, RedisServer, installed, or_skip

if TYPE_CHECKING:
    from collections.abc import Callable


def url_as(server: RedisServer, user: str) -> str:
    """Return the URL for a user whose password is `word`."""
    return f"redis://{user}:word@127.0.0.1:{server.port}"


@pytest.mark.parametrize("policy", ["allkeys-lru", "volatile-ttl"])
def test_a_server_that_may_evict_locks_causes_a_warning(
    caplog: pytest.LogCaptureFixture, policy: str
) -> None:
    """Once per server, with advice; a server without a memory limit evicts nothing."""
    options = {"maxmemory-policy": policy, "maxmemory": "100mb"}
    with or_skip(), RedisServer(options=options) as server:
        with oc.open_channel("orders", server.url), oc.open_channel("others", server.url):
            pass
        assert [record.levelname for record in caplog.records] == ["WARNING"]
        assert policy in caplog.text
        assert "noeviction" in caplog.text
        caplog.clear()
        server.command("CONFIG", "SET", "maxmemory", "0")
        with oc.open_channel("orders", server.url):
            assert caplog.records == []


@pytest.mark.parametrize("flavour", installed(REDIS_FLAVOURS))
def test_a_full_server_refuses_to_store_and_still_renews_and_unlocks(flavour: str) -> None:
    """With StorageFull; held locks can be extended, handed over and released."""
    with (
        or_skip(),
        RedisServer(flavour) as server,
        oc.open_channel("orders", server.url) as channel,
    ):
        lease = channel.lock("nightly", ttl=30)
        kept = channel.lock("kept", ttl=30)
        channel.set("key", 1, fence=lease.fence)
        server.command("CONFIG", "SET", "maxmemory", "1")
        attempts: list[Callable[[], Any]] = [
            lambda: channel.set("other", 2),
            lambda: channel.set_all({"a": 1, "b": 2}),
            lambda: channel.try_lock("other", ttl=30),
        ]
        for attempt in attempts:
            with pytest.raises(oc.StorageFull):
                attempt()
        assert channel.get("key") == 1
        kept.extend(60)
        assert kept.remaining() > 40
        requests = [LeaseRequest(kept.name, kept.token, 30_000)]
        assert channel.hook.extend_all(leases=requests, timeout=3000) == [True]
        kept = channel.lease_from(kept.to_document())
        assert channel.force_unlock("kept") is not None
        lease.release()
        assert channel.unset("key", fence=lease.fence)
        server.command("CONFIG", "SET", "maxmemory", "0")
        with channel.lock("kept", ttl=30) as successor:
            assert successor.fence > kept.fence
        with channel.lock("nightly", ttl=30) as later:
            assert later.fence > lease.fence
        assert channel.size() == 0


def test_an_acl_user_needs_what_the_documentation_lists(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """With these rules everything works; the error for fewer rights names them."""
    documented = (
        "resetchannels ~ojob:* &ojob:* "
        "+@read +@write +@scripting +@pubsub +time +ping +info +acl|dryrun"
    )
    users = {
        "job": ("word", documented),
        "stranger": ("word", "~other:* +@all"),
        "unsubscribed": ("word", "resetchannels ~ojob:* +@all"),
    }
    with or_skip(), RedisServer(users=users) as server:
        with oc.open_channel("orders", url_as(server, "job")) as channel:
            use_everything(channel)
        with oc.open_channel("orders", url_as(server, "stranger")) as channel:
            for attempt in (lambda: channel.get("key"), lambda: channel.set("key", 1)):
                with pytest.raises(oc.ChannelUnavailable, match="~PREFIX"):
                    attempt()
        assert caplog.records == []
        with oc.open_channel("orders", url_as(server, "unsubscribed")) as channel:
            use_everything(channel)  # waiters look instead of being woken
        assert "&PREFIX" in caplog.text


def test_a_user_without_the_permission_for_info_can_work(caplog: pytest.LogCaptureFixture) -> None:
    """The checks of version and eviction are skipped."""
    caplog.set_level(logging.WARNING)
    users = {"job": ("word", "~ojob:* &ojob:* +@all -info -config")}
    with (
        or_skip(),
        RedisServer(users=users) as server,
        oc.open_channel("orders", url_as(server, "job")) as channel,
    ):
        use_everything(channel)


def test_keys_of_another_program_are_not_overwritten(server: RedisServer) -> None:
    """They are reported as damage, and not changed."""
    with oc.open_channel("orders", server.url) as channel:
        server.command("SET", "ojob:{orders}:values", "text")
        server.command("SET", "ojob:{orders:nightly}:lock", "what?")
        for attempt in (
            lambda: channel.get("key"),
            lambda: channel.set("key", 1),
            lambda: channel.try_lock("nightly", ttl=1),
            lambda: channel.lock_info("nightly"),
        ):
            with pytest.raises(oc.ChannelDamaged, match="prefix"):
                attempt()
        assert server.command("GET", "ojob:{orders}:values") == "text"
        assert server.command("GET", "ojob:{orders:nightly}:lock") == "what?"


def test_values_of_another_program_are_reported_as_damage(server: RedisServer) -> None:
    """A value that is not JSON was not written by a channel."""
    with oc.open_channel("orders", server.url) as channel:
        channel.set("key", 1)
        server.command("HSET", "ojob:{orders}:values", '"key"', "{text")
        for attempt in (
            lambda: channel.get("key"),
            lambda: channel.get_all(),
            lambda: list(channel.items()),
            lambda: channel.get_set(1, "key", 2),
            lambda: channel.pop(),
        ):
            with pytest.raises(oc.ChannelDamaged, match="another program wrote") as failed:
                attempt()
            assert isinstance(failed.value.__cause__, ValueError)


def test_a_password_in_the_place_of_the_user_is_not_shown() -> None:
    """`redis://PASSWORD@host` names a user; the error says how to write a password alone."""
    with (
        or_skip(),
        RedisServer(password="another") as server,
        pytest.raises(oc.ChannelUnavailable, match="redis://:password@host") as refused,
    ):
        oc.open_channel("orders", f"redis://hunter2word@127.0.0.1:{server.port}")
    shown = "".join(traceback.format_exception(refused.value, limit=0))
    assert "hunter2word" not in shown + repr(refused.value)
