"""A faulty job file: every fault is told, each with its place and what to do, and nothing runs.

Most of it is one table, from which a reader learns all messages; so it is longer than others.
"""

from __future__ import annotations

import errno
import os
import pickle
import re
from pathlib import Path
from textwrap import dedent

import pytest

from ojobchannels.errors import JobFileError
from ojobchannels.ojob import check_file, run_file

FAULTS = {  # what is in the file; what is told of it, after its name
    "an empty file": (
        "",
        "1:1: the file is empty; write `jobs` and a `todo`",
    ),
    "a list": (
        "- a",
        "1:1: expected a map, found a list; a job file has `jobs` and a `todo`",
    ),
    "a misspelt section": (
        "job: []",
        "1:1: job: unknown key `job`; did you mean `jobs`?",
    ),
    "a misspelt key": (
        "jobs:\n- name: A\n  exce: pass",
        "3:3: jobs[0].exce: unknown key `exce`; did you mean `exec`?",
    ),
    "a key like nothing known": (
        "jobs:\n- name: A\n  zzz: 1",
        "3:3: jobs[0].zzz: unknown key `zzz`; known here: `name`, `type`, `typeArgs`, `lang`, "
        "`deps`, `args`, `from`, `exec`, `to`, `each`, `check`, `catch`",
    ),
    "no name": (
        "jobs:\n- exec: pass",
        "2:3: jobs[0]: `name` is missing; write `name: …`",
    ),
    "a name that is a number": (
        "jobs:\n- name: 5",
        "2:9: jobs[0].name: expected text, found the number 5; quote it",
    ),
    "an empty name": (
        "jobs:\n- name: ''",
        "2:9: jobs[0].name: the name is empty; write a name",
    ),
    "a job that is a text": (
        "jobs:\n- A",
        "2:3: jobs[0]: expected a map, found text; write `key: value` after the dash",
    ),
    "args that are a list": (
        "jobs:\n- name: A\n  args: [1]",
        "3:9: jobs[0].args: expected a map, found a list; write `key: value` below it",
    ),
    "args that are no JSON": (
        "jobs:\n- name: A\n  args: {a: {b: .nan}}",
        "3:17: jobs[0].args.a.b: nan is not JSON; quote it",
    ),
    "args beyond 64 bits": (
        "jobs:\n- name: A\n  args: {a: 18446744073709551616}",
        "3:13: jobs[0].args.a: the integer does not fit into 64 bits; quote it",
    ),
    "a template that names nothing": (
        "jobs:\n- name: A\n  args:\n    a: 'x {{#if b}}'",
        "4:8: jobs[0].args.a: `{{#if b}}` is not a valid template; write {{name}} or "
        "${name:-default}; put a backslash before it to use it literally",
    ),
    "an open template": (
        "jobs:\n- name: A\ntodo:\n- name: A\n  args:\n  - a: '${b'",
        "6:8: todo[0].args[0].a: the template that begins with `${` is not closed, or contains "
        "braces; close it with `}`; put a backslash before it to use it literally",
    ),
    "a field of cron": (
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
    "a word that cron does not know": (
        "jobs:\n- name: A\n  typeArgs:\n    cron: '@dayly'",
        "4:12: jobs[0].typeArgs.cron: unknown shorthand `@dayly`; did you mean `@daily`?",
    ),
    "two times": (
        "jobs:\n- name: A\n  typeArgs:\n    cron: '@daily'\n    timeInterval: 5000",
        "5:5: jobs[0].typeArgs.timeInterval: `cron` and `timeInterval` both say when the job "
        "runs; remove one of them",
    ),
    "an interval of nothing": (
        "jobs:\n- name: A\n  typeArgs:\n    timeInterval: 0",
        "4:19: jobs[0].typeArgs.timeInterval: 0 is out of range; write milliseconds, 1 or more, "
        "such as 60000",
    ),
    "an interval in words": (
        "jobs:\n- name: A\n  typeArgs:\n    timeInterval: 5s",
        "4:19: jobs[0].typeArgs.timeInterval: expected a whole number, found text; write "
        "milliseconds, 1 or more, such as 60000",
    ),
    "a misfire that nobody knows": (
        "jobs:\n- name: A\n  typeArgs:\n    cron: '@daily'\n    misfire: last",
        "5:14: jobs[0].typeArgs.misfire: unknown misfire 'last'; write `latest`, `all` or `none`",
    ),
    "once without times": (
        "jobs:\n- name: A\n  typeArgs:\n    once: true",
        "4:5: jobs[0].typeArgs.once: `once` only applies to jobs with a schedule; write `cron` "
        "or `timeInterval` beside it",
    ),
    "a faulty stopWhen": (
        "jobs:\n- name: A\n  typeArgs:\n    cron: '@daily'\n    stopWhen: args[",
        "5:19: jobs[0].typeArgs.stopWhen: this is not Python: {syntax_error}",
    ),
    "a daemon that is no truth value": (
        "ojob:\n  daemon: yes",
        "2:11: ojob.daemon: expected true or false, found text; write `true` or `false`",
    ),
    "a time zone": (
        "ojob:\n  timezone: Europe/Lisbn",
        "2:13: ojob.timezone: unknown time zone 'Europe/Lisbn'; did you mean `Europe/Lisbon`?",
    ),
    "logArgs": (
        "ojob: {logArgs: true}",
        "1:8: ojob.logArgs: `logArgs` is not supported here; log them in the code; the records "
        "of managed runs contain their args",
    ),
    "a periodic job": (
        "jobs:\n- name: A\n  type: periodic",
        "3:9: jobs[0].type: a periodic job needs a schedule; write `cron` or `timeInterval` in "
        "`typeArgs`",
    ),
    "a simple job with a time": (
        "jobs:\n- name: A\n  type: simple\n  typeArgs: {cron: '@daily'}",
        "4:14: jobs[0].typeArgs.cron: a job of `type: simple` does not take `cron`; remove `type`",
    ),
    "a job for changes of nothing": (
        "jobs:\n- name: A\n  type: subscribe",
        "3:9: jobs[0].type: a job of `type: subscribe` needs a channel; name it in `typeArgs`: "
        "`chSubscribe: orders`",
    ),
    "a channel for a job that runs at times": (
        "jobs:\n- name: A\n  typeArgs: {cron: '@daily', chSubscribe: orders}",
        "3:30: jobs[0].typeArgs.chSubscribe: `chSubscribe` only applies to jobs of `type: "
        "subscribe`; write `type: subscribe`, or remove it",
    ),
    "a type that nobody knows": (
        "jobs:\n- name: A\n  type: simpel",
        "3:9: jobs[0].type: unknown type 'simpel'; write `simple`, `periodic`, `subscribe`, "
        "`shutdown` or `jobs`",
    ),
    "another language": (
        "jobs:\n- name: A\n  typeArgs: {lang: shel}",
        "3:20: jobs[0].typeArgs.lang: unknown language 'shel'; did you mean `shell`?",
    ),
    "a file of code": (
        "jobs:\n- name: A\n  execFile: a.py",
        "3:3: jobs[0].execFile: `execFile` is not supported here; write the code under `exec`, "
        "or import a module from it",
    ),
    "an old alias": (
        "jobs:\n- name: A\n  onerror: pass",
        "3:3: jobs[0].onerror: `onerror` is not supported here; write `catch`",
    ),
    "an id of a call": (
        "jobs:\n- name: A\ntodo:\n- {name: A, id: x}",
        "4:13: todo[0].id: `id` is not supported here; remove it: the record of each call has an "
        "id",
    ),
    "a todo shortcut": (
        "todo:\n- (if): 'x'",
        "2:3: todo[0]['(if)']: no job declares the shortcut `(if)`; call a job by its `name`, "
        "with `args`",
    ),
    "a todo entry with two jobs": (
        "jobs:\n- name: A\ntodo:\n- {name: A, job: A}",
        "4:3: todo[0]: expected either `name` or `job`; write one of them",
    ),
    "no threads": (
        "ojob: {numThreads: 0}",
        "1:20: ojob.numThreads: 0 is out of range; write 1 to 1000",
    ),
    "threads in quotes": (
        "ojob: {numThreads: '4'}",
        "1:20: ojob.numThreads: expected a whole number, found text; write 1 to 1000",
    ),
    "a number in the todo": (
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
    "a todo that is no list": (
        "jobs:\n- name: A\ntodo: A",
        "3:7: todo: expected a list, found text; write the name of each job after a dash",
    ),
    "jobs that are a map": (
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
    "code in a list": (
        "jobs:\n- name: A\n  exec: [pass, pass]",
        "3:9: jobs[0].exec: expected text, found a list; write `|` after the key, and the code "
        "below it",
    ),
    "code in a list of catches": (
        "jobs:\n- name: A\n  catch: [log(1)]",
        "3:11: jobs[0].catch[0]: there is no job 'log(1)'; write code under `catch` by itself, "
        "not in a list",
    ),
    "a map as catch": (
        "jobs:\n- name: A\n  catch: {a: b}",
        "3:10: jobs[0].catch: expected a job, a list of jobs, or code, found a map; write `|` "
        "after the key, and code below it",
    ),
    "args of a todo entry that are text": (
        "jobs:\n- name: A\ntodo:\n- {name: A, args: a=1}",
        "4:19: todo[0].args: expected a map or a list of maps, found text; write `key: value` "
        "below it",
    ),
    "a name that is a list": (
        "jobs:\n- name: [A]",
        "2:9: jobs[0].name: expected text, found a list; write one name",
    ),
    "no space behind a colon": (
        "jobs:\n- name:A",
        "2:3: jobs[0]: expected a map, found text; put a space after the colon",
    ),
    "no space behind a dash": (
        "-name: A",
        "1:1: -name: unknown key `-name`; put a space after the dash",
    ),
    "a key of a job outside of one": (
        "exec: pass",
        "1:1: exec: `exec` does not belong here; it belongs in a job: write it below `jobs`, "
        "after `- name: …`",
    ),
    "the todo inside a job": (
        "jobs:\n- name: A\n  todo: [A]",
        "3:3: jobs[0].todo: `todo` does not belong here; it belongs at the top level of the "
        "file: do not indent it",
    ),
    "a key with a character that nobody sees": (
        "jobs:\n- name: A\n  \u200bexec: pass",
        "3:3: jobs[0]['\\u200bexec']: the key contains the character U+200B; type the key again",
    ),
    "a job as a key in the todo": (
        "jobs:\n- name: A\ntodo:\n- A: {x: 1}",
        "4:3: todo[0].A: unknown key `A`; write `- name: A`, and below it `args` and the other "
        "keys",
    ),
    "python in capitals": (
        "ojob: {lang: Python}",
        "1:14: ojob.lang: unknown language 'Python'; did you mean `python`?",
    ),
    "a key of args that cannot be stored": (
        'jobs:\n- name: A\n  args: {"a\\0": 1}',
        "3:10: jobs[0].args['a\\x00']: the field name 'a\\x00' contains NUL; remove it: args are "
        "JSON documents",
    ),
    "half a surrogate in a name": (
        'jobs:\n- name: "\\ud800"',
        "2:9: jobs[0].name: the text contains a lone surrogate; write the character itself",
    ),
    "names with a comma": (
        "jobs:\n- name: B\n- name: C\n- {name: A, deps: 'B, C'}",
        "4:19: jobs[2].deps: there is no job 'B, C'; write several names as a list: [B, C]",
    ),
    "names that indentation joins": (
        "jobs:\n- name: A\n- name: B\ntodo:\n- A\n  - B",
        "5:3: todo[0]: there is no job 'A - B'; YAML has joined two lines; begin them in the same "
        "column, or write a list: [A, B]",
    ),
    "a name that would move the cursor": (
        'jobs:\n- name: "a\\e[2J"\ntodo: ["b\\e[2J"]',
        "3:8: todo[0]: there is no job 'b\\x1b[2J'; did you mean `a\\x1b[2J`?",
    ),
    "one of many jobs": (
        "jobs:\n" + "".join(f"- name: J{at}\n" for at in range(100)) + "todo: [Zebra]",
        "102:8: todo[0]: there is no job 'Zebra'; known here: `J0`, `J1`, `J2`, `J3`, `J4`, `J5`, "
        "`J6`, `J7`, `J8`, `J9`, `J10`, `J11` and 88 more",
    ),
    "an unknown job in the todo": (
        "jobs:\n- name: Count Words\ntodo:\n- Count Word",
        "4:3: todo[0]: there is no job 'Count Word'; did you mean `Count Words`?",
    ),
    "an unknown job in from": (
        "jobs:\n- name: A\n  from: [B]\n- name: Cook",
        "3:10: jobs[0].from[0]: there is no job 'B'; known here: `A`, `Cook`",
    ),
    "an unknown job in to": (
        "include: [oJobManager.yaml]\njobs:\n- name: A\n  to: oJobManager Job Ende",
        "4:7: jobs[0].to: there is no job 'oJobManager Job Ende'; did you mean "
        "`oJobManager Job End`?",
    ),
    "a job of a pack that is not included": (
        "jobs:\n- name: A\n  from: oJobManager Job Start",
        "3:9: jobs[0].from: there is no job 'oJobManager Job Start' in this file, but in a "
        "bundled pack; add `include: [oJobManager.yaml]`",
    ),
    "a catch of a pack that is not included": (
        "include: []\njobs:\n- name: A\n  catch: oJobManager Error",
        "4:10: jobs[0].catch: there is no job 'oJobManager Error' in this file, but in a bundled "
        "pack; add `include: [oJobManager.yaml]`",
    ),
    "a job of a pack that is not included, called by code": (
        "jobs:\n- name: A\n  exec: |\n    job('oJobManager Init')\ntodo: [A]",
        "4:5: jobs[0].exec: there is no job 'oJobManager Init' in this file, but in a bundled "
        "pack; add `include: [oJobManager.yaml]`",
    ),
    "a misspelt job of a pack that is not included": (
        "jobs:\n- name: Aha\ntodo: [oJobManager init]",
        "3:8: todo[0]: there is no job 'oJobManager init'; did you mean `oJobManager Init`? To "
        "use it, add `include: [oJobManager.yaml]`",
    ),
    "an unknown job in catch": (
        "include: [oJobManager.yaml]\njobs:\n- name: A\n  catch: oJobManager Eror",
        "4:10: jobs[0].catch: there is no job 'oJobManager Eror'; did you mean "
        "`oJobManager Error`?",
    ),
    "an unknown job of one word in catch": (
        "jobs:\n- name: Alarm\n- name: A\n  catch: Alarn",
        "4:10: jobs[1].catch: there is no job 'Alarn'; did you mean `Alarm`?",
    ),
    "an unknown job in deps": (
        "jobs:\n- name: A\n  deps:\n  - Bee\n- name: Be",
        "4:5: jobs[0].deps[0]: there is no job 'Bee'; did you mean `Be`?",
    ),
    "an unknown job that code launches": (
        "jobs:\n- name: Batch\n- name: A\n  exec: |\n    x = 1\n    launch('Bach', {})",
        "6:5: jobs[1].exec: there is no job 'Bach'; did you mean `Batch`?",
    ),
    "a job twice": (
        "jobs:\n- name: A\n- name: A",
        "3:9: jobs[1].name: duplicate job 'A'; the first is in line 2; rename one of them",
    ),
    "a circle of deps": (
        "jobs:\n- {name: A, deps: B}\n- {name: B, deps: [C]}\n- {name: C, deps: A}",
        "2:19: jobs[0].deps: these jobs depend on each other: A -> B -> C -> A; remove one of them",
    ),
    "a job that waits for itself": (
        "jobs:\n- {name: A, deps: A}",
        "2:19: jobs[0].deps: 'A' is a dependency of itself; remove it",
    ),
    "a job that waits for itself by a part": (
        "jobs:\n- {name: A, deps: B}\n- {name: B, to: A}",
        "3:10: jobs[1].name: 'B' is a dependency of itself, through one of its parts; remove it",
    ),
    "a job that is part of itself": (
        "jobs:\n- {name: A, from: A}",
        "2:19: jobs[0].from: 'A' is a part of itself; remove it",
    ),
    "a circle of from and to": (
        "jobs:\n- {name: A, from: B}\n- {name: B, to: A}",
        "2:19: jobs[0].from: these jobs are parts of each other: A -> B -> A; remove one of them",
    ),
    "parts that name each other too often": (
        "jobs:\n"
        + "".join(f"- {{name: J{at}, from: [J{at + 1}, J{at + 1}]}}\n" for at in range(60))
        + "- {name: J60}",
        "49:22: jobs[47].from[0]: 'J47' has 16,383 steps, counting its parts and theirs; the "
        "maximum is 10,000: name each part less often",
    ),
    "a dependency that is not in the todo": (
        "jobs:\n- name: A\n- {name: B, deps: A}\ntodo: [B]",
        "3:19: jobs[1].deps: 'B' is in the todo, but its dependency 'A' is not; add 'A' to the "
        "todo",
    ),
    "a dependency that runs at times": (
        "jobs:\n- {name: A, typeArgs: {timeInterval: 9}}\n- {name: B, deps: A}\ntodo: [A, B]",
        "3:19: jobs[1].deps: 'B' depends on 'A', which the todo only runs by its schedule; "
        "remove the dependency",
    ),
    "a dependency that runs for changes": (
        "jobs:\n- {name: A, type: subscribe, typeArgs: {chSubscribe: c}}\n- {name: B, deps: A}\n"
        "todo: [A, B]",
        "3:19: jobs[1].deps: 'B' depends on 'A', which the todo only runs when a channel "
        "changes; remove the dependency",
    ),
    "a dependency that runs at the end in this todo": (
        "jobs:\n- name: A\n- {name: B, deps: A}\ntodo:\n- {job: A, type: shutdown}\n- B",
        "3:19: jobs[1].deps: 'B' depends on 'A', which the todo only runs at the end of the run; "
        "remove the dependency",
    ),
    "an expected argument that is told of twice": (
        "help:\n  expects:\n  - name: a\n  - {name: a, mandatory: true}",
        "4:12: help.expects[1].name: duplicate argument 'a'; the first is in line 3; remove one "
        "of them",
    ),
    "a choice that is nothing": (
        "help:\n  expects:\n  - name: a\n    options:\n    - 1\n    -",
        "6:6: help.expects[0].options[1]: expected text, a number, true or false, found nothing; "
        "write one, or remove the dash",
    ),
    "an example that is a list": (
        "help: {expects: [{name: a, example: [1]}]}",
        "1:37: help.expects[0].example: expected text, a number, true or false, found a list; "
        "write one of these",
    ),
    "a list where one text is meant": (
        "jobs:\n- name: A\n  typeArgs: {lock: [a, b]}",
        "3:20: jobs[0].typeArgs.lock: expected text, found a list; write `lock: …`, and quote "
        "what YAML would take for something else",
    ),
    "a job with two languages": (
        "jobs:\n- name: A\n  lang: shell\n  typeArgs: {lang: python}",
        "3:9: jobs[0].lang: `lang` and `typeArgs.lang` name different languages; remove one of "
        "them",
    ),
    "a rule that is nothing": (
        "jobs:\n- name: A\n  check: {in: {a: }}",
        "3:16: jobs[0].check.in.a: expected text, found nothing; write one, or remove the key",
    ),
    "code that is no Python": (
        "jobs:\n- name: A\n  exec: |\n    x = 1\n    if x\n      y = 2",
        "5:9: jobs[0].exec: this is not Python: {syntax_error}",
    ),
    "code that is JavaScript": (
        "jobs:\n- name: A\n  exec: |\n    var x = 1;",
        "4:9: jobs[0].exec: this is not Python: {syntax_error}; it looks like JavaScript: write "
        "`lang: js` below `typeArgs`, or run it with --lang js",
    ),
    "code with half a surrogate": (
        "jobs:\n- name: A\n  exec: \"x = '\\ud800'\"",
        "3:9: jobs[0].exec: this is not Python: it contains a lone surrogate (line 1 of the code, "
        "`x = '\\ud800'`)",
    ),
    "code in quotes that is no Python": (
        'jobs:\n- name: A\n  exec: "x = 1\\nif x"',
        "3:9: jobs[0].exec: this is not Python: {syntax_error} (line 2 of the code, `if x`)",
    ),
    "code that folding spoils": (
        "jobs:\n- name: A\n  exec: >\n    x = 1\n    y = 2",
        "3:9: jobs[0].exec: this is not Python: {syntax_error} (line 1 of the code, `x = 1 y = "
        "2`); write `|` instead of `>`, which joins lines",
    ),
    "code that folding hides in a comment": (
        "jobs:\n- name: A\n  exec: >\n    pass\n\n    # first\n    print(1)\n",
        "3:9: jobs[0].exec: the code after the `#` in line 2 of the code is lost; write `|` "
        "instead "
        "of `>`, which joins lines",
    ),
    "folded code that is wrong by itself": (
        "jobs:\n- name: A\n  exec: >\n    x = (\n",
        "4:9: jobs[0].exec: this is not Python: {syntax_error}",
    ),
    "code over several lines without a bar": (
        "jobs:\n- name: A\n  exec:\n    x = 1\n    y = 2",
        "4:5: jobs[0].exec: this is not Python: {syntax_error} (line 1 of the code, `x = 1 y = "
        "2`); write `|` after the key and the code below it; otherwise YAML joins its lines",
    ),
    "code in quotes that no function can hold": (
        'jobs:\n- name: A\n  exec: "x = 1\\nawait x"',
        "3:9: jobs[0].exec: this is not Python: {syntax_error} (line 2 of the code, `await x`)",
    ),
    "code that goes too deep": (
        "jobs:\n- name: A\n  exec: |\n    " + "-" * 50_000 + "1",
        "4:5: jobs[0].exec: this is not Python: it is nested too deeply",
    ),
    "an unknown job behind text that is not ASCII": (
        "jobs:\n- name: A\n  exec: |\n    'ä'; job('Nobody')",
        "4:10: jobs[0].exec: there is no job 'Nobody'; known here: `A`",
    ),
    "code that yields": (
        "jobs:\n- name: A\n  exec: |\n    yield 1",
        "3:9: jobs[0].exec: `yield` is not allowed at the top level of a block; put it into a "
        "function",
    ),
    "code that awaits": (
        "jobs:\n- name: A\n  exec: |\n    await x",
        "4:5: jobs[0].exec: this is not Python: {syntax_error}",
    ),
    "a catch that is no Python": (
        "jobs:\n- name: A\n  catch: |\n    log('failed'\n    pass",
        "4:8: jobs[0].catch: this is not Python: {syntax_error}",
    ),
    "a pack that does not exist": (
        "include:\n- oJobManger.yaml",
        "2:3: include[0]: there is no `oJobManger.yaml`: no bundled pack has this name, and no "
        "file is at {folder}/oJobManger.yaml; did you mean `oJobManager.yaml`?",
    ),
    "a folder as include": (
        "include: ..",
        "1:10: include: {parent} is a folder; name a file in it",
    ),
    "a file of another kind as include": (
        "include: notes.txt",
        "1:10: include: `notes.txt` does not have the name of a job file; the name of a job file "
        "ends in .yaml, .yml, .json",
    ),
    "an include with NUL": (
        'include: "jobs\\0/other.yaml"',
        "1:10: include: there is no `jobs\\x00/other.yaml`: no bundled pack has this name, and "
        "no file is at {folder}/jobs\\x00/other.yaml; bundled packs: `oJobBasics.yaml`, "
        "`oJobDirector.yaml`, `oJobManager.yaml`, `oJobQueue.yaml`",
    ),
    "an include in a home folder": (
        "include: ~/jobs.yaml",
        "1:10: include: `~` is not expanded in `~/jobs.yaml`; write the path in full",
    ),
    "a web page as include": (
        "include: https://example.org/jobs.yaml",
        "1:10: include: only files can be included; download the file, and include that",
    ),
}


@pytest.mark.parametrize("case", FAULTS)
def test_a_fault_is_told_with_its_place_and_what_to_do(
    case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The message for a file with one fault is one line, and the line for that fault."""
    text, told = FAULTS[case]
    monkeypatch.chdir(tmp_path)
    Path("f.yaml").write_text(text)
    with pytest.raises(JobFileError) as caught:
        check_file("f.yaml")
    told = told.replace("{folder}", str(tmp_path)).replace("{parent}", str(tmp_path.parent))
    # What Python says of code differs from release to release.
    pattern = re.escape(f"f.yaml:{told}").replace(re.escape("{syntax_error}"), ".+?")
    assert re.fullmatch(pattern, str(caught.value)), str(caught.value)


def test_a_dependency_may_run_at_times_too_if_the_todo_also_runs_it(tmp_path: Path) -> None:
    """One entry that runs when the todo comes to it is enough."""
    file = tmp_path / "f.yaml"
    file.write_text(
        "jobs:\n- name: A\n- {name: B, deps: A}\n"
        "todo:\n- A\n- {name: A, typeArgs: {timeInterval: 9}}\n- {name: A, type: shutdown}\n- B\n"
    )
    assert [entry.job for entry in check_file(file).todo] == ["A", "A", "A", "B"]


def test_all_faults_of_all_files_are_told_at_once_in_the_order_of_their_places(
    tmp_path: Path,
) -> None:
    (tmp_path / "part.yaml").write_text("jobs:\n- name: P\n  exec: |\n    x = (\n")
    file = tmp_path / "whole.yaml"
    file.write_text(
        dedent("""\
        include: part.yaml
        ojob: {numThreds: 2}
        jobs:
        - name: A
          from: Nobody
          args: {a: "{{}}"}
          exec: |
            return )
        - nane: B
        todo: [A, C]
        """)
    )
    with pytest.raises(JobFileError) as caught:
        check_file(file)
    places = [(Path(one.file).name, one.line, one.path) for one in caught.value.diagnostics]
    assert places == [
        ("part.yaml", 4, "jobs[0].exec"),
        ("whole.yaml", 2, "ojob.numThreds"),
        ("whole.yaml", 5, "jobs[0].from"),
        ("whole.yaml", 6, "jobs[0].args.a"),
        ("whole.yaml", 8, "jobs[0].exec"),
        ("whole.yaml", 9, "jobs[1]"),
        ("whole.yaml", 9, "jobs[1].nane"),
        ("whole.yaml", 10, "todo[1]"),
    ]


def test_a_missing_include_does_not_make_its_jobs_faults_too(tmp_path: Path) -> None:
    file = tmp_path / "f.yaml"
    file.write_text("include: gone.yaml\njobs:\n- {name: A, from: Of Gone}\ntodo: [Of Gone, A]\n")
    with pytest.raises(JobFileError) as caught:
        check_file(file)
    assert [diagnostic.path for diagnostic in caught.value.diagnostics] == ["include"]


def test_a_file_with_includes_is_told_to_add_the_pack_to_them(tmp_path: Path) -> None:
    """The advice fits a file that includes something, but not the pack that it needs."""
    (tmp_path / "part.yaml").write_text("jobs: [{name: P}]")
    file = tmp_path / "f.yaml"
    file.write_text("include: part.yaml\ntodo: [oJobManager Init]")
    with pytest.raises(JobFileError, match=r"2:8: .*; add `oJobManager\.yaml` to `include`$"):
        check_file(file)


def test_a_misspelt_pack_is_told_of_the_pack_whatever_lies_beside(tmp_path: Path) -> None:
    """Names are alike by what stands before their suffix."""
    (tmp_path / "on-error.yaml").write_text("jobs: []")
    path = tmp_path / "f.yaml"
    path.write_text("include: oJobmanger.yaml")
    with pytest.raises(JobFileError, match=r"did you mean `oJobManager\.yaml`\?"):
        check_file(path)


def test_a_misspelt_include_is_told_of_the_file_beside(tmp_path: Path) -> None:
    (tmp_path / "common-jobs.yaml").write_text("jobs: []")
    (tmp_path / "f.yaml").write_text("include: [./commonjobs.yaml]")
    with pytest.raises(JobFileError, match=r"did you mean `common-jobs\.yaml`\?"):
        check_file(tmp_path / "f.yaml")


def test_nothing_of_a_faulty_file_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "f.yaml"
    file.write_text(
        "jobs:\n- {name: A, exec: print(1)}\n- {name: B, deps: [Nobody]}\ntodo: [A, B]\n"
    )
    with pytest.raises(JobFileError):
        run_file(file)
    assert capsys.readouterr() == ("", "")


def test_a_file_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    """The message has the reason of the system, and what may have been meant."""
    (tmp_path / "latin.yaml").write_bytes(b"jobs: \xe4")
    (tmp_path / "jobs.txt").write_text("")
    (tmp_path / "jobs.yaml").write_text("")
    (tmp_path / "folder.yaml").mkdir()
    (tmp_path / "broken.json").write_text('{\n\t"jobs" []\n}')
    absent, a_folder = os.strerror(errno.ENOENT), os.strerror(errno.EISDIR)
    for name, told in {
        "gone.yaml": f"gone.yaml: cannot read it: {absent}",
        "jabs.yaml": f"jabs.yaml: cannot read it: {absent}; did you mean `",
        "no/f.yaml": f"no/f.yaml: cannot read it: {absent}; there is no folder ",
        "folder.yaml": f"folder.yaml: cannot read it: {a_folder}; name a file in it",
        "latin.yaml": "latin.yaml:1:7: the byte 0xE4 is not UTF-8; save the file as UTF-8",
        "jobs.txt": "jobs.txt: this is no job file by its name; a job file ends in .yaml, ",
        "broken.json": "broken.json:2:9: this is not JSON: a comma or a colon is missing",
    }.items():
        with pytest.raises(JobFileError) as caught:
            check_file(tmp_path / name)
        assert str(caught.value).startswith(f"{tmp_path}/{told}")


def test_the_error_survives_pickling(tmp_path: Path) -> None:
    file = tmp_path / "f.yaml"
    file.write_text("todo: [A]")
    with pytest.raises(JobFileError) as caught:
        check_file(file)
    again = pickle.loads(pickle.dumps(caught.value))
    assert again.diagnostics == caught.value.diagnostics
    assert str(again) == str(caught.value)
    assert isinstance(again, ValueError)
