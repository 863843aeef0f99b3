"""What a hostile user puts in the place of a file."""

import os
from pathlib import Path


def plant(path: Path, what: str, target: Path) -> None:
    """Put a link, a dangling link, a FIFO or a hard link at a path, in place of what is there."""
    path.unlink(missing_ok=True)
    if what == "FIFO":
        os.mkfifo(path)
    elif what == "hard link":
        path.hardlink_to(target)
    else:
        path.symlink_to(target if what == "link" else target.with_name("missing"))
