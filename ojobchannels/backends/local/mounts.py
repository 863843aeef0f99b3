"""The mount points that this process sees."""

import os
import re
from pathlib import Path


def is_mount_point(path: Path) -> bool:
    """Return whether something is mounted at a path, such as a single file in a container."""
    try:
        mounts = Path("/proc/self/mountinfo").read_bytes()
    except OSError:
        return False
    wanted = os.fsencode(path)
    return any(_unescaped(line.split(b" ")[4]) == wanted for line in mounts.splitlines())


def _unescaped(field: bytes) -> bytes:
    return re.sub(rb"\\([0-7]{3})", lambda code: bytes([int(code[1], 8)]), field)
