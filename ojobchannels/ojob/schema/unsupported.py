"""Keys of the published oJob format that are left out here, each with the nearest thing to use."""

from __future__ import annotations

from typing import Final

_PACKAGES: Final = "install the packages that the code imports beforehand, with pip"
_WRAPPED: Final = "write the language in `lang`; a plugin can offer another one"

JOB: Final = {
    "earlier": "write `from`",
    "then": "write `to`",
    "onerror": "write `catch`",
    "help": "write a comment, or tell of the arguments in the `help` of the file",
    "file": "write the code under `exec`, or the job file in `typeArgs.file`, with `type: jobs`",
    "execFile": "write the code under `exec`, or import a module from it",
    "execRequire": "import the module under `exec`",
}

TYPE_ARGS: Final = {
    "cronCheck": "take it out: each time is claimed once, and `misfire` says what is made up for",
    "url": "get the file, and name it in `file`",
    "execJs": "write the code under `exec`, with `lang: js`",
    "execPy": "write the code under `exec`",
    "execRequire": "import the module under `exec`",
    "shell": "write `lang: shell`, and the commands under `exec`",
    "shellPrefix": "take it out: each line that a command writes is told with its job",
    "pre": _WRAPPED,
    "pos": _WRAPPED,
    "langFn": _WRAPPED,
    "returnFn": "have the code change `args`, or print a map as JSON where the language can",
    "returnRE": "have the code change `args`, or print a map as JSON where the language can",
    "noTemplate": "take it out: code is never a template",
    "noTemplateArgs": "write \\{{ where a template is not meant",
}

CHECK: Final = {
    "_in": "write `in`, which counts before `exec`",
    "_out": "write `out`, which counts after `exec`",
}

TODO: Final = {"id": "take it out: each call has an id of its own, in its record"}

SHORTCUT: Final = {"nolog": "write `noLog: true` in `typeArgs`"}

EXPECT: Final = {"secret": "nobody is asked for it; pass secrets in environment variables"}

LOG_TO_FILE: Final = {"numberOfEntriesToKeep": "take it out: nothing is kept in memory"}

SETTINGS: Final = {
    "timeInterval": "take it out: nothing is polled; a job that repeats has it in its `typeArgs`",
    "daemonFunc": "stop the daemon by SIGTERM; a schedule ends by `typeArgs.stopWhen`",
    "poolThreadFactor": "write `numThreads`",
    "shareArgs": "keep values for later jobs with `oJob Keep result` of oJobBasics.yaml",
    "depsWait": "take it out: a call waits for what it depends on if that is in the todo",
    "depsOnFail": "write `catch` in the job on which others depend; they do not run when it fails",
    "templateArgs": "take it out: templates in args are rendered",
    "argsFromEnvs": 'pass arguments, as in `ojob run FILE day="$DAY"`, or read os.environ',
    "checkStall": "write `typeArgs.timeout`, or have the service manager watch the process",
    "log": "call `ojob run --json` for JSON lines",
    "logArgs": "log what matters in the code; managed runs keep their args in their records",
    "logOJob": "write `logToFile`, or look at `ojob history`",
    "logLimit": "prune records by age: `ojob prune --older-than 30d`",
    "logHistory": "prune records by age: `ojob prune --older-than 30d`",
    "conAnsi": "set NO_COLOR in the environment for no colours",
    "conWidth": "set COLUMNS in the environment",
    "showHelp": "take it out: `ojob run FILE --help` shows the help",
    "tags": "write `id`",
    "opacks": _PACKAGES,
    "owraps": _PACKAGES,
    "loads": "write modules under `code` of the file, and import them",
    "loadLibs": "write modules under `code` of the file, and import them",
    "includeOJob": "take it out: packs are included by their names",
    "langs": "write a plugin that offers the language",
    "integrity": "check the sums of files before they are run, as with sha256sum -c",
    "flags": "take it out: there are none",
    "debug": "set the level of the logger `ojobchannels` to DEBUG, or print in the code",
    "initTemplateEscape": "write \\{{ where a template is not meant",
    "execRequire": "import the module under `exec`",
    "channels": 'open channels in code, as in channel("orders", {"type": "file"})',
    "metrics": "count in code, or read the records: `ojob report --json`",
    "cronInLocalTime": "write `timezone: local`",
    "onerror": "write `catch`",
}
