"""Where the channels are: what is mounted as a secret."""

from pathlib import Path

import pytest

from ojobchannels.cli.errors import CommandError
from ojobchannels.cli.locations import Locations, find_locations

URLS = "sqlite:///jobs.db", "sqlite:///locks.db"


def test_urls_are_read_from_files_where_the_variables_are_not_set(tmp_path: Path) -> None:
    """Without the line feed at the end; a variable that is set comes first."""
    jobs, locks = tmp_path / "jobs", tmp_path / "locks"
    jobs.write_text(f"{URLS[0]}\n")
    locks.write_text(URLS[1])
    files = {"OJOB_JOBS_FILE": str(jobs), "OJOB_LOCKS_FILE": str(locks)}
    assert find_locations(None, None, None, files) == Locations(*URLS)
    both = files | {"OJOB_JOBS": "sqlite:///other.db"}
    assert find_locations(None, None, None, both) == Locations("sqlite:///other.db", URLS[1])


def test_a_secret_that_is_not_mounted_is_an_error(tmp_path: Path) -> None:
    """With the variable and the file, so that no other channels are used."""
    files = {"OJOB_JOBS_FILE": str(tmp_path / "missing")}
    with pytest.raises(CommandError, match=r"missing.*OJOB_JOBS_FILE"):
        find_locations(None, None, None, files)
