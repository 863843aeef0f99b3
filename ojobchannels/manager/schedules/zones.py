"""The time zone of a schedule: by its name, or that of this host, as TZ or the system say."""

import io
import os
import struct
from datetime import UTC, tzinfo
from functools import lru_cache
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo

_SYSTEM_FILE: Final = Path("/etc/localtime")
_DEFAULT_DATES: Final = ",M3.2.0,M11.1.0"
"""When daylight saving time begins and ends, for a rule that does not say so."""

_TZIF_HEADER: Final = struct.Struct(">4sc15x6l")


def zone_of(name: str) -> tzinfo:
    """Return a time zone by its name; `local` is that of this host.

    Raises:
        LookupError: There is no such time zone.
    """
    if name == "UTC":
        return UTC
    try:
        return _local_zone() if name == "local" else ZoneInfo(name)
    except (OSError, ValueError) as error:  # the name of a folder, or an invalid path
        raise LookupError(name) from error


def _local_zone() -> tzinfo:
    """Return the zone that TZ or the system names; a fixed offset has no daylight saving time."""
    value = os.environ.get("TZ")
    if value is None:
        return _of_file(_SYSTEM_FILE) if _SYSTEM_FILE.exists() else UTC
    name = value.removeprefix(":")
    if not name:
        return UTC
    if name.startswith("/"):
        return _of_file(Path(name))
    try:
        return ZoneInfo(name)
    except (LookupError, OSError, ValueError):
        return _of_rule(name)


def _of_file(file: Path) -> tzinfo:
    """Return the zone in a file, which has a name if the file is in a database of zones."""
    _, _, name = str(file.resolve()).partition("zoneinfo/")
    return _of_content(file.read_bytes(), name or None)


@lru_cache(maxsize=16)
def _of_content(content: bytes, name: str | None) -> tzinfo:
    """Return the zone in the content of a file, the same one for all schedules of a process."""
    return ZoneInfo.from_file(io.BytesIO(content), name)


def _of_rule(rule: str) -> tzinfo:
    """Return the zone of a rule of POSIX, such as ``CET-1CEST,M3.5.0,M10.5.0/3``.

    The library reads such rules only where they end a file of a time zone.
    """
    header = _TZIF_HEADER.pack(b"TZif", b"2", 0, 0, 0, 0, 1, 4)
    block = 2 * (header + struct.pack(">lbb", 0, 0, 0) + b"UTC\0")
    try:
        return ZoneInfo.from_file(io.BytesIO(block + f"\n{rule}\n".encode()), rule)
    except ValueError:
        if "," in rule:
            raise
    return ZoneInfo.from_file(io.BytesIO(block + f"\n{rule}{_DEFAULT_DATES}\n".encode()), rule)


def key_of_zone(zone: tzinfo) -> str:
    """Return a name by which `zone_of_key` finds a time zone on another host, or ``""``."""
    return "UTC" if zone is UTC else getattr(zone, "key", None) or ""


def zone_of_key(key: str) -> tzinfo:
    """Return the time zone of a published name: that of a zone, or a rule of POSIX.

    Raises:
        LookupError: This host does not know it.
    """
    if not key:
        raise LookupError("a time zone without a name")
    try:
        return UTC if key == "UTC" else ZoneInfo(key)
    except (LookupError, OSError, ValueError):
        try:
            return _of_rule(key)
        except ValueError as error:
            raise LookupError(key) from error
