"""The error tree: one root, the natural builtin beside it, facts, pickling, helpful messages."""

from __future__ import annotations

import copy
import inspect
import pickle
from typing import Any

import pytest

import ojobchannels as oc
from ojobchannels import errors
from ojobchannels.errors import Diagnostic, WrongRun

SAMPLES: list[tuple[errors.ChannelError, type[Exception], list[str]]] = [
    (oc.InvalidKey("$.a[1]", "nan is not JSON"), ValueError, ["$.a[1]", "nan is not JSON"]),
    (oc.InvalidValue("$.a", "a tuple is not JSON"), ValueError, ["$.a", "a tuple is not JSON"]),
    (oc.InvalidName("lock", "", "it is empty"), ValueError, ["lock", "''", "it is empty"]),
    (oc.InvalidOption("ttl", "0 is too short", "give more"), ValueError, ["ttl", "give more"]),
    (oc.UnknownChannelType("x", ("db", "file"), None), LookupError, ["'x'", "db, file"]),
    (
        oc.UnknownChannelType("redis", ("db",), "ojobchannels-redis"),
        LookupError,
        ["'redis'", "pip install ojobchannels-redis"],
    ),
    (oc.DuplicateChannelType("x", ("one", "two")), LookupError, ["'x'", "one", "two"]),
    (oc.PluginFailed("x", "dist", "ImportError('y')"), ImportError, ["'x'", "dist", "'y'"]),
    (oc.NotSupported("orders", "2 entries", "store one"), NotImplementedError, ["'orders'"]),
    (oc.ChannelUnavailable("orders", "no such host", "look"), ConnectionError, ["no such host"]),
    (oc.InvalidBackend("acme", "Acme", "it lacks `get`"), TypeError, ["Acme", "'acme'", "`get`"]),
    (oc.StorageFull("orders", "disk full", "free space"), ConnectionError, ["free space"]),
    (oc.ChannelDamaged("orders", "/x.json", "empty", "mend"), ValueError, ["/x.json", "mend"]),
    (oc.ChannelTimeout("orders", "work", 0.5), TimeoutError, ["'orders'", "0.5 s", "work"]),
    (oc.ChannelClosed("orders"), RuntimeError, ["'orders'", "open it again"]),
    (oc.WrongEventLoop("channel 'orders'", "no loop", "open one"), RuntimeError, ["'orders': no"]),
    (oc.OutcomeUnknown("orders", "pop", "look first"), ConnectionError, ["pop", "look first"]),
    (oc.StaleFence("orders", {"id": 1}, 5, 7), PermissionError, ["{'id': 1}", "5", "7"]),
    (
        oc.LockBusy("orders", "nightly", {"host": "a", "pid": 1, "x": "y"}, 3.5, 2.0),
        TimeoutError,
        ["'nightly'", "'orders'", "host a, pid 1", "3.5 s", "waiting 2 s"],
    ),
    (oc.LockBusy("orders", "nightly", {}, 0, 0), TimeoutError, ["an unknown holder"]),
    (
        oc.WouldDeadlock("orders", "nightly", {"host": "a", "pid": 1}, 3.5, 0),
        oc.LockBusy,
        ["'nightly'", "'orders'", "not reentrant"],
    ),
    (
        oc.LockBusy("orders", "nightly", {"next": "the longest-waiting process"}, 0.1, 0),
        TimeoutError,
        ["held by no process, but reserved for the longest-waiting process"],
    ),
    (oc.LockLost("orders", "nightly", 7, "the lease expired"), RuntimeError, ["'nightly'", "7"]),
    (oc.JobError("any"), Exception, ["any"]),
    (oc.UnknownJob("clean", ("cleanup",), "cleanup"), LookupError, ["'clean'", "did you mean"]),
    (oc.UnknownLaunch("4f3c"), LookupError, ["'4f3c'", "prune"]),
    (oc.LaunchFailed("4f3c", "send", "failed", "no net"), RuntimeError, ["'send'", "no net"]),
    (oc.ResultNotKept("4f3c", "send", "it is not JSON"), ValueError, ["'send'", "not JSON"]),
    (oc.UnknownSchedule("x", ("nightly",), None), LookupError, ["'x'", "'nightly'"]),
    (oc.NoDaemon("nightly", "no daemon is alive"), RuntimeError, ["'nightly'", "alive"]),
    (oc.RunNotStarted("end", "report"), RuntimeError, ["end", "'report'"]),
    (oc.RunCancelled("report", "1a2b", "ann@db1", "stuck"), RuntimeError, ["ann@db1: stuck"]),
    (WrongRun("1a2b", "it has ended", "see history"), LookupError, ["1a2b", "it has ended"]),
    (oc.JobTimeout("report", 5), TimeoutError, ["'report'", "5 s"]),
    (oc.CodeFailed("a.yaml:3", "x is 5", "mend x"), RuntimeError, ["a.yaml:3", "mend x"]),
    (oc.CodeFault("no word", 3, 5), ValueError, ["line 3", "column 5", "no word"]),
    (
        oc.LogFileUnavailable("logs/a.log", "Permission denied"),
        OSError,
        ["logs/a.log", "Permission denied", "logFolder"],
    ),
    (
        oc.JobFileError((Diagnostic("a.yaml", 3, 5, "jobs[0]", "no name", "add one"),)),
        ValueError,
        ["a.yaml:3:5", "jobs[0]", "no name", "add one"],
    ),
    (
        oc.FireTimeTaken("report", 1_795_411_764_275),
        RuntimeError,
        ["'report'", "2026-11-23T05:29:24.275Z"],
    ),
    (oc.NoThread("the job 'a'"), RuntimeError, ["the job 'a'", "ulimit -u"]),
    (oc.RunsAlready("a.yaml", "a.pid", 12), RuntimeError, ["a.yaml", "process 12", "'a.pid'"]),
    (oc.RunsAlready("a.yaml", "a.pid", None), RuntimeError, ["a.yaml", "another process"]),
    (errors.InvalidJobArgs("job 'x'", "no y", "give y"), ValueError, ["job 'x'", "give y"]),
    (
        errors.RunAbandoned("nightly", "7f3a", "its process died"),
        RuntimeError,
        ["run 7f3a of job 'nightly' was abandoned", "its process died"],
    ),
    (
        errors.AlertNotSent("webhook https://example.org", "status 500"),
        RuntimeError,
        ["webhook https://example.org", "status 500"],
    ),
    (
        oc.RateLimited("nightly", "10/1m", 12.5, 0),
        TimeoutError,
        ["job 'nightly' cannot start", "rate limit 10/1m", "12.5 s"],
    ),
    (
        errors.JobLocked("locks", "nightly", {"host": "a", "pid": 7}, 12.5, 0),
        oc.LockBusy,
        ["Can't lock to execute job 'nightly'", "host a, pid 7", "12.5 s", "`ifRunning: skip`"],
    ),
    (
        errors.ManagerClosed("jobs", "launch job 'x'"),
        oc.ChannelClosed,
        ["cannot launch job 'x': the job manager on channel 'jobs' is closed", "create a new"],
    ),
    (errors.JobMisuse("x", "no run", "start one"), RuntimeError, ["'x'", "start one"]),
]
IDS = [f"{type(error).__name__}-{number}" for number, (error, _, _) in enumerate(SAMPLES)]


