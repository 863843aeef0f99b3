"""The module paths of version 0.1 keep working, with a warning that names the new path."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module

import pytest

import ojobchannels as oc
from ojobchannels.moved import NEW_PATHS


@pytest.mark.parametrize(("old", "new"), NEW_PATHS.items(), ids=list(NEW_PATHS))
def test_an_old_path_imports_the_module_at_its_new_path(old: str, new: str) -> None:
    """It is the same module object; the first import warns and names the new path."""
    sys.modules.pop(old, None)
    with pytest.warns(DeprecationWarning, match=f"{old} is now {new};"):
        moved = import_module(old)
    assert moved is import_module(new)


@pytest.mark.parametrize(("old", "new"), NEW_PATHS.items(), ids=list(NEW_PATHS))
def test_from_imports_of_an_old_path_give_the_same_names(old: str, new: str) -> None:
    """In a new interpreter that has not imported the new path before."""
    program = (
        f"import sys, {old}; import {new}; assert sys.modules['{old}'] is sys.modules['{new}']"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-W", "ignore::DeprecationWarning", "-c", program],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_the_warning_points_at_the_import_statement() -> None:
    """So that it is shown by default where a script is at fault, and names the line to change."""
    sys.modules.pop("ojobchannels.leases", None)
    with pytest.warns(DeprecationWarning, match="channels.lease") as warnings:
        import ojobchannels.leases  # type: ignore[import-not-found]  # noqa: F401  an old path
    assert warnings[0].filename == __file__


def test_an_unknown_path_is_still_an_error() -> None:
    """The finder of old paths knows no others."""
    with pytest.raises(ModuleNotFoundError):
        import_module("ojobchannels.no_such_module")


def test_the_problems_of_a_job_file_error_are_its_diagnostics() -> None:
    """Both names of version 0.1 work, and the warning names the new ones; other names do not."""
    with pytest.warns(DeprecationWarning, match=r"errors\.Problem is now Diagnostic;"):
        assert oc.errors.Problem is oc.errors.Diagnostic  # type: ignore[attr-defined]  # old
    error = oc.JobFileError((oc.errors.Diagnostic("jobs.yaml", 1, 1, "", "not valid", ""),))
    with pytest.warns(DeprecationWarning, match="is now diagnostics;") as warnings:
        assert error.problems is error.diagnostics
    assert warnings[0].filename == __file__
    assert not hasattr(oc.errors, "Mistake")
