"""A schedule whose runs do not come is reported, also when its daemon is down."""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families

import ojobchannels as oc
from ojobchannels.alerts import Alert, Webhook
from ojobchannels.following.overdue import overdue_by_job
from ojobchannels.host.clock import now_ms
from ojobchannels.manager.schedules.overview import ScheduleInfo
from ojobchannels.manager.serving.presence import Presence
from tests.alerts.conftest import Receiver, Store, complete
from tests.manager.schedules.conftest import schedule


def publish(manager: oc.JobManager) -> None:
    """Publish a schedule of every minute that began ten minutes ago, by a daemon that ends."""
    daemon = Presence(manager.state, "/srv/jobs.yaml", "hash")
    begun = now_ms() - 600_000
    daemon.update([schedule("nightly", since=begun)], {}, "hash")
    daemon.close()


def test_overdue_and_its_end_are_reported(store: Store, receiver: Receiver) -> None:
    """The notice comes without any daemon, and a run makes the job well again."""
    manager = store.manager([Alert(Webhook(receiver.url))])
    publish(manager)
    notice = receiver.next().body
    assert (notice["event"], notice["job"]) == ("overdue", "nightly")
    assert notice["message"].startswith("job 'nightly' is overdue since ")
    complete(manager)
    recovered = receiver.next().body
    assert (recovered["event"], recovered["after"]) == ("recovered", "overdue")


def test_the_metric_says_for_how_long(store: Store) -> None:
    """Prometheus reads how long a job is overdue, and 0 once it has run."""
    manager = store.manager()
    publish(manager)

    def overdue() -> float:
        families = text_string_to_metric_families(manager.metrics())
        (metric,) = (each for each in families if each.name.endswith("job_overdue_seconds"))
        (sample,) = metric.samples
        assert sample.labels == {"ojobchannels_job_name": "nightly"}
        return float(sample.value)

    assert 0 < overdue() < 700
    complete(manager)
    assert overdue() == 0


def test_several_schedules_of_one_job() -> None:
    """The one that is overdue longest counts, whatever their order."""

    def info(run: str | None, since: int | None) -> ScheduleInfo:
        rest = ("UTC", "latest", 0, None, None, since, None, ())
        return ScheduleInfo("name", "Job", run, "f.yaml", "* * * * *", *rest)

    schedules = [info("a", None), info("a", 7), info("a", 5), info(None, None)]
    expected = {"a": 5, "name": None}
    assert overdue_by_job(schedules) == expected
    assert overdue_by_job(schedules[::-1]) == expected
