"""The fixtures for test suites on real servers: started or given, broken, and left as they were."""

from __future__ import annotations

import importlib
import importlib.util
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from ojobchannels.testing import mongo_wire, resp, servers

pytest_plugins = ["pytester"]

KINDS = ("redis", "mongo")

ISOLATED = """
def check(server):
    channel = server.open_channel("orders")
    assert channel.size() == 0
    channel.set("left", 1)
    channel.lock("left", ttl=60)
    with oc.open_channel("orders", server.url) as other:
        assert other.get("left") == 1
    with oc.open_channel("orders", server.config) as other:
        assert other.try_lock("left", ttl=60) is None

def test_one(ojob_KIND):
    check(ojob_KIND)

def test_two(ojob_KIND, module_wide):
    check(ojob_KIND)
    check(module_wide)

def test_fails(ojob_KIND, ojob_manager):
    check(ojob_KIND)
    ojob_manager.start("nightly")
    raise RuntimeError

@pytest.fixture
def fails(ojob_channel):
    ojob_channel.set("left", 1)
    raise RuntimeError

def test_set_up_fails(fails):
    pass
"""
NETWORK = """
def opened(factory):
    channel = factory(timeout=0.6)
    channel.set("key", 1)
    return channel

def test_down_and_up(ojob_channel_factory, ojob_faults):
    channel = opened(ojob_channel_factory)
    ojob_faults.server_down()
    with pytest.raises(oc.ChannelUnavailable):
        channel.get("key")
    ojob_faults.server_up()
    assert channel.get("key") == 1

def test_cut_reply(ojob_channel_factory, ojob_faults):
    channel = opened(ojob_channel_factory)
    happened = ojob_faults.cut_next_reply()
    try:
        assert channel.pop() == 1
    except oc.OutcomeUnknown:
        pass
    assert happened.is_set()
    assert channel.size() == 0

def test_cut_request(ojob_channel_factory, ojob_faults):
    channel = opened(ojob_channel_factory)
    happened = ojob_faults.cut_next_request()
    channel.set("key", 2)
    assert happened.is_set()
    assert channel.get("key") == 2

def test_delay(ojob_channel_factory, ojob_faults):
    channel = opened(ojob_channel_factory)
    ojob_faults.delay(requests=0.05, replies=0.05)
    began = time.monotonic()
    assert channel.get("key") == 1
    assert time.monotonic() - began >= 0.1

def test_black_hole(ojob_channel_factory, ojob_faults):
    channel = opened(ojob_channel_factory)
    ojob_faults.black_hole()
    with pytest.raises(oc.ChannelError):
        channel.get("key")
    ojob_faults.heal()
    assert channel.get("key") == 1

def test_left_broken(ojob_channel_factory, ojob_faults):
    channel = opened(ojob_channel_factory)
    channel.lock("nightly", ttl=60)
    ojob_faults.black_hole()

def test_lost(ojob_channel, ojob_faults):
    lease = ojob_channel.lock("nightly", ttl=60)
    ojob_faults.lose_lease(lease)
    assert lease.lost

def test_beside(ojob_KIND, ojob_channel, ojob_faults):
    ojob_faults.server_down()
    with pytest.raises(oc.ChannelUnavailable):
        ojob_KIND.open_channel("orders", timeout=0.5)
"""
OWN_SERVER = """
def test_killed(ojob_KIND, seen_by_tests):
    channel = ojob_KIND.open_channel("orders")
    channel.set("key", 1)
    seen_by_tests += [ojob_KIND.server, ojob_KIND.server.folder]
    ojob_KIND.server.kill()

def test_runs_again(ojob_KIND, seen_by_tests):
    assert ojob_KIND.server is seen_by_tests[0]
    ojob_KIND.open_channel("orders").set("key", 2)

@pytest.mark.ojob_backends("KIND")
def test_restarted(ojob_channel, ojob_faults):
    ojob_channel.set("key", 1)
    ojob_faults.restart_server()
    assert ojob_channel.get("key") == 1

def test_halted(ojob_KIND):
    ojob_KIND.open_channel("orders").lock("nightly", ttl=60)
    ojob_KIND.server.pause()
"""
WAITING = """
import pathlib, time
def test_it(ojob_KIND):
    channel = ojob_KIND.open_channel("orders")
    channel.lock("nightly", ttl=60, keep_alive=True)
    pathlib.Path("ready").write_text(f"{ojob_KIND.server.pid} {ojob_KIND.server.folder}")
    time.sleep(60)
"""