def all_errors() -> set[type[errors.ChannelError]]:
    found = set()
    to_see = [errors.ChannelError]
    while to_see:
        kind = to_see.pop()
        found.add(kind)
        to_see += kind.__subclasses__()
    return {kind for kind in found if kind.__module__ == "ojobchannels.errors"}


def test_there_is_a_sample_of_every_error() -> None:
    """So that what is tested below is tested of all."""
    assert all_errors() - {type(error) for error, _, _ in SAMPLES} == {errors.ChannelError}


def test_every_public_error_is_in_one_tree() -> None:
    """`except ChannelError` catches every error that we raise on purpose."""
    public = [
        value
        for name in oc.__all__
        if inspect.isclass(value := getattr(oc, name)) and issubclass(value, BaseException)
    ]
    assert len(public) > 20
    assert all(issubclass(kind, oc.ChannelError) for kind in public)


@pytest.mark.parametrize(("error", "builtin", "parts"), SAMPLES, ids=IDS)
def test_an_error_is_its_natural_builtin_too(
    error: errors.ChannelError, builtin: type[Exception], parts: list[str]
) -> None:
    """Code that knows only Python's own errors still does the right thing; the message helps."""
    assert isinstance(error, oc.ChannelError)
    assert isinstance(error, builtin)
    for part in parts:
        assert part in str(error)
    assert str(error) == str(error).strip()
    assert repr(error).startswith(type(error).__name__)


def facts(error: BaseException) -> dict[str, Any]:
    return dict(vars(error))


@pytest.mark.parametrize("error", [error for error, _, _ in SAMPLES], ids=IDS)
@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_an_error_survives_pickling(error: errors.ChannelError, protocol: int) -> None:
    """Class, message and facts are the same on the other side of a process."""
    for again in (
        pickle.loads(pickle.dumps(error, protocol)),
        copy.copy(error),
        copy.deepcopy(error),
    ):
        assert type(again) is type(error)
        assert str(again) == str(error)
        assert again.args == error.args
        assert facts(again) == facts(error)


def test_notes_survive_pickling() -> None:
    """A copy has the notes of the original."""
    error = oc.ChannelClosed("orders")
    error.add_note("and at its end")
    again = pickle.loads(pickle.dumps(error))
    assert again.__notes__ == ["and at its end"]


@pytest.mark.parametrize("error", [error for error, _, _ in SAMPLES], ids=IDS)
def test_facts_are_attributes(error: errors.ChannelError) -> None:
    """Every argument of the constructor can be read back under its name."""
    parameters = list(inspect.signature(type(error).__init__).parameters)[1:]
    named = [name for name in parameters if name not in ("args", "kwargs")]
    assert set(named) == set(facts(error)) or type(error) is oc.JobError


def test_long_names_are_cut_in_messages() -> None:
    """A lock name of 4 KiB does not fill the terminal; the attribute has the full name."""
    error = oc.LockLost("orders", "n" * 4096, 7, "the lease expired")
    assert len(str(error)) < 400
    assert error.name == "n" * 4096


def test_the_drivers_error_is_the_cause(tmp_path: Any) -> None:
    """It never reaches the user bare, but is the only one in `__cause__` and the traceback."""
    path = tmp_path / "x.db"
    path.write_bytes(b"no database" * 100)
    with pytest.raises(oc.ChannelDamaged) as damaged:
        oc.open_channel("test", type="db", file=path)
    assert _chain(damaged.value) == ["ChannelDamaged", "DatabaseError"]
    path = tmp_path / "x.json"
    path.write_bytes(b"no JSON")
    with pytest.raises(oc.ChannelDamaged) as damaged:
        oc.open_channel("test", type="file", file=path)
    assert _chain(damaged.value) == ["ChannelDamaged", "Unreadable"]


def _chain(error: BaseException | None) -> list[str]:
    """Return the types of the errors that a traceback shows, the last one first."""
    shown = []
    while error is not None:
        shown.append(type(error).__name__)
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return shown
