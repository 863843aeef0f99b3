"""Fixtures of the tests that load job files."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import pytest

from ojobchannels.errors import JobFileError
from ojobchannels.ojob import check_file

CheckReport: TypeAlias = Callable[[str, str], None]


@pytest.fixture
def check_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CheckReport:
    """Compares all that is reported of a job file with one line, given without the file name."""

    def check(text: str, expected: str) -> None:
        monkeypatch.chdir(tmp_path)
        Path("f.yaml").write_text(text)
        with pytest.raises(JobFileError) as caught:
            check_file("f.yaml")
        line = expected.replace("{folder}", str(tmp_path)).replace("{parent}", str(tmp_path.parent))
        # The words of Python differ from release to release.
        pattern = re.escape(f"f.yaml:{line}").replace(re.escape("{syntax_error}"), ".+?")
        assert re.fullmatch(pattern, str(caught.value)), str(caught.value)

    return check
