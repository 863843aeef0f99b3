"""The fixtures for test suites: what they give, on which types, and that nothing is left."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import ojobchannels as oc
from ojobchannels.testing import fixtures

pytest_plugins = ["pytester"]

THREE_LINES = """
def test_orders(ojob_channel):
    ojob_channel.set("apples", {"count": 3})
    assert ojob_channel.get("apples") == {"count": 3}
"""
EMBEDDED = "--ojob-backends=simple,file,db"


class Suite:
    """A test suite of a user, run in this process; `seen` gathers what its tests put there."""

    def __init__(self, pytester: pytest.Pytester) -> None:
        self.seen: list[Any] = []
        self._pytester = pytester
        self.temporary = pytester.path / "temporary"

    @pytest.fixture
    def seen_by_tests(self) -> list[Any]:
        """For the tests of the suite."""
        return self.seen

    def run(self, text: str, *arguments: str, conftest: str = "") -> pytest.RunResult:
        """Runs one file of tests; a warning is an error."""
        self._pytester.makepyfile(f"import pytest\nimport ojobchannels as oc\n{text}")
        if conftest:
            self._pytester.makeconftest(conftest)
        return self._pytester.runpytest_inprocess(*self.arguments, *arguments, plugins=[self])

    @property
    def arguments(self) -> tuple[str, ...]:
        """What every run is started with."""
        base = f"--basetemp={self.temporary}"
        return "-v", "-W", "error", "-p", "no:cacheprovider", base

    def files(self) -> list[Path]:
        """The files of ours that are left."""
        return [path for path in self.temporary.rglob("*") if "ojob" in str(path.name)]


@pytest.fixture
def suite(pytester: pytest.Pytester) -> Suite:
    """A suite to write and run."""
    return Suite(pytester)


def names(result: pytest.RunResult) -> list[str]:
    """The tests that ran, by name."""
    lines = [line.split()[0] for line in result.outlines if "::" in line and "%]" in line]
    return sorted(line.partition("::")[2] for line in lines)


def test_a_test_of_three_lines_has_a_channel(suite: Suite) -> None:
    """No set-up, no warning, no parameter in its name."""
    result = suite.run(THREE_LINES)
    result.assert_outcomes(passed=1)
    assert names(result) == ["test_orders"]


def test_the_option_runs_a_test_once_on_each_type(suite: Suite) -> None:
    """Also one that takes the channel through a fixture of its own; each by a readable name."""
    result = suite.run(
        """
        @pytest.fixture
        def full(ojob_channel):
            ojob_channel.set(1, 1)
            return ojob_channel
        def test_direct(ojob_channel, ojob_backend):
            assert ojob_channel.type == ojob_backend
        def test_through(full):
            assert full.size() == 1
        def test_managed(ojob_manager):
            assert ojob_manager.runs() == []
        def test_without():
            pass
        """.replace("\n        ", "\n"),
        "--ojob-backends",
        "simple, db,simple",
    )
    result.assert_outcomes(passed=7)
    assert names(result) == [
        *("test_direct[db]", "test_direct[simple]", "test_managed[db]", "test_managed[simple]"),
        *("test_through[db]", "test_through[simple]", "test_without"),
    ]


@pytest.mark.parametrize("ini", ["simple, file", "simple file"])
def test_marker_before_option_before_ini(suite: Suite, pytester: pytest.Pytester, ini: str) -> None:
    """What stands nearer to the test counts."""
    pytester.makeini(f"[pytest]\nojob_backends = {ini}")
    text = THREE_LINES + "@pytest.mark.ojob_backends('db')\ndef test_db(ojob_channel): pass\n"
    by_ini = suite.run(text)
    assert names(by_ini) == ["test_db[db]", "test_orders[file]", "test_orders[simple]"]
    by_option = suite.run(text, "--ojob-backends=simple")
    assert names(by_option) == ["test_db[db]", "test_orders[simple]"]


def test_a_type_that_there_is_not_is_told_before_any_test(suite: Suite) -> None:
    """On the command line, where the known ones are named."""
    result = suite.run(THREE_LINES, "--ojob-backends=simple,dp")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*--ojob-backends: no plugin offers the channel type 'dp'*db*"])


def test_a_marker_that_is_wrong_is_told(suite: Suite, pytester: pytest.Pytester) -> None:
    """At the collection, in one line; so is an ini value."""
    told = {
        "'dp'": "*.ojob_backends: no plugin offers the channel type 'dp'; known types are *",
        "": "*.ojob_backends: name at least one channel type",
        "['db']": "*.ojob_backends: [[]'db'[]] is no name of a channel type",
    }
    marked = [f"@pytest.mark.ojob_backends({wrong}){THREE_LINES}" for wrong in told]
    pytester.makepyfile(**{f"test_{n}": f"import pytest\n{one}" for n, one in enumerate(marked)})
    pytester.makeini("[pytest]\nojob_backends = pd")
    result = suite.run(THREE_LINES)
    result.assert_outcomes(errors=4)
    for line in (*told.values(), "the ini value ojob_backends: no plugin offers *'pd'*"):
        result.stdout.fnmatch_lines_random([line])


def test_a_fixture_asked_for_by_name_has_the_one_type(suite: Suite) -> None:
    """With several types to run on it says that it cannot run on all of them."""
    text = "def test_it(request): assert request.getfixturevalue('ojob_channel').type == {!r}\n"
    suite.run(text.format("simple")).assert_outcomes(passed=1)
    suite.run(text.format("db"), "--ojob-backends=db").assert_outcomes(passed=1)
    marked = "@pytest.mark.ojob_backends('file')\n" + text.format("file")
    suite.run(marked, EMBEDDED).assert_outcomes(passed=1)
    several = suite.run(text.format("db"), EMBEDDED)
    several.assert_outcomes(failed=1)
    several.stdout.fnmatch_lines(["*several channel types to run on (simple, file, db): take*"])


def test_a_type_is_one_and_the_same_parameter_for_all_tests(suite: Suite) -> None:
    """As pytest 8 wants it, which else makes what has a wide scope anew for each test."""
    suite.run(
        """
