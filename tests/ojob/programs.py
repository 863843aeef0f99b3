"""Programs that run job files, for tests with several processes."""

from ojobchannels.testing.programs import Program

RUN = """\
import sys
from ojobchannels.ojob import run_file
sys.exit(run_file(sys.argv[1]).exit_status)
"""


def read_until(process: Program, word: str) -> str:
    """Read output of a process until it contains `word`."""
    assert process.stdout is not None
    text = ""
    for line in process.stdout:
        text += line
        if word in line:
            return text
    raise AssertionError(f"no line has {word!r}: {text}")
