"""Jobs that are run again, with the args of a past run; its record has no secrets."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from ojobchannels.documents import check_value
from ojobchannels.errors import WrongRun
from ojobchannels.masking import MASK

RERUN: Final = "rerun"


def args_of(record: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return the args for another run.

    Raises:
        WrongRun: The run is active, or args are masked and not among the changes.
        InvalidValue: The changes are not JSON.
    """
    check_value(dict(changes))
    if record["status"] == "running":
        raise WrongRun(record["runId"], "it is active", "wait for its end, or cancel it")
    args = {**record.get("args", {}), **changes}
    if masked := [name for name, value in args.items() if any(map(_is_masked, _texts(value)))]:
        names = ", ".join(map(repr, masked))
        reason = f"its record does not have the secrets in {names}"
        raise WrongRun(record["runId"], reason, "pass these args again")
    return args


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        for each in value.values():
            yield from _texts(each)
    elif isinstance(value, list):
        for each in value:
            yield from _texts(each)
    elif isinstance(value, str):
        yield value


def _is_masked(text: str) -> bool:
    return MASK in text