@pytest.fixture
def seen(request, ojob_backend, seen_by_tests): seen_by_tests.append(ojob_backend)

def test_one(seen): pass

@pytest.mark.ojob_backends("".join(["d", "b"]))
def test_two(seen): pass
""",
        "--ojob-backends=db",
    ).assert_outcomes(passed=2)
    first, second = suite.seen
    assert first is second


def test_every_test_has_a_channel_of_its_own(suite: Suite) -> None:
    """What one test left, held locks too, the next does not see."""
    left = "def test_{}(ojob_channel):\n"
    body = (
        "    assert ojob_channel.size() == 0\n"
        "    ojob_channel.set('left', 1)\n"
        "    ojob_channel.lock('left', ttl=60)\n"
    )
    result = suite.run(left.format("one") + body + left.format("two") + body, EMBEDDED)
    result.assert_outcomes(passed=6)
    assert suite.files() == []


def test_the_factory_opens_more_handles_and_channels(suite: Suite) -> None:
    """Without a name one more handle on the test's channel; by name others; others by its URL."""
    result = suite.run(
        """
def test_handles(ojob_channel, ojob_channel_factory, seen_by_tests):
    ojob_channel.set("a", 1)
    assert ojob_channel_factory().get("a") == 1
    orders = ojob_channel_factory("orders")
    assert orders.size() == 0
    orders.set("b", 2)
    assert ojob_channel_factory("orders").get("b") == 2
    for where in (ojob_channel_factory.url, ojob_channel_factory.config):
        with oc.open_channel(orders.name, where) as channel:
            assert channel.get("b") == 2
    seen_by_tests += [ojob_channel, orders]
""",
        EMBEDDED,
    )
    result.assert_outcomes(passed=3)
    assert [channel.closed for channel in suite.seen] == [True] * 6


