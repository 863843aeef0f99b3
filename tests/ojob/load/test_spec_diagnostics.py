"""Diagnostics of keys, types and values of a job file."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.ojob.load.conftest import CheckReport

CASES = {  # the text of the file; what is reported, after its name
    "an empty file": (
        "",
        "1:1: the file is empty; write `jobs` and a `todo`",
    ),
    "an empty document": (
        "---\n",
        "1:1: the file is empty; write `jobs` and a `todo`",
    ),
    "a list as the whole file": (
        "- a",
        "1:1: expected a map, found a list; a job file has `jobs` and a `todo`",
    ),
    "a misspelled section": (
        "job: []",
        "1:1: job: unknown key `job`; did you mean `jobs`?",
    ),
    "a misspelled key": (
        "jobs:\n- name: A\n  exce: pass",
        "3:3: jobs[0].exce: unknown key `exce`; did you mean `exec`?",
    ),
    "a key unlike any known key": (
        "jobs:\n- name: A\n  zzz: 1",
        "3:3: jobs[0].zzz: unknown key `zzz`; known: `name`, `type`, `typeArgs`, `lang`, "
        "`deps`, `args`, `from`, `exec`, `to`, `each`, `check`, `catch`",
    ),
    "a missing name": (
        "jobs:\n- exec: pass",
        "2:3: jobs[0]: `name` is missing; write `name: …`",
    ),
    "a name that is a number": (
        "jobs:\n- name: 5",
        "2:9: jobs[0].name: expected a string, found the number 5; quote it",
    ),
    "an empty name": (
        "jobs:\n- name: ''",
        "2:9: jobs[0].name: the name is empty; write a name",
    ),
    "text as a job": (
        "jobs:\n- A",
        "2:3: jobs[0]: expected a map, found a string; write `key: value` after the dash",
    ),
    "a list as args": (
        "jobs:\n- name: A\n  args: [1]",
        "3:9: jobs[0].args: expected a map, found a list; write `key: value` below it",
    ),
    "args that are not JSON": (
        "jobs:\n- name: A\n  args: {a: {b: .nan}}",
        "3:17: jobs[0].args.a.b: nan is not JSON; quote it",
    ),
    "args beyond 64 bits": (
        "jobs:\n- name: A\n  args: {a: 18446744073709551616}",
        "3:13: jobs[0].args.a: the integer does not fit into 64 bits; quote it",
    ),
    "a template without a name": (
        "jobs:\n- name: A\n  args:\n    a: 'x {{#if b}}'",
        "4:8: jobs[0].args.a: `{{#if b}}` is not a valid template; write {{name}} or "
        "${name:-default}, or put a backslash before it to use it literally",
    ),
    "a template that is not closed": (
        "jobs:\n- name: A\ntodo:\n- name: A\n  args:\n  - a: '${b'",
        "6:8: todo[0].args[0].a: the template that begins with `${` is not closed, or contains "
        "braces; close it with `}`, or put a backslash before it to use it literally",
    ),
    "an invalid field of cron": (
        "jobs:\n- name: A\n  typeArgs:\n    cron: '*/5 25 * * *'",
        "4:16: jobs[0].typeArgs.cron: `25` is not a valid hour; write 0 to 23, `*`, or "
        "lists, ranges and "
        "steps of these",
    ),
    "a cron with too few fields": (
        "jobs:\n- name: A\n  typeArgs:\n    cron: 5 4 * *",
        "4:11: jobs[0].typeArgs.cron: '5 4 * *' has 4 fields, not five or six; write [second] "
        "minute hour day-of-month month day-of-week",
    ),
    "a cron that never fires": (
        "jobs:\n- name: A\n  typeArgs:\n    cron: 0 0 31 4,6 *",
        "4:11: jobs[0].typeArgs.cron: '0 0 31 4,6 *' never fires: there is no such date; change "
        "the fields",
    ),
    "an unknown shorthand of cron": (
        "jobs:\n- name: A\n  typeArgs:\n    cron: '@dayly'",
        "4:12: jobs[0].typeArgs.cron: unknown shorthand `@dayly`; did you mean `@daily`?",
    ),
    "both cron and timeInterval": (
        "jobs:\n- name: A\n  typeArgs:\n    cron: '@daily'\n    timeInterval: 5000",
        "5:5: jobs[0].typeArgs.timeInterval: `cron` and `timeInterval` both say when the job "
        "runs; remove one of them",
    ),
    "an interval of zero": (
        "jobs:\n- name: A\n  typeArgs:\n    timeInterval: 0",
        "4:19: jobs[0].typeArgs.timeInterval: 0 is out of range; write milliseconds, 1 or more, "
        "such as 60000",
    ),
    "text as an interval": (
        "jobs:\n- name: A\n  typeArgs:\n    timeInterval: 5s",
        "4:19: jobs[0].typeArgs.timeInterval: expected an integer, found a string; write "
        "milliseconds, 1 or more, such as 60000",
    ),
    "an unknown misfire": (
        "jobs:\n- name: A\n  typeArgs:\n    cron: '@daily'\n    misfire: last",
        "5:14: jobs[0].typeArgs.misfire: unknown misfire 'last'; write `latest`, `all` or `none`",
    ),
    "once without a schedule": (
        "jobs:\n- name: A\n  typeArgs:\n    once: true",
        "4:5: jobs[0].typeArgs.once: `once` only applies to jobs with a schedule; write `cron` "
        "or `timeInterval` beside it",
    ),
    "text as a flag": (
        "ojob:\n  daemon: yes",
        "2:11: ojob.daemon: expected a boolean, found a string; write `true` or `false`",
    ),
    "an unknown time zone": (
        "ojob:\n  timezone: Europe/Lisbn",
        "2:13: ojob.timezone: unknown time zone 'Europe/Lisbn'; did you mean `Europe/Lisbon`?",
    ),
    "an unsupported setting": (
        "ojob: {logArgs: true}",
        "1:8: ojob.logArgs: `logArgs` is not supported here; log them in the code; the records "
        "of managed runs contain their args",
    ),
    "a periodic job without a schedule": (
        "jobs:\n- name: A\n  type: periodic",
        "3:9: jobs[0].type: a periodic job needs a schedule; write `cron` or `timeInterval` in "
        "`typeArgs`",
    ),
    "a simple job with a schedule": (
        "jobs:\n- name: A\n  type: simple\n  typeArgs: {cron: '@daily'}",
        "4:14: jobs[0].typeArgs.cron: a job of `type: simple` does not take `cron`; remove `type`",
    ),
    "a subscribe job without a channel": (
        "jobs:\n- name: A\n  type: subscribe",
        "3:9: jobs[0].type: a job of `type: subscribe` needs a channel; name it in `typeArgs`: "
        "`chSubscribe: orders`",
    ),
    "a channel for a scheduled job": (
        "jobs:\n- name: A\n  typeArgs: {cron: '@daily', chSubscribe: orders}",
        "3:30: jobs[0].typeArgs.chSubscribe: `chSubscribe` only applies to jobs of `type: "
        "subscribe`; write `type: subscribe`, or remove it",
    ),
    "an unknown type": (
        "jobs:\n- name: A\n  type: simpel",
        "3:9: jobs[0].type: unknown type 'simpel'; write `simple`, `periodic`, `subscribe`, "
        "`shutdown` or `jobs`",
    ),
    "an unsupported file of code": (
        "jobs:\n- name: A\n  execFile: a.py",
        "3:3: jobs[0].execFile: `execFile` is not supported here; write the code under `exec`, "
        "or import a module from it",
    ),
    "an old alias": (
        "jobs:\n- name: A\n  onerror: pass",
        "3:3: jobs[0].onerror: `onerror` is not supported here; write `catch`",
    ),
    "an unsupported id of a call": (
        "jobs:\n- name: A\ntodo:\n- {name: A, id: x}",
        "4:13: todo[0].id: `id` is not supported here; remove it: the record of each call has an "
        "id",
    ),
    "an unknown shortcut": (
        "todo:\n- (if): 'x'",
        "2:3: todo[0]['(if)']: no job declares the shortcut `(if)`; call a job by its `name`, "
        "with `args`",
    ),
    "a todo entry with two jobs": (
        "jobs:\n- name: A\ntodo:\n- {name: A, job: A}",
        "4:3: todo[0]: expected either `name` or `job`; write one of them",
    ),
    "zero threads": (
        "ojob: {numThreads: 0}",
        "1:20: ojob.numThreads: 0 is out of range; write 1 to 1000",
    ),
    "threads in quotes": (
        "ojob: {numThreads: '4'}",
        "1:20: ojob.numThreads: expected an integer, found a string; write 1 to 1000",
    ),
    "a number as a todo entry": (
        "todo: [5]",
        "1:8: todo[0]: expected a name or a map, found the number 5; quote it",
    ),
    "an empty element of the todo": (
        "todo: [~]",
        "1:8: todo[0]: expected a name or a map, found nothing; write one, or remove the dash",
    ),
    "an empty name in the todo": (
        "todo: ['']",
        "1:8: todo[0]: the name is empty; write a name",
    ),
    "text as the todo": (
        "jobs:\n- name: A\ntodo: A",
        "3:7: todo: expected a list, found a string; write the name of each job after a dash",
    ),
    "a map as jobs": (
        "jobs:\n  A:\n    exec: pass",
        "2:3: jobs: expected a list, found a map; write each one as `- name: …`",
    ),
    "a number as deps": (
        "jobs:\n- name: A\n  deps: 3",
        "3:9: jobs[0].deps: expected a name or a list of names, found the number 3; quote it",
    ),
    "a map as deps": (
        "jobs:\n- name: A\n  deps: {B: 1}",
        "3:9: jobs[0].deps: expected a name or a list of names, found a map; write `deps: [one, "
        "another]`",
    ),
    "a list as code": (
        "jobs:\n- name: A\n  exec: [pass, pass]",
        "3:9: jobs[0].exec: expected a string, found a list; write `|` after the key, and the code "
        "below it",
    ),
    "code in a list of jobs": (
        "jobs:\n- name: A\n  catch: [log(1)]",
        "3:11: jobs[0].catch[0]: unknown job 'log(1)'; write code under `catch` by itself, "
        "not in a list",
    ),
    "a map as catch": (
        "jobs:\n- name: A\n  catch: {a: b}",
        "3:10: jobs[0].catch: expected a job, a list of jobs, or code, found a map; write `|` "
        "after the key, and code below it",
    ),
    "text as args of a todo entry": (
        "jobs:\n- name: A\ntodo:\n- {name: A, args: a=1}",
        "4:19: todo[0].args: expected a map or a list of maps, found a string; write `key: value` "
        "below it",
    ),
    "a list as a name": (
        "jobs:\n- name: [A]",
        "2:9: jobs[0].name: expected a string, found a list; write one name",
    ),
    "no space after a colon": (
        "jobs:\n- name:A",
        "2:3: jobs[0]: expected a map, found a string; put a space after the colon",
    ),
    "no space after a dash": (
        "-name: A",
        "1:1: -name: unknown key `-name`; put a space after the dash",
    ),
    "a key of a job at the top level": (
        "exec: pass",
        "1:1: exec: `exec` does not belong here; it belongs in a job: write it below `jobs`, "
        "after `- name: …`",
    ),
    "the todo inside a job": (
        "jobs:\n- name: A\n  todo: [A]",
        "3:3: jobs[0].todo: `todo` does not belong here; it belongs at the top level of the "
        "file: do not indent it",
    ),
    "an invisible character in a key": (
        "jobs:\n- name: A\n  \u200bexec: pass",
        "3:3: jobs[0]['\\u200bexec']: the key contains the character U+200B; type the key again",
    ),
    "a job name as a key in the todo": (
        "jobs:\n- name: A\ntodo:\n- A: {x: 1}",
        "4:3: todo[0].A: unknown key `A`; write `- name: A`, and below it `args` and the other "
        "keys",
    ),
    "an invalid key in args": (
        'jobs:\n- name: A\n  args: {"a\\0": 1}',
        "3:10: jobs[0].args['a\\x00']: the field name 'a\\x00' contains NUL; remove it: args are "
        "JSON documents",
    ),
    "a lone surrogate in a name": (
        'jobs:\n- name: "\\ud800"',
        "2:9: jobs[0].name: the string contains a lone surrogate; write the character itself",
    ),
    "a duplicate expected argument": (
        "help:\n  expects:\n  - name: a\n  - {name: a, mandatory: true}",
        "4:12: help.expects[1].name: duplicate argument 'a'; the first is on line 3; remove one "
        "of them",
    ),
    "an empty option": (
        "help:\n  expects:\n  - name: a\n    options:\n    - 1\n    -",
        "6:6: help.expects[0].options[1]: expected a string, a number or a boolean, found nothing; "
        "write one, or remove the dash",
    ),
    "a list as an example": (
        "help: {expects: [{name: a, example: [1]}]}",
        "1:37: help.expects[0].example: expected a string, a number or a boolean, found a list; "
        "write one of these",
    ),
    "a list as a text": (
        "jobs:\n- name: A\n  typeArgs: {lock: [a, b]}",
        "3:20: jobs[0].typeArgs.lock: expected a string, found a list; write `lock: …`, and quote "
        "what YAML would take for something else",
    ),
    "an empty rule": (
        "jobs:\n- name: A\n  check: {in: {a: }}",
        "3:16: jobs[0].check.in.a: expected a string, found nothing; write one, or remove the key",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_an_invalid_key_or_value_is_reported(case: str, check_report: CheckReport) -> None:
    """The diagnostic has its position, its path, and what to do."""
    check_report(*CASES[case])
