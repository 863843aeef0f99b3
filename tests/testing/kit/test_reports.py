"""The options and the reports of the conformance kit, and the report of a failing promise."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

import ojobchannels as oc
from ojobchannels.testing.kit.trace import Trace

if TYPE_CHECKING:
    from tests.testing.kit.conftest import Project

pytest_plugins = ["pytester"]

pytestmark = pytest.mark.kit  # on one interpreter: most of the time goes into starting programs


def test_the_option_tests_a_type_without_code(project: Project) -> None:
    """In a temporary file; the summary has the capabilities that are not claimed."""
    output = project.pytest(
        "--ojob-conformance=file", "-k", "get_the_lock_in_order or shift_removes"
    )
    assert "conformance of file" in output
    assert "Order" in output
    assert re.search(r"not claimed: fifo \(\d+ promises?\)", output)
    assert list(project.folder.glob("*.json")) == []


def test_options_of_the_channel_type_are_used(project: Project) -> None:
    """Such as the path of the file."""
    path = project.folder / "named.db"
    words = ["--ojob-conformance=db", f"--ojob-conformance-option=file={path}"]
    project.pytest(*words, "--ojob-conformance-option", "durable=false", "-k", "add_returns")
    assert path.exists()


def test_xdist_prints_one_summary(project: Project) -> None:
    """For all workers together."""
    pytest.importorskip("xdist")
    output = project.new_pytest(
        "--ojob-conformance=simple",
        "-p",
        "xdist",
        "-n",
        "2",
        "-k",
        "null or add_returns or killing",
    )
    assert output.count("conformance of simple") == 1
    assert re.search(r"not claimed: crash_release \(\d+ promises?\)", output)
    assert "not claimed" in output.splitlines()[-1]


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["--ojob-conformance=nosuch"], "unknown channel type 'nosuch'"),
        (["--ojob-conformance=db", "--ojob-conformance-option=fil=x"], "did you mean 'file'?"),
        (["--ojob-conformance=db", "--ojob-conformance-option=file"], "write NAME=VALUE"),
        (["--ojob-conformance=db", "tests"], "remove the test paths"),
    ],
    ids=["type", "option", "form", "paths"],
)
def test_a_wrong_call_is_an_error_of_one_line(
    project: Project, words: list[str], reason: str
) -> None:
    """Before any test runs."""
    (project.folder / "tests").mkdir()
    output = project.pytest(*words, status=4)
    assert reason in output
    assert "Traceback" not in output


def test_a_failure_shows_promise_steps_and_cause(project: Project) -> None:
    """In a few lines: the promise, each step with its result, and the failing assertion.

    Of a capability that is not claimed, the promises for backends without it run.
    """
    project.install_defective()
    chosen = ("-k", "unset_returns or batch")
    output = project.new_pytest("--ojob-conformance=defective", "-v", *chosen, status=1)
    trace = output.partition("PROMISE of DocumentContract: ")[2].partition("====")[0]
    assert trace.startswith("unset returns whether the key existed\n")
    for part in (
        "The first call returns True, the second False.",
        "STEPS on defective, each with its result:",
        "   1. A.set(key='key', value=1) → ",
        "   2. A.unset(key='key') → True",
        "   3. A.unset(key='key') → True",
        "FAILURE:",
        'assert channel.unset("key") is False',
    ):
        assert part in trace
    assert len(trace.splitlines()) < 15
    assert "failed: test_unset_returns_whether_the_key_existed" in output
    assert "test_a_larger_batch_is_refused_without_the_capability PASSED" in output
    assert "not claimed: atomic_batches" in output


def test_a_trace_shows_fields_in_their_order() -> None:
    """The order may be the error; long maps are shortened."""
    trace = Trace()
    with oc.open_channel("trace", extensions=[trace.handle_extension(None)]) as channel:
        channel.set("key", {"b": {"d": 1, "c": {}}, "a": 2})
        channel.set("key", {str(9 - n): n for n in range(9)})
        channel.destroy()
    few, many, _ = trace.lines()[:3]
    assert "value={'b': {'d': 1, 'c': {}}, 'a': 2}" in few
    assert "value={'9': 0, '8': 1, '7': 2, '6': 3, '5': 4, '4': 5, ...}" in many


def test_of_a_wait_what_is_beyond_its_timeout_counts_as_a_stall() -> None:
    """It may take its timeout; a server that stalls meanwhile makes it take longer."""
    took: list[float] = []
    recorder: Any = Trace(took.append).handle_extension(None)
    for timeout in (60_000, 0):
        wait = recorder.wait("nightly", 1, "token", timeout)
        next(wait)
        with pytest.raises(StopIteration):
            wait.send(True)
    assert took[0] < 0 < took[1]


def test_an_error_of_the_backend_is_shown_with_its_line_and_once(project: Project) -> None:
    """The report has the frames of the backend, without those of the package or of pytest.

    Of failures of one cause, the others are shown in one line; the summary counts them. The same
    error in another process, where the rival of some promises runs, is a second cause.
    """
    project.install_defective("return 1 / 0")
    output = project.new_pytest("--ojob-conformance=defective", "-k", "unset", status=1)
    assert "defective.py:8  return 1 / 0" in output
    assert "ZeroDivisionError: " in output
    assert "pluggy" not in output.partition("PROMISE of")[2]
    assert 1 <= output.count("PROMISE of ") <= 2
    assert output.count("the same cause as in test_") >= 3
    assert "ZeroDivisionError at " in output
    assert "one cause of " in output
    assert len(output.splitlines()) < 140
    whole = project.new_pytest(
        "--ojob-conformance=defective", "-k", "unset_returns", "--full-trace", status=1
    )
    assert "_execution.py" in whole


WRONG_KINDS = {
    "none_for_missing": (
        "get(self, key)",
        "value = super().get(key); return None if value is oc.MISSING else value",
        "the hook `get` of channel type 'none_for_missing' returned None: return MISSING, since "
        "None is a stored null",
    ),
    "plain_tuple": (
        "lock(self, name, token, ttl, holder)",
        "return tuple(super().lock(name, token, ttl, holder))",
        "return Granted(fence, previous) for a free lock",
    ),
    "misspelt": ("get_kyes(self)", "return []", "`get_kyes` is not an operation"),
}


def test_results_of_a_wrong_kind_are_reported_before_the_first_promise(project: Project) -> None:
    """In one sentence, and no promise runs."""
    for name, (operation, defect, _) in WRONG_KINDS.items():
        project.install_defective(defect, operation, name)
    project.write(
        "test_mine.py",
        f"""
