"""Keys of the published oJob format that are not supported, each with what to use instead."""

from typing import Final

_PACKAGES: Final = "install the packages that the code imports with pip"
_WRAPPED: Final = "write the language in `lang`; a plugin can add one"

JOB: Final = {
    "earlier": "write `from`",
    "then": "write `to`",
    "onerror": "write `catch`",
    "help": "write a comment, or describe the arguments in the `help` of the file",
    "file": "write the code under `exec`, or the job file in `typeArgs.file`, with `type: jobs`",
    "execFile": "write the code under `exec`, or import a module from it",
    "execRequire": "import the module under `exec`",
}

TYPE_ARGS: Final = {
    "cronCheck": "remove it: each fire time runs once, and `misfire` selects missed ones",
    "url": "download the file, and name it in `file`",
    "execJs": "write the code under `exec`, with `lang: js`",
    "execPy": "write the code under `exec`",
    "execRequire": "import the module under `exec`",
    "shell": "write `lang: shell`, and the commands under `exec`",
    "shellPrefix": "remove it: each line that a command prints is logged with its job",
    "pre": _WRAPPED,
    "pos": _WRAPPED,
    "langFn": _WRAPPED,
    "returnFn": "have the code change `args`, or print a map as JSON where the language can",
    "returnRE": "have the code change `args`, or print a map as JSON where the language can",
    "noTemplate": "remove it: code is never a template",
    "noTemplateArgs": "write \\{{ for braces that are not a template",
}

CHECK: Final = {
    "_in": "write `in`, which applies before `exec`",
    "_out": "write `out`, which applies after `exec`",
}

TODO: Final = {"id": "remove it: the record of each call has an id"}

SHORTCUT: Final = {"nolog": "write `noLog: true` in `typeArgs`"}

LOG_TO_FILE: Final = {"numberOfEntriesToKeep": "remove it: no log lines are kept in memory"}

SETTINGS: Final = {
    "timeInterval": "remove it: there is no polling; a periodic job has it in its `typeArgs`",
    "daemonFunc": "stop the daemon with SIGTERM; `typeArgs.stopWhen` ends a schedule",
    "poolThreadFactor": "write `numThreads`",
    "shareArgs": "keep values for later jobs with `oJob Keep result` of oJobBasics.yaml",
    "depsWait": "remove it: a call waits for its dependencies if they are in the todo",
    "depsOnFail": "write `catch` in the dependency; when it fails, its dependents do not run",
    "templateArgs": "remove it: templates in args are always rendered",
    "argsFromEnvs": 'pass arguments, as in `ojob run FILE day="$DAY"`, or read os.environ',
    "checkStall": "write `typeArgs.timeout`, or let the service manager watch the process",
    "log": "use `ojob run --json` for JSON lines",
    "logArgs": "log them in the code; the records of managed runs contain their args",
    "logOJob": "write `logToFile`, or look at `ojob history`",
    "logLimit": "prune records by age: `ojob prune --older-than 30d`",
    "logHistory": "prune records by age: `ojob prune --older-than 30d`",
    "conAnsi": "set NO_COLOR in the environment to disable colours",
    "conWidth": "set COLUMNS in the environment",
    "showHelp": "remove it: `ojob run FILE --help` shows the help",
    "tags": "write `id`",
    "opacks": _PACKAGES,
    "owraps": _PACKAGES,
    "loads": "write modules under `code` of the file, and import them",
    "loadLibs": "write modules under `code` of the file, and import them",
    "includeOJob": "remove it: packs are included by name",
    "langs": "write a plugin that adds the language",
    "integrity": "verify checksums before the run, for example with sha256sum -c",
    "flags": "remove it: there are no flags",
    "debug": "set the level of the logger `ojobchannels` to DEBUG, or print in the code",
    "initTemplateEscape": "write \\{{ for braces that are not a template",
    "execRequire": "import the module under `exec`",
    "channels": 'open channels in code, as in channel("orders", {"type": "file"})',
    "metrics": "count in code, or read the records: `ojob report --json`",
    "cronInLocalTime": "write `timezone: local`",
    "onerror": "write `catch`",
}
