"""What the page shows of daemons that give no sign of life, and of actions that they took."""

import ojobchannels as oc
from ojobchannels.manager.actions import journal
from ojobchannels.manager.schedules.published import lock_name
from ojobchannels.manager.serving.presence import Presence
from ojobchannels_web.testing import Site


def test_the_first_screen_names_them_and_their_runs(site: Site, manager: oc.JobManager) -> None:
    """A run of such a daemon may be dead, or only stopped: its lock shows that later."""
    daemon = Presence(manager.state, "/srv/jobs.yaml", "hash")
    daemon.update([], {}, "hash")
    with manager.run("nightly"):
        site.app.state.watcher.refresh()
        assert "sign of life" not in site.get("/").text
        manager.state.force_unlock(lock_name(daemon.info.id))
        site.app.state.watcher.refresh()
        text = site.get("/").text
    assert "Daemons that give no sign of life: 1" in text
    assert f"{daemon.info.host}:{daemon.info.pid}" in text
    assert "whose daemon gives no sign of life" in text
    assert ">gone<" in site.get("/daemons").text


def test_an_action_of_a_dead_daemon_says_why_it_failed(site: Site, manager: oc.JobManager) -> None:
    """With the process that took it."""
    request = journal.record(manager.state, "now", "nightly", requested=True)
    by = {"host": "web1", "pid": 7, "lifeSign": "daemon of web1"}
    assert journal.move(manager.state, request, "taken", **by) is not None
    text = site.get("/actions").text
    assert "failed: the daemon web1:7 took it, and died before it recorded the end" in text