def test_the_name_that_a_channel_tells_opens_one_more_handle(suite: Suite) -> None:
    """On every type alike, also in memory, where it is not the name that was asked for."""
    text = """
def test_it(ojob_channel, ojob_channel_factory):
    for channel in (ojob_channel, ojob_channel_factory("stock")):
        channel.set("apples", 3)
        assert ojob_channel_factory(channel.name).get("apples") == 3
"""
    suite.run(text, EMBEDDED).assert_outcomes(passed=3)


def test_the_factory_passes_options_on(suite: Suite) -> None:
    """Those of the type, and extensions."""
    result = suite.run(
        """
class Refuses:
    @oc.hookimpl(wrapper=True)
    def size(self):
        yield
        raise RuntimeError("refused")

@pytest.mark.ojob_backends("db")
def test_options(ojob_channel_factory):
    with pytest.raises(RuntimeError, match="refused"):
        ojob_channel_factory(durable=False, extensions=[Refuses()]).size()
    with pytest.raises(oc.InvalidOption, match="does not take it"):
        ojob_channel_factory("orders", colour="red")
"""
    )
    result.assert_outcomes(passed=1)


def test_the_manager_has_channels_of_its_own(suite: Suite) -> None:
    """It runs, waits for and remembers jobs, beside the channel of the test."""
    runs = """(ojob_manager, ojob_channel, ojob_channel_factory, seen_by_tests):
    with ojob_manager.run("nightly"):
        with pytest.raises(oc.LockBusy):
            ojob_channel_factory.open_manager().start("nightly")
    assert sorted(run["status"] for run in ojob_manager.runs()) == ["completed", "skipped"]
    assert ojob_channel.size() == 0
    job = ojob_manager.job("later", timeout=60)(lambda: None)
    assert ojob_manager.launch("later").result(30) is None
    seen_by_tests.append(ojob_manager.jobs)
"""
    result = suite.run(f"def test_one{runs}\ndef test_two{runs}", EMBEDDED)
    result.assert_outcomes(passed=6)
    assert [channel.closed for channel in suite.seen] == [True] * 6
    assert suite.files() == []


def test_time_passes_when_the_test_says_so(suite: Suite) -> None:
    """Leases of channels and of jobs expire without sleeping, and not before."""
    result = suite.run(
        """
def test_lease(ojob_clock, ojob_channel, ojob_channel_factory):
    lease = ojob_channel.lock("nightly", ttl=600)
    other = ojob_channel_factory()
    ojob_clock.advance(590)
    assert other.try_lock("nightly", ttl=60) is None
    ojob_clock.advance(10)
    assert lease.lost
    assert other.lock("nightly", ttl=60).fence > lease.fence

def test_run(ojob_manager, ojob_clock):
    run = ojob_manager.start("nightly", timeout=3600, keep_alive=False)
    ojob_clock.advance(3601)
    with ojob_manager.run("nightly"):
        pass
    assert [one["status"] for one in ojob_manager.runs()] == ["completed", "abandoned"]
    with pytest.raises(oc.LockLost):
        ojob_manager.end(run)
""",
        EMBEDDED,
    )
    result.assert_outcomes(passed=6)


def test_leases_are_lost_on_demand(suite: Suite) -> None:
    """Known to the holder, or not yet; of channels and of jobs."""
    result = suite.run(
        """
import threading

def test_lost(ojob_channel, ojob_faults):
    told = threading.Event()
    lease = ojob_channel.lock("nightly", ttl=60, keep_alive=True, on_lost=lambda _: told.set())
    ojob_faults.lose_lease(lease)
    assert lease.lost
    assert told.wait(30)
    with ojob_channel.lock("nightly", ttl=60):
        pass

def test_stolen(ojob_channel, ojob_faults):
    lease = ojob_channel.lock("nightly", ttl=60)
    thief = ojob_faults.steal_lease(lease)
    assert not lease.lost
    ojob_channel.set("key", "new", fence=thief.fence)
    with pytest.raises(oc.StaleFence):
        ojob_channel.set("key", "old", fence=lease.fence)
    with pytest.raises(oc.LockLost):
        lease.release()
    assert thief.held

def test_job(ojob_manager, ojob_faults):
    run = ojob_manager.start("nightly")
    ojob_faults.lose_lease(run)
    with pytest.raises(oc.LockLost):
        run.check()
""",
        EMBEDDED,
    )
    result.assert_outcomes(passed=9)


