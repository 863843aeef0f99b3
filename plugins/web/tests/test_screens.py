"""What the screens show, over HTTP: hostile texts, secrets, bounds, and what is not there."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from urllib.parse import quote

import pytest

import ojobchannels as oc
from ojobchannels_web.testing import Site
from ojobchannels_web.view import watcher

LOGGED_IN = {"Authorization": "Bearer ann-0123456789abcdef"}
HOSTILE = "<img src=x onerror=alert(1)>'\"&/{{7*7}}/../\u202e\x1b[2J"
DOCUMENTS = 120


def fail(manager: oc.JobManager, name: str, text: str, **args: str) -> oc.JobRun:
    run = manager.start(name, args=args)
    run.fail(RuntimeError(text))
    return run


def paths_of(run: oc.JobRun) -> dict[str, str]:
    name = quote(run.name, safe="")
    return {
        "jobs": "/",
        "job": f"/job?name={name}",
        "run": f"/run?name={name}&start={run.record['startTime']}",
        "documents": "/channel?name=oJobManager-jobs",
    }


def test_hostile_names_and_outputs_are_text(site: Site, manager: oc.JobManager) -> None:
    """On every screen, in texts, attributes and addresses; control characters are visible."""
    run = fail(manager, HOSTILE, HOSTILE, arg=HOSTILE)
    with manager.run(HOSTILE, args={HOSTILE: HOSTILE}):
        for path in (
            *paths_of(run).values(),
            "/locks",
            "/?find=%3Cimg",
            f"/job?name={quote('<b>')}",
        ):
            text = site.get(path).text
            assert "<img" not in text
            assert "<b>" not in text
            assert "/49/" not in text  # no template in a name is evaluated
            assert "\u202e" not in text
            assert "\x1b" not in text
        assert "&lt;img src=x" in site.get("/").text


def test_durable_launches_are_listed(site: Site, manager: oc.JobManager) -> None:
    """With what they wait for; those that have ended come after them, with their error."""
    assert "No durable launches" in site.get("/launches").text
    ended = manager.launch("x", {"password": "pa55word1"}, durable=True)
    manager.cancel_launch(ended.launch_id)
    manager.launch(HOSTILE, durable=True)
    text = site.get("/launches").text
    assert text.index("no process takes it") < text.index("cancelled before it began")
    assert "<img" not in text
    assert "pa55word1" not in text


def test_secrets_are_masked_on_every_screen(site: Site, manager: oc.JobManager) -> None:
    """Also those that a program has stored in a channel by itself."""
    run = fail(manager, "x", "cannot log in with password=pa55word1", password="pa55word1")
    manager.state.set("settings", {"apiKey": "key-12345", "text": "it is key-12345"})
    for path in (*paths_of(run).values(), "/channel?name=oJobManager-state"):
        text = site.get(path).text
        assert "pa55word1" not in text
        assert "key-12345" not in text


def test_the_page_of_a_run_shows_all_that_is_known(site: Site, manager: oc.JobManager) -> None:
    run = fail(manager, "x", "disk full", table="orders")
    text = site.get(paths_of(run)["run"]).text
    for part in ("disk full", "Traceback", "orders", run.run_id, "failed", str(run.fence)):
        assert part in text


def test_the_page_of_a_skipped_run_shows_the_reason(site: Site, manager: oc.JobManager) -> None:
    record = manager._record_not_run("x", "skipped", "it is a holiday")
    text = site.get(f"/run?name=x&start={record['startTime']}").text
    assert "it is a holiday" in text
    assert "it is a holiday" in site.get("/job?name=x").text


@pytest.mark.parametrize(
    "path",
    [
        "/job?name=x",
        "/job",
        "/run?name=x&start=5",
        "/run?name=x&start=²",
        "/run",
        "/channel?name=x",
    ],
)
def test_what_does_not_exist_is_said_so(site: Site, path: str) -> None:
    reply = site.get(quote(path, safe="/?=&"))
    assert reply.status == 404
    assert "No such" in reply.text


def test_channels_are_browsed_in_pages(serve: Callable[..., Site]) -> None:
    """Each page is bounded, whatever the size of the channel and of its documents."""
    with oc.open_channel("orders") as channel:
        for number in range(DOCUMENTS):
            channel.set(number, {"number": f"no{number}."})
        channel.set("long", "x" * 1_000_000)
        site = serve(channels={"my orders": channel})
        assert "my orders" in site.get("/channels").text
        path, seen = "/channel?name=my+orders", ""
        for _ in range(3):
            reply = site.get(path)
            assert len(reply.text) < 200_000
            seen += reply.text
            older = re.search(r'rel="next" href="([^"]*)"', reply.text)
            path = older[1].replace("&amp;", "&") if older else ""
        assert path == ""
        assert all(f"no{number}." in seen for number in range(DOCUMENTS))
        assert "characters are not shown" in seen
        channel.destroy()


def test_a_thousand_jobs_are_shown_in_pages(site: Site, manager: oc.JobManager) -> None:
    """Rows are found by a part of the name."""
    with manager.run("seed"):
        pass
    [seed] = manager.runs()
    made = [seed | {"name": f"job {n:04}", "startTime": n + 1} for n in range(1000)]
    manager.jobs.set_all([({"name": r["name"], "startTime": r["startTime"]}, r) for r in made])
    text = site.get("/").text
    assert "1001 jobs" in text
    assert text.count("<tr class=") == 100
    assert "1 to 100 of 1001" in text
    assert "101 to 200 of 1001" in site.get("/?from=100").text
    found = site.get("/?find=JOB+007").text
    assert found.count("<tr class=") == 10
    assert site.get("/?from=99999999999999").status == 200


def test_unlocking_is_recorded_with_its_author(acting: Site, manager: oc.JobManager) -> None:
    """And refused if the lock has another holder than the page has shown."""
    run = manager.start("busy", timeout=60)
    fields = {"action": "unlock", "name": "busy", "reason": "it hangs", "fence": str(run.fence - 1)}
    refused = acting.post("/act", fields, **LOGGED_IN)
    assert (refused.status, manager.locks.lock_info("busy") is None) == (409, False)
    done = acting.post("/act", fields | {"fence": str(run.fence)}, **LOGGED_IN)
    assert (done.status, manager.locks.lock_info("busy")) == (200, None)
    [record] = manager.runs("busy")
    assert "unlocked by ann on the web page: it hangs" in record["note"]
    [action] = manager.actions()
    assert (action.action, action.author, action.reason) == ("unlock", "ann", "it hangs")
    with pytest.raises(oc.LockLost):
        run.end()


def test_events_come_with_each_change(site: Site, manager: oc.JobManager) -> None:
    """Within a second or two, and the stream ends with the server."""
    import http.client

    site.get("/")
    connection = http.client.HTTPConnection("127.0.0.1", site.port, timeout=30)
    connection.request("GET", "/events")
    reply = connection.getresponse()
    assert reply.headers["Content-Type"].startswith("text/event-stream")
    assert reply.readline() == b"retry: 2000\n"
    with manager.run("new"):
        pass
    while (line := reply.readline()) != b"event: change\n":
        assert line
    assert "new" in site.get("/?part=live").text
    site.close()
    assert b"" in iter(reply.readline, None)
    connection.close()


def test_a_part_is_the_content_alone(site: Site) -> None:
    text = site.get("/?part=live").text
    assert "<html" not in text
    assert "jobs" in text


def test_channels_that_cannot_be_read_are_reported(site: Site, manager: oc.JobManager) -> None:
    """The page stays, with what it knew; a monitor sees that something is wrong."""
    with manager.run("known"):
        pass
    assert "known" in site.get("/").text
    manager.jobs.close()
    site.app.state.watcher.refresh()
    for path in ("/", "/job?name=known", "/?part=live"):
        text = site.get(path).text
        assert "known" in text
        assert "cannot be read" in text
    for path in ("/locks", "/daemons", "/locks?part=live"):
        assert "cannot be read" in site.get(path).text
    assert "cannot be read" not in site.get("/login").text
    assert site.get("/healthz").status == 503
    for path in ("/run?name=known&start=1", "/channels", "/channel?name=oJobManager-jobs"):
        for accept in ("text/html", "*/*"):
            reply = site.get(path, Accept=accept)
            assert reply.status == 503
            assert "cannot be read" in reply.text


def test_the_secrets_of_long_documents_are_masked(serve: Callable[..., Site]) -> None:
    """Only what is shown is searched for them, in a bounded time; a key may have secrets, too."""
    with oc.open_channel("long") as channel:
        text = "password=pa55word1 " * 50_000
        secret = 'a"b\nkey-12345'
        channel.set({"token": "key-token"}, {"apiKey": secret, "a": text, "b": f"it is {secret}"})
        reply = serve(channels={"long": channel}).get("/channel?name=long")
        assert "characters are not shown" in reply.text
        assert len(reply.text) < 40_000
        assert "password=***" in reply.text
        assert "it is ***" in reply.text
        for part in ("pa55", "12345", "key-token"):
            assert part not in reply.text
        channel.destroy()


def test_the_secrets_of_long_records_are_masked(site: Site, manager: oc.JobManager) -> None:
    """Other programs may write records, too: of long ones, only what is shown is searched."""
    text = "password=pa55word1 " * 50_000
    with manager.run("long"):
        pass
    (record,) = manager.runs("long")
    key = {"name": "long", "startTime": record["startTime"]}
    long = {"args": {"a": text}, "error": text, "traceback": text, "mine": {"b": text}}
    manager.jobs.set(key, {**record, **long, "traceparent": "00-trace-span-01"})
    shown = site.get(f"/run?name=long&start={record['startTime']}").text
    assert "pa55" not in shown
    assert shown.count("characters are not shown") == 4
    assert "00-trace-span-01" in shown


def test_the_page_can_be_mounted(manager: oc.JobManager) -> None:
    """All of its addresses then begin with the path of the mount."""
    from starlette.applications import Starlette
    from starlette.routing import Mount

    from ojobchannels_web import create_app

    with manager.run("x"):
        pass
    page = create_app(manager)
    whole = Starlette(routes=[Mount("/ops", page)])
    site = Site(manager, app=whole, watcher=page.state.watcher)
    try:
        text = site.get("/ops/").text
        links = set(re.findall(r'(?:href|src|hx-get|action)="(/[^"]*)"', text))
        assert links
        assert all(link.startswith("/ops/") for link in links)
        assert {site.get(link.replace("&amp;", "&")).status for link in links} == {200}
    finally:
        site.close()


def test_metrics_are_those_of_the_shared_records(site: Site, manager: oc.JobManager) -> None:
    with manager.run("report"):
        pass
    reply = site.get("/metrics")
    assert reply.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    assert "report" in reply.text
    assert "# TYPE" in reply.text


def test_a_channel_that_hangs_does_not_keep_the_page_from_its_end(
    manager: oc.JobManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watcher, "_LONGEST_STOP", 0.1)
    reads, continues = threading.Event(), threading.Event()

    def hang() -> list[oc.LockInfo]:
        reads.set()
        continues.wait(60)
        return []

    monkeypatch.setattr(manager.locks, "locks", hang)
    watching = watcher.Watcher(manager)
    watching.start()
    assert reads.wait(20)
    watching.stop()
    assert not continues.is_set()
    continues.set()
    monkeypatch.setattr(watcher, "_LONGEST_STOP", 20)
    watching.stop()
