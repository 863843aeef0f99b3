"""The names that a block of JavaScript can use."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ojobchannels import JobManager, LockLost

Body = Callable[..., list[str]]


def test_lines_are_reported_with_their_levels(body: Body) -> None:
    """`log`, `logWarn` and `logErr` write text as it is, and maps as JSON."""
    reported = body('log("a", 1, null, undefined); logWarn({a: [1]}); logErr(new TypeError("no"));')
    assert reported == ["a 1 null undefined", 'warning: {"a":[1]}', "error: TypeError: no"]


def test_print_writes_to_standard_output(body: Body, capsys: pytest.CaptureFixture[str]) -> None:
    """`print` writes a line, which is not reported as a log line."""
    assert body('print("Größe: " + 5)') == []
    assert capsys.readouterr().out == "Größe: 5\n"


def test_null_is_defined_and_undefined_is_not(body: Body) -> None:
    """For `isDef` and `isUnDef`, only undefined is undefined."""
    assert body("log(isDef(null), isDef(undefined), isDef(args.nope), isUnDef(args.nope))") == [
        "true false false true"
    ]


def test_get_env_reads_the_environment(body: Body, monkeypatch: pytest.MonkeyPatch) -> None:
    """`getEnv` returns a variable of the process, and undefined for one that is not set."""
    monkeypatch.setenv("INSTANCE_ID", "node-7")
    assert body('log(getEnv("INSTANCE_ID"), getEnv("NO_SUCH_VARIABLE"))') == ["node-7 undefined"]


def test_now_utc_and_sleep_work(body: Body) -> None:
    """`nowUTC` returns milliseconds since 1970, and `sleep` waits at least as long as asked."""
    before = time.time() * 1000
    reported = body("var then = nowUTC(); sleep(30, true); log(then, nowUTC() - then >= 29)")
    moment, slept = reported[0].split()
    assert int(before) <= int(moment) <= time.time() * 1000
    assert slept == "true"


def test_changes_of_args_reach_the_next_step(run: Callable[..., Any]) -> None:
    """Args that the code changes, adds or deletes are so for the next step; the rest is unchanged.

    An integer that JavaScript cannot represent stays intact if the code leaves it alone.
    """
    result, reported = run(
        """\
        jobs:
        - name: Show
          lang: python
          exec: log(sorted(args.items()))
        - name: A
          to: Show
          args: {big: 9007199254740993, gone: 1, list: [1], same: {a: null}}
          exec: |
            delete args.gone;
            args.list.push(2.5);
            args.added = {when: new Date(0), nothing: undefined};
        todo: [A]
        """
    )
    assert result.exit_status == 0
    assert reported[0] == "A: " + str(
        [
            ("added", {"when": "1970-01-01T00:00:00.000Z"}),
            ("big", 9007199254740993),
            ("list", [1, 2.5]),
            ("same", {"a": None}),
        ]
    )


def test_args_can_be_replaced_by_another_map(body: Body) -> None:
    """`args = {…}` replaces the map; another type is an error of the code."""
    assert body("args = {a: 1}; log(args)", b=2) == ['{"a":1}']


def test_a_channel_has_its_operations(body: Body) -> None:
    """The operations of `$ch` are those of the channel, with undefined for a missing value."""
    assert body(
        """\
        var ch = $ch("things").create("simple");
        ch.set({id: 1}, {id: 1, state: "new"});
        ch.setAll(["id"], [{id: 2, state: "old"}, {id: 3, state: "old"}]);
        log(ch.size(), ch.get({id: 1}).state, ch.get({id: 9}), ch.get("none"));
        log(ch.getAll({state: "old"}).map(it => it.id), ch.getKeys().length);
        log(ch.getSet({state: "new"}, {id: 1}, {id: 1, state: "taken"}));
        log(ch.getSet({state: "new"}, {id: 1}, {id: 1, state: "again"}));
        ch.set("nothing", null);
        log(ch.get("nothing"));
        ch.unset("nothing");
        ch.forEach((key, value) => log(key.id + value.state));
        log(ch.shift().id, ch.pop().id, ch.size(), ch.shift(), ch.pop());
        """
    ) == [
        "3 new undefined undefined",
        "[2,3] 3",
        '{"id":1,"state":"new"}',
        "undefined",
        "null",
        "2old",
        "3old",
        "1taken",
        '2 1 1 {"id":3,"state":"old"} undefined',
    ]


def test_a_channel_is_created_and_destroyed_as_in_openaf(body: Body, tmp_path: Path) -> None:
    """A first argument about compression is ignored, and `list` has the open channels."""
    assert body(
        f"""\
        var ch = $ch("things").create(1, "db", {{file: "{tmp_path}/things.db"}});
        ch.set("a", 1);
        log($ch().list(), $ch("things").size());
        ch.destroy();
        log(ch.size());
        """
    ) == ['["things"] 1', "0"]


def test_a_subscriber_gets_present_entries_and_later_changes(body: Body) -> None:
    """Later changes come while the block sleeps, until it unsubscribes."""
    assert body(
        """\
        var ch = $ch("things").create();
        ch.set({id: 1}, "old");
        var seen = 0;
        var it = ch.subscribe((name, op, k, v) => { log(name, op, k.id, v); seen++; });
        ch.set({id: 2}, "new");
        while (seen < 2) sleep(10);
        ch.unset({id: 1});
        while (seen < 3) sleep(10);
        ch.unsubscribe(it);
        ch.set({id: 3}, "never");
        sleep(30);
        """
    ) == ["things set 1 old", "things set 2 new", "things unset 1 undefined"]


def test_the_locks_channel_shows_held_locks(run: Callable[..., Any], manager: JobManager) -> None:
    """Locks are not documents, but a reader of the channel finds them, with their holders."""
    with manager.locks.lock("nightly", ttl=60, holder={"job": "nightly"}):
        _, reported = run(
            """\
            include: [oJobManager.yaml]
            jobs:
            - name: A
              exec: |
                var locks = $ch("oJobManager-locks");
                log(locks.getAll().map(it => [it.lock, it.value, it.timeout > nowUTC(), it.job]));
                log(locks.size(), locks.getKeys(), locks.get({lock: "nightly"}).job);
            todo: [oJobManager Init, A]
            """
        )
    assert reported[:2] == [
        'A: [["nightly",true,true,"nightly"]]',
        'A: 1 [{"lock":"nightly"}] nightly',
    ]


def test_another_job_can_be_called(run: Callable[..., Any]) -> None:
    """`$job` runs a job and returns its result, in whatever language it is."""
    result, reported = run(
        """\
        jobs:
        - name: Double
          typeArgs: {lang: python}
          exec: return args["n"] * 2
        - name: A
          exec: |
            log($job("Double", {n: 21}));
        todo: [A]
        """
    )
    assert result.exit_status == 0
    assert "A: 42" in reported


def test_a_launched_job_has_a_handle(run: Callable[..., Any]) -> None:
    """A launch has a state and a result, for which code can wait."""
    result, reported = run(
        """\
        jobs:
        - name: Child
          exec: |
            return {got: args.n};
        - name: A
          exec: |
            var launch = global.oJobManagerLaunchJob("Child", {n: 7});
            log(launch.result().got, launch.state(), launch.done());
        todo: [A]
        """
    )
    assert result.exit_status == 0
    assert "A: 7 completed true" in reported


def test_a_lock_can_be_force_released(run: Callable[..., Any], manager: JobManager) -> None:
    """`jobLocks.unlock` releases a lock and reports its holder; without a name it is an error."""
    lease = manager.locks.lock("stuck", ttl=60)
    result, reported = run(
        """\
        include: [oJobManager.yaml]
        jobs:
        - name: Init
          to: oJobManager Init
        - name: Unlock
          exec: |
            log(isDef(global.__oJobManager));
            global.__oJobManager.jobLocks.unlock(args.jobName);
        - name: Unlock Nothing
          exec: global.__oJobManager.jobLocks.unlock(args.nope);
        todo: [Init, Unlock, Unlock Nothing]
        """,
        jobName="stuck",
    )
    assert result.exit_status == 1
    assert manager.locks.lock_info("stuck") is None
    assert "Unlock: true" in reported
    assert any(
        "warning: the lock 'stuck' was force-released; its holder was: " in line
        for line in reported
    )
    assert "unlock needs the name of a lock" in reported[-1]
    with pytest.raises(LockLost):
        lease.release()


def test_the_manager_is_undefined_until_it_is_open(body: Body) -> None:
    """`global.__oJobManager` is undefined until the manager is open."""
    assert body("log(isDef(global.__oJobManager))") == ["false"]


QUERIES = {
    '$from(it).where("n", 2).select()': '[{"n":2,"g":"b"}]',
    '$from(it).sort("-n").select(x => x.n)': "[3,2,1]",
    '$from(it).sort("g", "-n").select(x => x.n)': "[3,1,2]",
    '$from(it).greater("n", 1).less("n", 3).count()': "1",
    "$from(it).filter(x => x.n != 1).select({n: 0, h: 5})": '[{"n":3,"h":5},{"n":2,"h":5}]',
    '$from(it).groupBy("g").select(g => g.key + g.items.length)': '["a2","b1"]',
    '$from(it).average("n")': "2",
    '$from([{e: 5, s: 1}, {e: 9, s: 3}]).average("e", "s")': "5",
    "$from([]).average()": "undefined",
    '$from(it).sum("n") + $from(it).min("n").n + $from(it).max("n").n': "10",
    '$from(it).distinct("g")': '["a","b"]',
    "$from(it).head(1).first().n + ($from([]).first() ?? 4)": "7",
    '$from(it).starts("g", "a").any()': "true",
    "$from(undefined).select()": "[]",
}


@pytest.mark.parametrize("query", QUERIES)
def test_lists_can_be_queried(body: Body, query: str) -> None:
    """`$from` filters, sorts, groups and aggregates."""
    items = 'var it = [{n: 3, g: "a"}, {n: 2, g: "b"}, {n: 1, g: "a"}];'
    assert body(f"{items}\nlog({query});") == [QUERIES[query]]


def test_yaml_is_written_and_read(body: Body) -> None:
    """`af.toYAML` keeps the order of keys, and `af.fromYAML` reads it back."""
    reported = body(
        'var text = af.toYAML({b: [1, "x"], a: null}); log(text); log(af.fromYAML(text));'
    )
    assert reported == ["b:\n- 1\n- x\na: null\n", '{"b":[1,"x"],"a":null}']