import pytest
from ojobchannels.testing import CompareAndSetContract, Subject

class TestMine(CompareAndSetContract):
    @pytest.fixture(params={list(WRONG_KINDS)})
    def ojob_subject(self, request):
        return Subject(request.param)
""",
    )
    output = project.new_pytest("-k", "null", status=1)
    for *_, sentence in WRONG_KINDS.values():
        assert sentence in output
    assert "PROMISE" not in output
    assert "Traceback" not in output
    whole = project.new_pytest("--ojob-conformance=misspelt", status=1)
    assert WRONG_KINDS["misspelt"][2] in whole
    assert "1 error" in whole  # the run ends there


def test_a_hang_shows_the_stacks_of_all_processes(project: Project) -> None:
    """Of each thread of the test, and of its child processes."""
    project.write(
        "test_mine.py",
        """
from ojobchannels.testing import ProcessContract, Subject
import pytest
class TestMine(ProcessContract):
    @pytest.fixture
    def ojob_subject(self, tmp_path):
        return Subject("file", {"file": str(tmp_path / "x")})
    def test_hang(self, subject, children, background):
        background(__import__("time").sleep, 20)
        child = children("def hangs_here():\\n    receive()\\nhangs_here()", subject)
        child.receive(within=3)
""",
    )
    output = project.new_pytest("-k", "test_hang", status=1)
    assert "sent nothing for 3 s" in output
    assert "stacks of this process:" in output
    assert "thread 1:" in output
    assert "in hangs_here" in output


def test_a_promise_that_never_ends_shows_the_stacks(project: Project) -> None:
    """Also if pytest has no timeout of its own."""
    project.write(
        "test_mine.py",
        """
import pytest, time
from ojobchannels.testing import LockContract, Subject
from ojobchannels.testing.contracts import base
base.HANGS = 0.2
class TestMine(LockContract):
    @pytest.fixture
    def ojob_subject(self):
        return Subject("simple")
    def test_hang(self):
        time.sleep(1)
""",
    )
    output = project.new_pytest("-k", "test_hang")
    assert "test_hang has not ended after 0.2 s" in output
    assert "stacks of this process:" in output


_STALLS = """
import pytest, sys, time
from collections import Counter
from ojobchannels.testing import LockContract, Subject
from ojobchannels.testing.contracts.base import timed

def stall():
    before = sys.getswitchinterval()
    sys.setswitchinterval(60)  # no other thread runs
    until = time.monotonic() + 0.3
    while time.monotonic() < until:
        pass
    sys.setswitchinterval(before)

attempts = Counter()

class TestMine(LockContract):
    @pytest.fixture
    def ojob_subject(self):
        return Subject("simple")

    @timed
    def test_one_stall(self, subject):
        attempts["one stall"] += 1
        if attempts["one stall"] == 1:
            stall()
        assert attempts["one stall"] == 2

    @timed
    def test_a_stall_each_time(self, subject):
        attempts["each time"] += 1
        stall()
        assert False, f"stalled {attempts['each time']} times"

    @timed
    def test_no_stall(self, subject):
        attempts["no stall"] += 1
        assert False, f"failed in attempt {attempts['no stall']}"
"""


def test_a_promise_on_real_time_is_repeated_after_a_stall(project: Project) -> None:
    """It fails if it does so without a stall, or three times; the report names the repetitions."""
    project.write("test_mine.py", _STALLS)
    output = project.new_pytest("-v", "-k", "stall", status=1)
    assert "test_one_stall PASSED" in output
    assert "stalled 3 times" in output
    assert "failed in attempt 1" in output
    assert output.count("something stalled for") == 1 + 2
