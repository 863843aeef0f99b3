"""Which notices follow from which changes."""

from __future__ import annotations

from typing import Any

import pytest

from ojobchannels.alerts import Alert, Ping
from ojobchannels.alerts.evaluation import MOST_PENDING, PINGS_GO_STALE_MS, Evaluation, new_memory

NOW = 1_800_000_000_000


class Story:
    """Applies runs to a rule, one after the other, and collects its notices."""

    def __init__(self, rule: Alert) -> None:
        self.rule = rule
        self.memory = new_memory()
        self.now = NOW
        self.number = 0

    def record(self, status: str, name: str = "job", **more: Any) -> dict[str, Any]:
        """Return the record of one more run, which ends now."""
        self.number += 1
        end = {} if status == "running" else {"endTime": self.now}
        begun = {"name": name, "runId": f"run-{self.number}", "startTime": self.now - 10}
        return begun | end | {"status": status} | more

    def apply(self, *records: dict[str, Any]) -> list[str]:
        """Apply records, and return the events of the notices that they make."""
        evaluation = Evaluation(self.rule, self.memory, self.now)
        evaluation.runs(records)
        events = [notice["event"] for notice in self.memory["notices"]]
        self.memory["notices"] = []
        return events

    def each(self, *statuses: str) -> list[list[str]]:
        """Apply runs one by one, and return the events of each."""
        return [self.apply(self.record(status)) for status in statuses]


def test_first_and_every_nth_failure_and_the_recovery() -> None:
    """Of seven failures in a row with `every=3`, the first, third and sixth are reported."""
    story = Story(Alert("pager", every=3))
    failures = story.each(*["failed"] * 7)
    assert failures == [["failed"], [], ["failed"], [], [], ["failed"], []]
    assert story.each("completed", "completed") == [["recovered"], []]
    assert story.each("failed") == [["failed"]]


def test_abandoned_and_lost_are_each_reported() -> None:
    """They mean that something may have run twice, so none of them is left out."""
    story = Story(Alert("pager"))
    assert story.each("abandoned", "lost", "abandoned") == [["abandoned"], ["lost"], ["abandoned"]]
    assert story.each("completed") == [["recovered"]]


def test_skipped_in_a_row() -> None:
    """The n-th skipped run in a row is reported; one that runs ends the row."""
    story = Story(Alert("pager", on=["skipped", "recovered"], skipped_in_a_row=2))
    assert story.each("skipped", "skipped", "skipped", "skipped") == [[], ["skipped"]] * 2
    assert story.each("completed", "skipped") == [["recovered"], []]


def test_no_recovery_from_what_was_not_reported() -> None:
    """A receiver that did not get the failure does not get the recovery."""
    story = Story(Alert("pager", on=["abandoned", "recovered"]))
    assert story.each("failed", "completed") == [[], []]


def test_a_failure_that_a_retry_mends_is_not_reported() -> None:
    """The failure of an attempt is reported only if the next one does not come."""
    story = Story(Alert("pager"))
    assert story.apply(story.record("failed", retryIn=1000)) == []
    assert story.apply(story.record("completed")) == []
    assert story.apply(story.record("failed", retryIn=1000)) == []
    story.now += 120_000
    assert story.apply() == ["failed"]


def test_the_last_attempt_is_reported() -> None:
    """Two attempts that fail are one failure."""
    story = Story(Alert("pager"))
    assert story.apply(story.record("failed", retryIn=1000)) == []
    assert story.apply(story.record("failed")) == ["failed"]


def test_jobs_and_patterns() -> None:
    """Only the jobs that are named are reported, and never the one that is run by the alert."""
    story = Story(Alert("pager", jobs=["night-*", "one[1]", "pager"]))
    reported = [
        name
        for name in ("night-x", "day", "one[1]", "pager")
        if story.apply(story.record("failed", name))
    ]
    assert reported == ["night-x", "one[1]"]


def test_overdue_and_its_end() -> None:
    """A job that is overdue is reported once, and when it is not overdue any more."""
    rule, memory = Alert("pager"), new_memory()
    for overdue in ({"job": NOW - 9}, {"job": NOW - 9}, {}, {}):
        Evaluation(rule, memory, NOW).overdue(overdue)
    first, second = memory["notices"]
    assert (first["event"], first["job"], second["event"]) == ("overdue", "job", "recovered")
    assert second["after"] == "overdue"


@pytest.mark.parametrize("status", ["completed", "failed", "abandoned", "lost"])
def test_pings(status: str) -> None:
    """A ping goes out at the start and at the end of each run, in this order."""
    story = Story(Alert(Ping("https://a.example")))
    assert story.apply(story.record("running", runId="x")) == ["started"]
    assert story.apply(story.record("running", runId="x", progress=1)) == []
    assert story.apply(story.record(status, runId="x")) == [status]
    assert story.apply(story.record(status)) == ["started", status]
    assert story.apply(story.record("skipped")) == []


def test_no_ping_for_what_is_long_over() -> None:
    """A dead man's switch would take the success of yesterday for one of today."""
    story = Story(Alert(Ping("https://a.example")))
    record = story.record("completed")
    story.now += PINGS_GO_STALE_MS + 1
    assert story.apply(record) == []


def test_the_memory_is_bounded() -> None:
    """Thousands of failing jobs neither grow the memory without limit nor lose the latest."""
    story = Story(Alert("pager"))
    evaluation = Evaluation(story.rule, story.memory, NOW)
    evaluation.runs(story.record("failed", f"job-{number}") for number in range(2000))
    assert len(story.memory["notices"]) == MOST_PENDING
    assert story.memory["notices"][-1]["job"] == "job-1999"
    assert evaluation.dropped == 2000 - MOST_PENDING
    assert len(story.memory["jobs"]) <= 500


def test_the_identifier_of_a_rule_hides_its_secrets() -> None:
    """Rules are equal in all processes if everything in them is, or if their names are."""
    assert Alert("pager").id == Alert("pager").id != Alert("pager", every=2).id
    assert Alert("pager", name="x").id == Alert(Ping("https://a.example"), name="x").id
    assert "s3cret" not in repr(Alert(Ping("https://a.example/s3cret")))