class Suite:
    """A test suite of a user for one kind of server, run in this process."""

    def __init__(self, kind: str, pytester: pytest.Pytester) -> None:
        self.kind = kind
        self.seen: list[Any] = []
        self._pytester = pytester

    @pytest.fixture
    def seen_by_tests(self) -> list[Any]:
        """For the tests of the suite."""
        return self.seen

    def run(self, text: str, *arguments: str) -> pytest.RunResult:
        """Runs one file of tests; a warning is an error."""
        self.write(text)
        return self._pytester.runpytest_inprocess(*self.arguments, *arguments, plugins=[self])

    def prove(self, *arguments: str) -> pytest.RunResult:
        """Runs the conformance kit."""
        chosen = f"--ojob-conformance={self.kind}"
        return self._pytester.runpytest_subprocess("-p", "no:cacheprovider", chosen, *arguments)

    def write(self, text: str) -> None:
        """Writes the file, and a conftest.py."""
        text = f"import time\nimport pytest\nimport ojobchannels as oc\n{text}"
        self._pytester.makepyfile(text.replace("KIND", self.kind))
        self._pytester.makeconftest(
            f"from ojobchannels.testing import {self.kind}_fixture\n"
            f"module_wide = {self.kind}_fixture(scope='module', timeout=5)\n"
        )

    @property
    def arguments(self) -> tuple[str, ...]:
        """What every run is started with."""
        return "-v", "-W", "error", "-p", "no:cacheprovider", f"--ojob-backends={self.kind}"


