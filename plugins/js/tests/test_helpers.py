"""The names that JavaScript has at hand."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from ojobchannels import JobManager, LockLost

Body = Callable[..., list[str]]


def test_lines_are_told_with_their_levels(body: Body) -> None:
    """`log`, `logWarn` and `logErr` tell text as it is, and maps as JSON."""
    told = body('log("a", 1, null, undefined); logWarn({a: [1]}); logErr(new TypeError("no"));')
    assert told == ["a 1 null undefined", 'warning: {"a":[1]}', "error: TypeError: no"]


def test_print_writes_to_standard_output(body: Body, capsys: pytest.CaptureFixture[str]) -> None:
    """`print` writes a line, which is told to nobody else."""
    assert body('print("Größe: " + 5)') == []
    assert capsys.readouterr().out == "Größe: 5\n"


def test_null_is_defined_and_undefined_is_not(body: Body) -> None:
    """`isDef` and `isUnDef` know undefined alone."""
    assert body("log(isDef(null), isDef(undefined), isDef(args.nope), isUnDef(args.nope))") == [
        "true false false true"
    ]


def test_the_environment_is_at_hand(body: Body, monkeypatch: pytest.MonkeyPatch) -> None:
    """`getEnv` gives the variables of the process, and undefined for one that is not set."""
    monkeypatch.setenv("INSTANCE_ID", "node-7")
    assert body('log(getEnv("INSTANCE_ID"), getEnv("NO_SUCH_VARIABLE"))') == ["node-7 undefined"]


def test_time_is_told_and_waited_for(body: Body) -> None:
    """`nowUTC` counts milliseconds since 1970, and `sleep` lets at least so many pass."""
    before = time.time() * 1000
    told = body("var then = nowUTC(); sleep(30, true); log(then, nowUTC() - then >= 29)")
    moment, slept = told[0].split()
    assert int(before) <= int(moment) <= time.time() * 1000
    assert slept == "true"


def test_args_come_in_and_changes_go_out(run: Callable[..., Any]) -> None:
    """What code changes, adds or deletes in `args` is so for the next step; the rest is untouched.

    An integer beyond what JavaScript can tell apart comes through unharmed, if it is let alone.
    """
    result, told = run(
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
    assert told[0] == "A: " + str(
        [
            ("added", {"when": "1970-01-01T00:00:00.000Z"}),
            ("big", 9007199254740993),
            ("list", [1, 2.5]),
            ("same", {"a": None}),
        ]
    )


def test_another_map_may_take_the_place_of_args(body: Body) -> None:
    """`args = {…}` replaces the map; anything else in its place is an error of the code."""
    assert body("args = {a: 1}; log(args)", b=2) == ['{"a":1}']


def test_a_channel_stores_and_finds(body: Body) -> None:
    """The operations of `$ch` are those of the channel, with undefined for what is not there."""
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


def test_another_job_is_called(run: Callable[..., Any]) -> None:
    """`$job` runs a job and gives its answer, whatever language that is in."""
    result, told = run(
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
    assert "A: 42" in told


def test_a_launched_job_is_watched(run: Callable[..., Any]) -> None:
    """A launch has a state and a result, for which code can wait."""
    result, told = run(
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
    assert "A: 7 completed true" in told


def test_a_lock_is_taken_from_its_holder(run: Callable[..., Any], manager: JobManager) -> None:
    """`jobLocks.unlock` frees a lock, and tells whose it was; without a name it is an error."""
    lease = manager.locks.lock("stuck", ttl=60)
    result, told = run(
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
    assert "Unlock: true" in told
    assert any("warning: the lock 'stuck' was taken from its holder: " in line for line in told)
    assert "unlock needs the name of a lock" in told[-1]
    with pytest.raises(LockLost):
        lease.release()


def test_without_a_manager_there_is_none(body: Body) -> None:
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
def test_lists_are_asked(body: Body, query: str) -> None:
    """`$from` filters, sorts, groups and sums up."""
    items = 'var it = [{n: 3, g: "a"}, {n: 2, g: "b"}, {n: 1, g: "a"}];'
    assert body(f"{items}\nlog({query});") == [QUERIES[query]]


def test_yaml_is_written_and_read(body: Body) -> None:
    """`af.toYAML` keeps the order of keys, and `af.fromYAML` reads it again."""
    told = body('var text = af.toYAML({b: [1, "x"], a: null}); log(text); log(af.fromYAML(text));')
    assert told == ["b:\n- 1\n- x\na: null\n", '{"b":[1,"x"],"a":null}']
