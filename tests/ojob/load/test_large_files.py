"""Files with many jobs: the time to check them grows with their number, not with its square."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from ojobchannels.ojob import check_file


def steps(count: int) -> str:
    """Jobs that run one another under `from`."""
    jobs = [f"- {{name: J{at}, from: J{at - 1}}}\n" for at in range(1, count)]
    return f"jobs:\n- name: J0\n{''.join(jobs)}todo: [J{count - 1}]\n"


def managed_steps(count: int) -> str:
    """The same, with a managed job and args at its end."""
    text = steps(count).replace("name: J0", "{name: J0, to: oJobManager Job Start}")
    return f"include: [oJobManager.yaml]\n{text.replace(', from', ', args: {name: x}, from')}"


def dependencies(count: int) -> str:
    """Jobs that wait for one another, last first."""
    jobs = [f"- {{name: J{at}, deps: J{at - 1}}}\n" for at in range(1, count)]
    names = ", ".join(f"J{at}" for at in reversed(range(count)))
    return f"jobs:\n- name: J0\n{''.join(jobs)}todo: [{names}]\n"


@pytest.mark.parametrize("text", [steps, managed_steps, dependencies])
def test_a_chain_of_jobs_is_checked_in_time(tmp_path: Path, text: Callable[[int], str]) -> None:
    """Eight times as many jobs take about eight times as long; 64 would be quadratic."""

    def seconds(count: int) -> float:
        path = tmp_path / f"{count}.yaml"
        path.write_text(text(count))
        began = time.process_time()
        check_file(path).ordered_todo()
        return time.process_time() - began

    seconds(10)
    assert seconds(1200) < 24 * seconds(150) + 0.2
