"""The pytest plugin in processes as a user starts them: other plugins, Ctrl-C, what it costs."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib.metadata import entry_points
from pathlib import Path

import pytest

pytestmark = pytest.mark.kit  # on one interpreter: most of its time goes into programs that start

pytest_plugins = ["pytester"]

THREE_LINES = """
def test_orders(ojob_channel):
    ojob_channel.set("apples", {"count": 3})
    assert ojob_channel.get("apples") == {"count": 3}
"""
SHOP = """
def sell(channel, fruit):
    with channel.lock(fruit, ttl=60):
        channel.set(fruit, channel.get(fruit, 0) - 1)
        return channel.get(fruit)
"""
SHOP_TESTS = """
import pytest
import shop

@pytest.fixture
def stocked(ojob_channel):
    ojob_channel.set("apples", 3)
    return ojob_channel

@pytest.mark.parametrize("time", range(3))
def test_sell(stocked, time):
    assert shop.sell(stocked, "apples") == 2

def test_fail(stocked):
    stocked.lock("apples", ttl=60, keep_alive=True)
    shop.sell(stocked, "apples")

def test_managed(ojob_manager):
    with ojob_manager.run("sell"):
        pass
"""
WAITING = """
import pathlib, time, pytest
@pytest.mark.parametrize("number", range(4))
def test_it(ojob_channel, number):
    ojob_channel.lock("nightly", ttl=60, keep_alive=True)
    pathlib.Path({folder!r}, f"ready-{{number}}").touch()
    time.sleep(60)
"""


@pytest.fixture
def started() -> Iterator[list[subprocess.Popen[bytes]]]:
    """Processes that do not outlive the test."""
    processes: list[subprocess.Popen[bytes]] = []
    yield processes
    for process in processes:
        process.kill()
        process.wait()


def left_in(folder: Path) -> list[Path]:
    """The files of ours below a folder."""
    return [path for path in folder.rglob("*") if path.name.startswith("ojob")]


def test_a_fresh_project_has_the_fixtures(pytester: pytest.Pytester) -> None:
    """It needs no set-up but the installed package: three lines pass, without a warning."""
    assert [one.value for one in entry_points(group="pytest11", name="ojobchannels")]
    pytester.makepyfile(THREE_LINES)
    result = pytester.runpytest_subprocess("-W", "error", "-p", "no:cacheprovider")
    result.assert_outcomes(passed=1)
    assert result.ret == 0
    result.stderr.no_fnmatch_line("*")
    result.stdout.no_fnmatch_line("*[Ww]arning*")


def test_a_run_that_uses_no_fixture_loads_next_to_nothing(pytester: pytest.Pytester) -> None:
    """No channel, no driver, no Hypothesis: only the modules of the plugin itself."""
    pytester.makepyfile("def test_it(): pass\n")
    pytester.makeconftest(
        """
import sys

def pytest_unconfigure():
    print("LOADED", *sorted(name for name in sys.modules if name.startswith("ojobchannels")))
    heavy = {"hypothesis", "pydantic", "pymongo", "redis", "ruamel"}
    print("HEAVY", *sorted(heavy & {*sys.modules}))
"""
    )
    result = pytester.runpytest_subprocess("-s", "-p", "no:hypothesispytest", "-p", "no:cov")
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(
        [
            "LOADED ojobchannels ojobchannels.pytest_plugin ojobchannels.testing "
            "ojobchannels.testing.conformance ojobchannels.testing.report",
            "HEAVY",
        ]
    )


def test_it_gets_on_with_others(pytester: pytest.Pytester) -> None:
    """Two processes of pytest-xdist, random order, coverage: the same outcomes, nothing left."""
    pytester.makepyfile(shop=SHOP, test_shop=SHOP_TESTS)
    base = pytester.path / "temporary"
    result = pytester.runpytest_subprocess(
        *("-W", "error", "-n", "2", "-p", "randomly", "--cov=shop", f"--basetemp={base}"),
        "--ojob-backends=simple,file,db",
    )
    result.assert_outcomes(passed=12, failed=3)
    result.stdout.fnmatch_lines_random(["*LockBusy*", "shop.py*100%*", "Using --randomly-seed=*"])
    assert list(base.glob("popen-gw*"))
    assert left_in(base) == []


@pytest.mark.parametrize("processes", [0, 2])
def test_ctrl_c_leaves_nothing(
    pytester: pytest.Pytester, started: list[subprocess.Popen[bytes]], processes: int
) -> None:
    """No file, in the process that was started and in those of pytest-xdist."""
    pytester.makepyfile(WAITING.format(folder=str(pytester.path)))
    base = pytester.path / "temporary"
    command = [sys.executable, "-m", "pytest", f"--basetemp={base}", "-p", "no:cacheprovider"]
    command += ["--ojob-backends=db", "-n", str(processes)]
    process = subprocess.Popen(command, start_new_session=True, stdout=subprocess.DEVNULL)
    started.append(process)
    ends = time.monotonic() + 60
    while len(list(pytester.path.glob("ready-*"))) < max(processes, 1):
        assert process.poll() is None
        assert time.monotonic() < ends
        time.sleep(0.02)
    assert left_in(base) != []
    os.killpg(process.pid, signal.SIGINT)
    assert process.wait(60) == pytest.ExitCode.INTERRUPTED
    while left_in(base):  # processes of pytest-xdist end a moment after the one that started them
        assert time.monotonic() < ends
        time.sleep(0.02)