@pytest.fixture(scope="module", params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    """Each kind of server in turn, if its plugin is installed."""
    chosen = str(request.param)
    if importlib.util.find_spec(f"ojobchannels_{chosen}") is None:
        pytest.skip(f"the tox environment `servers` installs ojobchannels-{chosen}")
    # Each run of a suite forgets the modules that it loaded, while threads of theirs still end.
    importlib.import_module(f"ojobchannels_{chosen}.backend")
    return chosen


@pytest.fixture
def suite(kind: str, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Suite:
    """A suite to write and run."""
    monkeypatch.delenv("OJOBCHANNELS_TEST_REDIS", raising=False)
    monkeypatch.delenv("OJOBCHANNELS_TEST_MONGO", raising=False)
    return Suite(kind, pytester)


class Given:
    """A server that somebody else started."""

    def __init__(self, kind: str, url: str) -> None:
        self.kind = kind
        self.url = url
        self.option = f"--ojob-{kind}-url={url}"
        self.variable = f"OJOBCHANNELS_TEST_{kind.upper()}"
        parts = urlsplit(url)
        self._address = parts.hostname or "", parts.port or 0

    def holds(self) -> object:
        """The names of all that it stores: keys, or databases."""
        if self.kind == "redis":
            keys = resp.ask(self._address, ("KEYS", "*ojobtest*"))[0]
            assert isinstance(keys, list)
            return sorted(map(str, keys))
        return b"ojobtest" in mongo_wire.ask(self._address, {"listDatabases": 1}).raw


@pytest.fixture(scope="module")
def given(kind: str) -> Iterator[Given]:
    """One of each kind."""
    url = servers.redis_url() if kind == "redis" else servers.mongo_url(replica_set=True)
    with servers.or_skip(), url as found:
        yield Given(kind, found)


def test_each_test_has_a_part_of_the_server_for_itself(suite: Suite, given: Given) -> None:
    """By the name that the program itself uses; however tests end, the server is as before."""
    result = suite.run(ISOLATED, given.option)
    result.assert_outcomes(passed=2, failed=1, errors=1)
    assert not given.holds()


def test_the_variable_names_the_server_too(
    suite: Suite, given: Given, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As for the tests of backends; the option counts first."""
    monkeypatch.setenv(given.variable, given.url)
    text = f"def test_it(ojob_KIND): assert ojob_KIND.server is None, {given.url!r}\n"
    suite.run(text).assert_outcomes(passed=1)
    monkeypatch.setenv(given.variable, "nowhere://")
    suite.run(text, given.option).assert_outcomes(passed=1)


def test_processes_of_xdist_do_not_meet(
    suite: Suite, given: Given, pytester: pytest.Pytester
) -> None:
    """On one server; each test has its part there, too."""
    suite.write(ISOLATED)
    result = pytester.runpytest_subprocess(*suite.arguments, given.option, "-n", "2")
    result.assert_outcomes(passed=2, failed=1, errors=1)
    assert not given.holds()


def test_the_network_breaks_and_heals(suite: Suite, given: Given) -> None:
    """Each fault once; what a test leaves broken hinders neither its end nor the next."""
    began = time.monotonic()
    suite.run(NETWORK, given.option).assert_outcomes(passed=8)
    assert time.monotonic() - began < 60
    assert not given.holds()


def test_a_server_of_the_tests_own_can_be_killed(suite: Suite) -> None:
    """It runs again for the next test; after the last, process and folder are gone."""
    with servers.or_skip():
        servers.RedisServer() if suite.kind == "redis" else servers.MongoServer()
    suite.run(OWN_SERVER, "-p", "no:randomly").assert_outcomes(passed=4)
    server, folder = suite.seen
    assert not folder.exists()
    with pytest.raises(RuntimeError, match="not running"):
        _ = server.pid


def test_a_server_that_is_given_is_not_restarted(suite: Suite, given: Given) -> None:
    """It is not ours; the message says what to take instead."""
    result = suite.run(
        "def test_it(ojob_channel, ojob_faults): ojob_faults.restart_server()\n", given.option
    )
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*FaultNotPossible: restart_server is not possible: the tests *"])


def test_a_given_server_that_is_not_there_is_told_in_one_line(suite: Suite) -> None:
    """For all tests at once: none waits for it a second time."""
    scheme = {"redis": "redis", "mongo": "mongodb"}[suite.kind]
    result = suite.run(
        "def test_one(ojob_KIND): pass\ndef test_two(ojob_KIND): pass\n",
        f"--ojob-{suite.kind}-url={scheme}://127.0.0.1:1/",
    )
    result.assert_outcomes(errors=2)
    told = f"the server at --ojob-{suite.kind}-url, or of the variable: channel 'test' is unavail*"
    result.stdout.fnmatch_lines([told, told])


def test_the_kit_proves_on_the_server_that_is_given(
    suite: Suite, given: Given, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The option counts before the variable; where nobody answers, one line says so, at once."""
    nowhere = given.url.partition("://")[0] + "://127.0.0.1:1/"
    monkeypatch.setenv(given.variable, nowhere)
    suite.prove("-k", "a_free_lock_is_granted", given.option).assert_outcomes(passed=1)
    refused = suite.prove("-k", "a_free_lock")
    assert refused.ret == 4
    refused.stdout.fnmatch_lines([f"*--ojob-conformance={suite.kind}: the server at*127.0.0.1:1*"])
    assert "PROMISED" not in refused.stdout.str()


def test_a_clock_cannot_be_turned_on_a_server(suite: Suite, given: Given) -> None:
    """Among several types that is a skip with its reason, on that type alone a failure."""
    result = suite.run(
        "def test_each(ojob_channel, ojob_clock): pass\n"
        "def test_one(ojob_KIND, ojob_clock): pass\n",
        *("-rs", given.option, f"--ojob-backends=simple,{suite.kind}"),
    )
    result.assert_outcomes(passed=1, skipped=1, errors=1)
    told = f"type '{suite.kind}' has not the capability 'clock'*"
    result.stdout.fnmatch_lines_random([f"SKIPPED*: {told}", f"{told}take types simple, file or*"])


def test_a_plugin_that_is_missing_is_told_with_the_command_that_gets_it(
    suite: Suite, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a skip, in the place of a server that nobody could reach."""
    monkeypatch.setenv("OJOBCHANNELS_DISABLE_PLUGINS", suite.kind)
    monkeypatch.delenv("OJOBCHANNELS_REQUIRE_SERVERS", raising=False)
    suite.write("def test_it(ojob_KIND): pass\n")
    result = pytester.runpytest_subprocess(*suite.arguments, "-rs")
    result.assert_outcomes(skipped=1)
    result.stdout.fnmatch_lines(
        [f"SKIPPED*install it with: pip install ojobchannels-{suite.kind}*"]
    )


def test_ctrl_c_leaves_no_server(suite: Suite, pytester: pytest.Pytester) -> None:
    """Its process and its folder go with the run that started it."""
    with servers.or_skip():
        servers.RedisServer() if suite.kind == "redis" else servers.MongoServer()
    suite.write(WAITING)
    ready = pytester.path / "ready"
    process = subprocess.Popen(
        [sys.executable, "-m", "pytest", *suite.arguments],
        start_new_session=True,
        stdout=subprocess.DEVNULL,
    )
    try:
        ends = time.monotonic() + 60
        while not (ready.exists() and ready.read_text()):
            assert process.poll() is None
            assert time.monotonic() < ends
            time.sleep(0.02)
        pid, folder = ready.read_text().split()
        os.killpg(process.pid, signal.SIGINT)
        assert process.wait(60) == pytest.ExitCode.INTERRUPTED
    finally:
        process.kill()
        process.wait()
    assert not Path(folder).exists()
    assert not Path("/proc", pid).exists()
