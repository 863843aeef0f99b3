"""A daemon whose schedules do not fit into one document of a MongoDB server."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ojobchannels.manager.schedules import overview
from ojobchannels.manager.schedules.published import Published
from ojobchannels.manager.serving.presence import Presence

if TYPE_CHECKING:
    from conftest import Storage

_LIMIT = 16 * 2**20


def test_more_schedules_than_fit_into_a_document_are_published(
    replicated_storage: Storage,
) -> None:
    """They and their daemon are known to all, however many there are."""
    many = [_schedule(f"{number:04} {'x' * 3000}") for number in range(1500)]
    assert len(many) * 4 * len(many[0].name) > _LIMIT
    state = replicated_storage.open()
    daemon = Presence(state, "/srv/jobs.yaml", "hash")
    daemon.update(many, {}, "hash")
    assert [each.name for each in overview.known(state)] == [each.name for each in many]
    daemon.close()
    assert [each.id for each in overview.daemons(state)] == [daemon.info.id]


def _schedule(name: str) -> Published:
    return Published(
        name=name,
        job=name,
        run=name,
        claims=name,
        launched_by=None,
        cron="0 0 29 2 *",
        interval=0,
        timezone="UTC",
        misfire="latest",
        jitter=0,
        overdue_after=60_000,
        since=1_000_000_000_000,
        ended=False,
    )
