"""A primary that fails, and a standby that takes over."""

from __future__ import annotations

import subprocess
import threading
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

import ojobchannels as oc
from ojobchannels.testing.servers import PostgresServer, or_skip

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from concurrent.futures import Future

    Background = Callable[..., Future[Any]]


class Standby(PostgresServer):
    """A copy of a primary that follows it."""

    def __init__(self, primary: PostgresServer) -> None:
        super().__init__(primary.flavour.name)
        self._primary = primary

    def _initialise(self) -> None:
        program = str(self._program.resolve().with_name("pg_basebackup"))
        command = [program, "-R", "-X", "stream", "-c", "fast", "-D", str(self._data)]
        address = ["-h", self._primary.address[0], "-p", str(self._primary.port), "-U", "postgres"]
        subprocess.run(
            [*command, *address], check=True, capture_output=True, cwd=self.folder, **self._as_user
        )


class Pair:
    """A primary, and a standby that has every commit before it is acknowledged."""

    def __init__(self, primary: PostgresServer, standby: Standby) -> None:
        self.primary = primary
        self.standby = standby
        hosts = ",".join(f"127.0.0.1:{server.port}" for server in (primary, standby))
        self.url = f"postgresql://postgres@{hosts}/postgres"

    def promote(self) -> None:
        """Have the standby accept writes; return when it does."""
        with psycopg.connect(self.standby.url, autocommit=True) as client:
            client.execute("SELECT pg_promote()")
            client.execute("ALTER SYSTEM SET synchronous_standby_names = ''")
            client.execute("SELECT pg_reload_conf()")


@pytest.fixture
def pair() -> Iterator[Pair]:
    with or_skip(), ExitStack() as running:
        primary = running.enter_context(PostgresServer())
        standby = running.enter_context(Standby(primary))
        with psycopg.connect(primary.url, autocommit=True) as client:
            client.execute("ALTER SYSTEM SET synchronous_standby_names = '*'")
            client.execute("SELECT pg_reload_conf()")
        yield Pair(primary, standby)


def test_a_lock_survives_the_promotion_of_a_synchronous_standby(
    pair: Pair, in_background: Background
) -> None:
    """A call that is made meanwhile ends after it, and fences grow."""
    with oc.open_channel("orders", pair.url, timeout=20) as channel:
        channel.set("key", 1)
        with channel.lock("nightly", ttl=60, keep_alive=True) as lease:
            pair.primary.kill()
            call = in_background(channel.set, "key", 2, fence=lease.fence)
            pair.promote()
            call.result(20)
            info = channel.lock_info("nightly")
            assert info is not None
            assert info.fence == lease.fence
            assert channel.try_lock("nightly", ttl=60) is None
            lease.extend()
        with channel.lock("nightly", ttl=60) as later:
            assert later.fence > lease.fence
        assert channel.get("key") == 2


def test_a_host_that_does_not_reply_takes_its_share_of_the_time_only(pair: Pair) -> None:
    """The other one is reached, and is the first to be tried from then on."""
    with oc.open_channel("orders", pair.url, timeout=4) as channel:
        channel.set("key", 1)
        pair.primary.pause()
        promotion = threading.Thread(target=pair.promote)
        promotion.start()
        promotion.join()
        channel.set("key", 2)
        assert channel.get("key") == 2
        pair.primary.resume()


def test_a_standby_alone_is_refused_with_advice(pair: Pair) -> None:
    """It accepts no writes."""
    with pytest.raises(oc.ChannelUnavailable, match="read-only"):
        oc.open_channel("orders", pair.standby.url, timeout=1)