def test_faults_of_the_network_are_refused_where_there_is_none(suite: Suite) -> None:
    """In a word that says what to take instead."""
    faults = (
        *("server_down", "server_up", "restart_server", "cut_next_reply", "cut_next_request"),
        *("delay", "black_hole"),
    )
    result = suite.run(
        f"""
@pytest.mark.parametrize("fault", {faults})
def test_it(ojob_channel, ojob_faults, fault):
    getattr(ojob_faults, fault)()
"""
    )
    result.assert_outcomes(failed=7)
    for fault in faults:
        result.stdout.fnmatch_lines_random(
            [
                f"*FaultNotPossible: {fault} is not possible: no channel of this test is on a "
                "server; take ojob_redis or ojob_mongo*"
            ]
        )


def test_named_variants_have_a_type_and_a_scope(suite: Suite) -> None:
    """One of a module is shared by its tests, and goes with it; without a type each in turn."""
    result = suite.run(
        """
@pytest.fixture(params=[1, 2])
def twice(request): return request.param

def test_shared(orders, twice, ojob_channel, seen_by_tests):
    assert (orders.name, orders.type) == ("orders", "db")
    assert orders.size() == twice - 1
    orders.set(twice, twice)
    assert ojob_channel.size() == 0
    seen_by_tests.append(orders)

def test_own(plain, twice, seen_by_tests):
    assert plain.type == "file"
    assert plain.size() == 0
    plain.set(1, 1)

def test_wide(anywhere, jobs, ojob_channel):
    assert anywhere.type == jobs.jobs.type == ojob_channel.type
    assert jobs.jobs is not ojob_channel
""",
        "-p",
        "no:randomly",
        conftest="""
from ojobchannels.testing import channel_fixture, manager_fixture
orders = channel_fixture("orders", type="db", scope="module", durable=False)
plain = channel_fixture(type="file")
anywhere = channel_fixture("anywhere", scope="session")
jobs = manager_fixture(threads=1)
""",
    )
    result.assert_outcomes(passed=5)
    first, second = suite.seen
    assert first is second
    assert first.closed
    assert suite.files() == []
    each = suite.run(
        "def test_wide(anywhere, jobs): assert anywhere.type == jobs.jobs.type\n"
        "def test_fixed(orders): pass\n",
        EMBEDDED,
    )
    each.assert_outcomes(passed=4)
    assert names(each) == ["test_fixed", "test_wide[db]", "test_wide[file]", "test_wide[simple]"]


@pytest.mark.parametrize(
    "ending", ["assert False", "raise KeyboardInterrupt", "pytest.exit('now')"]
)
def test_nothing_is_left_however_a_test_ends(
    suite: Suite, pytester: pytest.Pytester, ending: str
) -> None:
    """Files and handles go, held leases and waiting launches with them; threads end."""
    pytester.makepyfile(
        f"""
import pytest
def test_it(ojob_channel, ojob_channel_factory, ojob_manager, seen_by_tests):
    ojob_channel.lock("nightly", ttl=60, keep_alive=True)
    ojob_manager.start("nightly")
    seen_by_tests += [ojob_channel, ojob_channel_factory("orders"), ojob_manager.jobs]
    {ending}
"""
    )
    pytester.inline_run(
        *suite.arguments, "--ojob-backends=db", plugins=[suite], no_reraise_ctrlc=True
    )
    assert [channel.closed for channel in suite.seen] == [True] * 3
    assert suite.files() == []


