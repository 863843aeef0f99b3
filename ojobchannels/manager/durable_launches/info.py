"""A durable launch as it is stored, and as others see it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeAlias, TypeGuard

from ojobchannels.documents import check_value, encode
from ojobchannels.errors import InvalidValue
from ojobchannels.manager import tracing
from ojobchannels.masking import masked

LaunchEnd: TypeAlias = Literal["completed", "failed", "skipped", "abandoned", "lost", "cancelled"]
LaunchStatus: TypeAlias = Literal["waiting", "running"] | LaunchEnd

LONGEST_ARGS: Final = 4_194_304
"""The size of the arguments, as for a result. With the end they are stored twice, and once in each
record, in one document of a backend that takes 16 MiB."""

LONGEST_RESULT: Final = 65_536
"""The size of a result up to which it is kept: the bytes of its JSON."""

ENDED: Final = "ended"
"""The field of a message with the document of its end, until that is moved out of the queue."""

_FIELDS_OF_END: Final = (
    *("id", "name", "state", "args", "added", "due", "priority", "attempts", "ended"),
)


@dataclass(frozen=True, slots=True)
class LaunchInfo:
    """A durable launch. Times are milliseconds since 1970.

    Attributes:
        id: Its identifier, which the records of its runs have as ``launchId``.
        name: The job.
        state: ``waiting``, ``running``, or how it ended: as its last run, or ``skipped`` if the job
            was running elsewhere and skips then.
        args: The arguments; secrets are masked.
        added: When it was launched.
        due: From when on it is taken; later than `added` after a delay or a failed attempt.
        priority: The lowest is taken first.
        attempts: The number of attempts whose run has begun.
        run_id: The identifier of its last run; None if none has begun.
        worker: The process that has it now; None if it is not running.
        takers: The processes that would take it now; empty if none knows the job.
        ended: When it ended; None if it has not.
        error: The error of the last attempt, or why it did not run; None without one.
        reason: Why it could not start when it was last taken; None otherwise.
    """

    id: str
    name: str
    state: LaunchStatus
    args: Mapping[str, Any] = field(repr=False)
    added: int
    due: int
    priority: float
    attempts: int
    run_id: str | None = None
    worker: str | None = None
    takers: tuple[str, ...] = ()
    ended: int | None = None
    error: str | None = None
    reason: str | None = None

    @property
    def has_ended(self) -> bool:
        """Whether it has ended."""
        return self.ended is not None


def of_message(
    message: Mapping[str, Any], worker: str | None, takers: tuple[str, ...]
) -> LaunchInfo:
    """Return the launch of a message in the queue."""
    if is_end(ended := message.get(ENDED)):
        return of_ended(ended)
    return LaunchInfo(
        id=message["id"],
        name=message["job"],
        state="waiting" if worker is None else "running",
        args=masked(args_of(message.get("data"))),
        added=round(message["added"]),
        due=round(message["notBefore"]),
        priority=message["priority"],
        attempts=begun_of(message),
        run_id=message.get("run"),
        worker=worker,
        takers=takers,
        error=message.get("error"),
        reason=message.get("reason") if worker is None else None,
    )


def of_ended(ended: Mapping[str, Any]) -> LaunchInfo:
    """Return the launch in the document of its end."""
    fields: dict[str, Any] = {name: ended[name] for name in _FIELDS_OF_END}
    return LaunchInfo(**fields, error=ended.get("error"), run_id=ended.get("run_id"))


def args_of(data: object) -> dict[str, Any]:
    """Return the arguments in the data of a message."""
    args = data.get("args") if isinstance(data, dict) else None
    return args if isinstance(args, dict) else {}


def context_of(data: object) -> str | None:
    """Return the trace context of the code that launched it, from the data of a message."""
    context = data.get(tracing.FIELD) if isinstance(data, dict) else None
    return context if isinstance(context, str) else None


def begun_of(message: Mapping[str, Any]) -> int:
    """Return the number of attempts whose run has begun.

    An attempt that a process takes, and dies before the run begins, does not count.
    """
    begun = message.get("begun", 0)
    return begun if isinstance(begun, int) else 0


def refusals_of(message: Mapping[str, Any]) -> int:
    """Return how often its job could not be started since the last attempt."""
    refusals = message.get("refusals", 0)
    return refusals if isinstance(refusals, int) else 0


def check_args(args: Mapping[str, Any]) -> None:
    """Check that arguments can be stored.

    Raises:
        InvalidValue: They are not JSON, or too large.
    """
    check_value(args)
    size = len(encode(args).encode())
    if size > LONGEST_ARGS:
        reason = f"the JSON of the arguments has {size:,} bytes, and a durable launch takes at most"
        raise InvalidValue("args", f"{reason} {LONGEST_ARGS:,}; pass a key or a path instead")


def retries_of(data: object) -> int | None:
    """Return the retries in the data of a message; None for those of the job."""
    retries = data.get("retries") if isinstance(data, dict) else None
    return retries if isinstance(retries, int) else None


def is_end(document: object) -> TypeGuard[dict[str, Any]]:
    """Return whether a document is that of the end of a launch."""
    return isinstance(document, dict) and document.keys() >= set(_FIELDS_OF_END)


def kept_result(result: Any) -> dict[str, Any]:
    """Return the fields that keep a result, or say why it is not kept."""
    try:
        check_value(result)
    except InvalidValue as error:
        return {"omitted": f"it is not JSON: {error}"}
    size = len(encode(result).encode())
    if size > LONGEST_RESULT:
        return {"omitted": f"its JSON has {size:,} bytes, and at most {LONGEST_RESULT:,} are kept"}
    return {"result": result}
