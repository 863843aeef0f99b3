"""Which args each bundled job takes: for the check of job files, and for the jobs themselves.

An arg has one meaning within a pack, and so one type.
"""

from collections.abc import Mapping
from typing import Final, NamedTuple, TypeAlias

from ojobchannels.manager.limits.rate import ADVICE, parsed
from ojobchannels.ojob.args.pack_args import (
    ANY,
    CHANNEL,
    FLAG,
    LIST,
    MAP,
    NAME,
    TEXT,
    ArgType,
    integer,
    milliseconds,
    one_of,
)

Types: TypeAlias = Mapping[str, ArgType]

_CH: Final = "pass the name of a channel, {type, args}, or a URL"

MANAGER: Final[Types] = {
    "chJobs": CHANNEL,
    "chLocks": CHANNEL,
    "name": TEXT._replace(advice="pass the name of the run"),
    "timeout": milliseconds(0.001)._replace(advice="pass milliseconds: 3600000 for an hour"),
    "onTimeout": one_of("warn", "fail", "kill"),
    "ifRunning": one_of("fail", "skip", "wait"),
    "lockAtLeastFor": milliseconds(),
    "maxConcurrent": integer(1, 1000),
    "rateLimit": ArgType(lambda value: parsed(value) is not None, ADVICE),
    "e": ANY,
}
QUEUE: Final[Types] = {
    "chQueue": CHANNEL,
    "queueTimeout": milliseconds(1_000),
    "queuePeriod": milliseconds(1),
    "queueAttempts": integer(1),
    "queuePause": milliseconds(),
    "queueLongestPause": milliseconds(),
    "queueDelete": FLAG,
    "job": NAME,
    "data": ANY,
    "priority": integer(0),
    "delay": milliseconds(),
    "timeout": milliseconds(1),
    "idx": NAME,
    "rules": LIST._replace(advice="pass a list of maps {rule, job}"),
}
DIRECTOR: Final[Types] = {
    "ch": ArgType(lambda value: TEXT.accepts(value) or MAP.accepts(value), _CH),
    "chDirector": CHANNEL,
    "stamp": MAP,
    "jobName": NAME,
    "jobUUID": NAME,
    "result": ANY,
    "jobTimeout": milliseconds(1_000),
    "jobWaitTime": milliseconds(1),
    "jobWaitRetry": integer(1),
}
BASICS: Final[Types] = {
    "cmd": ArgType(lambda value: NAME.accepts(value) or LIST.accepts(value), "pass a command"),
    "directory": NAME,
    "stdin": ANY,
    "exitcode": integer(0),
    "quiet": FLAG,
    "prefix": ANY,
    "timeout": milliseconds(1),
    "name": NAME,
    "min": FLAG,
    "_path": NAME,
    "_list": ANY,
    "srcName": NAME,
    "reverse": FLAG,
    "selectors": LIST,
    "limit": integer(0),
    "source": NAME,
    "separator": ANY,
    "file": NAME,
    "ojobkeep": MAP,
    "switchOn": NAME,
    "todos": MAP._replace(advice="pass a map from values to lists of jobs"),
    "default": ANY,
    "lowerCase": FLAG,
    "format": one_of("table", "json", "yaml"),
}


class PackJob(NamedTuple):
    """The args of a bundled job.

    Attributes:
        types: Their types, by name.
        reads_others: Whether it also reads args of other names, such as those at a path.
    """

    types: Types
    reads_others: bool


def _pack(
    types: Types, jobs: Mapping[str, str], *, reads_others: bool = False
) -> dict[str, PackJob]:
    return {
        job: PackJob({name: types[name] for name in names.split()}, reads_others)
        for job, names in jobs.items()
    }


_LIMITS: Final = "lockAtLeastFor maxConcurrent rateLimit"
_WORKER: Final = (
    "chQueue queueTimeout queuePeriod queueAttempts queuePause queueLongestPause queueDelete"
)
PACK_JOBS: Final[Mapping[str, PackJob]] = {
    **_pack(
        MANAGER,
        {
            "oJobManager Init": "chJobs chLocks",
            "oJobManager Job Start": f"name timeout onTimeout ifRunning {_LIMITS}",
            "oJobManager Job End": "name",
            "oJobManager Error": "name e",
        },
    ),
    **_pack(
        QUEUE,
        {
            "oJob Queue Manager": _WORKER,
            "oJob Queue Worker": _WORKER,
            "oJob Queue Add": "chQueue job data priority delay timeout",
            "oJob Queue Delete": "chQueue idx",
            "oJob Queue Retry": "chQueue idx",
            "oJob Queue List": "chQueue",
        },
    ),
    **_pack(QUEUE, {"oJob Queue Rules": "chQueue rules data"}, reads_others=True),
    **_pack(
        DIRECTOR,
        {
            "oJob Director init": "ch chDirector stamp",
            "oJob Director check": "jobName jobUUID",
            "oJob Director checkin": "jobName jobUUID jobTimeout",
            "oJob Director checkout": "jobName jobUUID result",
            "oJob Director wait": "jobName jobUUID jobWaitRetry jobWaitTime",
        },
    ),
    **_pack(
        BASICS,
        {
            "oJob Start": "",
            "oJob Stop": "",
            "oJob Shutdown": "",
            "oJob Sleep 1s": "",
            "oJob Sleep 5s": "",
            "oJob sh": "cmd directory stdin exitcode quiet prefix timeout",
            "oJob Args from JSON": "file",
            "oJob Args from YAML": "file",
            "oJob Get kept result": "ojobkeep",
            "oJob Jobs Report": "format name",
            "oJob Jobs Final Report": "format name",
            "oJob Show Log": "name",
        },
    ),
    **_pack(
        BASICS,
        {
            "oJob Stringify": "name min",
            "oJob YAML": "name",
            "oJob Print args": "_path",
            "oJob Print list": "_list",
            "oJob Sort Array": "name srcName reverse",
            "oJob Map Array": "name srcName selectors limit",
            "oJob Split into items": "source separator",
            "oJob Keep result": "ojobkeep",
            "oJob Switch": "switchOn todos default lowerCase",
        },
        reads_others=True,
    ),
}
"""The bundled jobs by name."""