def test_nothing_is_left_when_another_fixture_fails(suite: Suite) -> None:
    """At its set-up or at its end."""
    result = suite.run(
        """
@pytest.fixture
def fails_early(ojob_channel, seen_by_tests):
    seen_by_tests.append(ojob_channel)
    raise RuntimeError

@pytest.fixture
def fails_late(ojob_channel, seen_by_tests):
    seen_by_tests.append(ojob_channel)
    yield
    raise RuntimeError

def test_early(fails_early): pass
def test_late(fails_late): pass
""",
        "--ojob-backends=file",
    )
    result.assert_outcomes(passed=1, errors=2)
    assert [channel.closed for channel in suite.seen] == [True] * 2
    assert suite.files() == []


def test_a_channel_in_memory_is_empty_afterwards(suite: Suite) -> None:
    """Who opens it again by its name finds nothing: the memory is free."""
    suite.run(
        "def test_it(ojob_channel, seen_by_tests):\n"
        "    ojob_channel.set(1, 'much')\n"
        "    seen_by_tests.append(ojob_channel.name)\n"
    ).assert_outcomes(passed=1)
    with oc.open_channel(suite.seen[0]) as channel:
        assert channel.size() == 0


def test_every_fixture_option_and_marker_is_told_by_pytest(suite: Suite) -> None:
    """`--fixtures`, `--markers` and `--help` have a line for each."""
    shown = suite.run("", "-q", "--fixtures").stdout.str()
    for name in (
        "channel",
        "channel_factory",
        "manager",
        "backend",
        "redis",
        "mongo",
        "clock",
        "faults",
    ):
        assert f"\nojob_{name} -- " in shown
        told = shown.split(f"\nojob_{name} -- ")[1].splitlines()[1]
        assert told.startswith("    ")
        assert "no docstring" not in told
    assert "_ojob" not in "".join(line for line in shown.splitlines() if " -- " in line)
    suite.run("", "--markers").stdout.fnmatch_lines(["@pytest.mark.ojob_backends(*types): run*"])
    told = suite.run("", "--help").stdout.str()
    assert all(f"--ojob-{name}" in told for name in ("backends", "redis-url", "require-servers"))
    assert "ojob_backends (args):" in told


def test_the_plugin_can_be_left_out(suite: Suite) -> None:
    """As any other, by its name."""
    result = suite.run(THREE_LINES, "-p", "no:ojobchannels")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*fixture 'ojob_channel' not found"])


def test_a_missing_server_is_told_with_the_command_that_gets_it(
    suite: Suite, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the reason of a skip; as a failure where servers are required, by option or variable."""
    from ojobchannels.testing import servers, shared

    nowhere = servers.Flavour("nowhere", "no-such-server", "no-such-wheel", "pip install nowhere")
    kind = shared.KINDS["redis"]._replace(flavours=(nowhere,))
    monkeypatch.setitem(shared.KINDS, "redis", kind)
    monkeypatch.delenv("OJOBCHANNELS_REQUIRE_SERVERS", raising=False)
    monkeypatch.delenv("OJOBCHANNELS_TEST_REDIS", raising=False)
    text = "def test_it(ojob_redis): pass\n"
    told = "*there is no nowhere here; get it with: pip install nowhere"
    skipped = suite.run(text, "-rs")
    skipped.assert_outcomes(skipped=1)
    skipped.stdout.fnmatch_lines([f"SKIPPED*{told}"])
    failed = suite.run(text, "--ojob-require-servers")
    failed.assert_outcomes(errors=1)
    failed.stdout.fnmatch_lines([told])
    monkeypatch.setenv(servers.REQUIRE, "1")
    suite.run(text).assert_outcomes(errors=1)


def test_the_variable_that_requires_servers_has_one_name() -> None:
    """That of the servers' own module, which takes longer to import."""
    from ojobchannels.testing import servers

    assert fixtures._REQUIRE == servers.REQUIRE
