"""The configuration of the guide keeps data; one that loses data causes a warning."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import ojobchannels as oc
from ojobchannels.testing.servers import REDIS_FLAVOURS, RedisServer, installed, or_skip, resp

GUIDE = Path(__file__).parents[4] / "docs" / "how-to" / "redis.md"
PASSWORD = "a-long-random-password"
TORN = b"*3\r\n$3\r\nSET\r\n$5\r\nhal"


def documented() -> dict[str, str]:
    """Return the lines of configuration that the guide gives, by their first words."""
    lines = re.findall(r"```text\n(.*?)```", GUIDE.read_text("utf-8"), re.DOTALL)[0].splitlines()
    wanted = [line for line in lines if not line.startswith("bind")]
    split = (line.split(" ", 2 if line.startswith("user") else 1) for line in wanted)
    return {" ".join(words): value for *words, value in split}


def url_of(server: RedisServer) -> str:
    """Return the URL of the user `job`."""
    return f"redis://job:{PASSWORD}@127.0.0.1:{server.port}"


def major_version(server: RedisServer) -> int:
    """Return the number before the first point of its version of Redis."""
    login = "AUTH", "job", PASSWORD
    reply = resp.run_commands(server.address, login, ("INFO", "server"))[-1]
    found = re.search(r"redis_version:(\d+)", str(reply))
    assert found is not None, reply
    return int(found[1])


def fill(channel: oc.Channel, turn: int) -> None:
    """Store what takes one command of the server, and what takes several."""
    channel.set(f"single {turn}", {"turn": turn})
    channel.set_all({f"batch {turn}": 1, f"more {turn}": 2})
    channel.set(f"removed {turn}", 1)
    channel.unset(f"removed {turn}")
    channel.lock(f"lock {turn}", ttl=600).to_document()


def tear(folder: Path) -> None:
    """End the append-only file in the middle of a command, as a power cut does."""
    (log,) = (*folder.glob("appendonlydir/*.incr.aof"), *folder.glob("appendonly.aof"))
    with log.open("ab") as file:
        file.write(TORN)


@pytest.mark.parametrize("flavour", installed(REDIS_FLAVOURS))
def test_the_configuration_of_the_guide_survives_restarts_kills_and_torn_files(
    flavour: str, caplog: pytest.LogCaptureFixture
) -> None:
    """All that calls have stored is there afterwards, and no warning is logged."""
    with or_skip(), RedisServer(flavour, options=documented()) as server:
        for turn, ending in enumerate(("restart", "kill", "torn")):
            with oc.open_channel("orders", url_of(server), timeout=20) as channel:
                fill(channel, turn)
            if ending == "restart":
                server.shut_down()
            else:
                server.kill()
            if ending == "torn":
                tear(server.folder)
            server.start()
            with oc.open_channel("orders", url_of(server), timeout=20) as channel:
                assert channel.size() == 3 * (turn + 1)
                assert channel.get(f"more {turn}") == 2
                assert len(channel.locks()) == turn + 1
    assert caplog.records == []


@pytest.mark.parametrize("flavour", installed(REDIS_FLAVOURS))
@pytest.mark.parametrize("may_look", [True, False])
def test_a_server_that_would_lose_data_at_a_restart_causes_a_warning(
    flavour: str, may_look: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """Its user `default` has no rights; the warning says what to write instead."""
    options = documented() | {"user default": "off"}
    if not may_look:
        options["user job"] = options["user job"].replace(" +acl|dryrun", "")
    with or_skip(), RedisServer(flavour, options=options) as server:
        with oc.open_channel("orders", url_of(server)):
            pass
        oc.open_channel("others", url_of(server)).close()
        major = major_version(server)
    messages = [record.getMessage() for record in caplog.records]
    if major < 7:  # it does not check rights when it loads the file
        assert messages == []
    else:
        assert len(messages) == 2  # the first channel was the last on its server, too
        assert all("user default off ~* &* +@all" in message for message in messages)
        assert ("grant +acl|dryrun" in messages[0]) is not may_look


def test_without_an_append_only_file_there_is_no_warning(caplog: pytest.LogCaptureFixture) -> None:
    """Nothing is replayed then."""
    options = documented() | {"user default": "off", "appendonly": "no"}
    with or_skip(), RedisServer(options=options) as server:
        oc.open_channel("orders", url_of(server)).close()
    assert caplog.records == []


@pytest.mark.parametrize(("rights", "warned"), [("~* &* +@all", 0), ("~other:* +@all", 1)])
def test_the_rights_of_an_open_default_user_are_seen_without_a_permission(
    rights: str, warned: int, caplog: pytest.LogCaptureFixture
) -> None:
    """A connection without a login has them."""
    options = documented() | {"user default": f"on nopass {rights}"}
    options["user job"] = options["user job"].replace(" +acl|dryrun", "")
    with or_skip(), RedisServer(options=options) as server:
        oc.open_channel("orders", url_of(server)).close()
    assert len(caplog.records) == warned
