"""Notices to a webhook: once over all managers, again after a failure, never in a job's way."""

from __future__ import annotations

import contextlib
import logging
import os
import queue
import signal
import socket
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING

import pytest

from ojobchannels.alerts import Alert, Webhook, http
from ojobchannels.alerts import watch as alert_watch
from ojobchannels.errors import AlertNotSent
from tests.alerts.conftest import Receiver, Store, complete, fail

if TYPE_CHECKING:
    from ojobchannels.manager.records import Record


def test_failure_and_recovery_are_reported(store: Store, receiver: Receiver) -> None:
    """A receiver gets a notice of the first failure in a row, and one of the recovery."""
    manager = store.manager([Alert(Webhook(f"{receiver.url}/hook"))])
    run = fail(manager)
    notice = receiver.next().body
    assert notice["event"] == "failed"
    assert notice["job"] == "nightly"
    assert notice["runId"] == run.run_id
    assert notice["error"] == "RuntimeError: disk full"
    assert notice["message"].endswith("RuntimeError: disk full")
    fail(manager)
    complete(manager)
    recovered = receiver.next().body
    assert (recovered["event"], recovered["after"]) == ("recovered", "failed")
    with pytest.raises(queue.Empty):
        receiver.next(0.01)


def test_one_notice_over_all_managers(store: Store, receiver: Receiver) -> None:
    """Three managers with the same rule send one notice."""
    rule = Alert(Webhook(receiver.url))
    managers = [store.manager([rule]) for _ in range(3)]
    run = fail(managers[1])
    assert receiver.next().body["runId"] == run.run_id
    for manager in managers:
        manager.close()
    with pytest.raises(queue.Empty):
        receiver.next(0.01)


def test_retried_with_the_same_id(
    store: Store, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A notice that is refused with an error is sent again, and can be recognised."""
    monkeypatch.setattr(alert_watch, "_FIRST_RETRY_SECONDS", 0)
    receiver.statuses = [500, 429]
    fail(store.manager([Alert(Webhook(receiver.url))]))
    ids = {receiver.next().headers["Idempotency-Key"] for _ in range(3)}
    assert len(ids) == 1


def test_body_headers_and_secrets(
    store: Store,
    receiver: Receiver,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A body is a template; what is secret comes from the environment and is never logged."""
    monkeypatch.setenv("HOOK_TOKEN", "t0p-s3cret-value\n")  # as `base64` and editors write it
    receiver.statuses = [401]
    hook = Webhook(
        receiver.url + "/services/${env:HOOK_TOKEN}",
        {"text": "{{job}} {{event}}: {{error}}", "fields": [{"count": "{{count}}"}]},
        {"Authorization": "Bearer ${env:HOOK_TOKEN}"},
    )
    with caplog.at_level(logging.DEBUG):  # libraries log, too
        manager = store.manager([Alert(hook)])
        fail(manager)
        request = receiver.next()
        manager.close()
    assert request.path == "/services/t0p-s3cret-value"
    assert request.headers["Authorization"] == "Bearer t0p-s3cret-value"
    assert request.body == {
        "text": "nightly failed: RuntimeError: disk full",
        "fields": [{"count": 1}],
    }
    assert "HTTP status 401" in caplog.text
    assert "s3cret" not in caplog.text
    stored = [str(document) for document in store.manager().state.get_all()]
    assert stored
    assert not any("s3cret" in document for document in stored)


@pytest.mark.parametrize("secret", ["t0p\ns3cret", "t0p\rs3cret\\"])
def test_a_secret_that_cannot_be_sent_is_not_quoted(
    receiver: Receiver, secret: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Libraries quote what they refuse, with escapes; the error does not."""
    monkeypatch.setenv("HOOK_TOKEN", secret)
    hook = Webhook(receiver.url, headers={"X-Api-Key": "${env:HOOK_TOKEN}"})
    with pytest.raises(AlertNotSent) as caught:
        http.post(hook, {"id": "1", "event": "failed"})
    assert "t0p" not in str(caught.value)
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    ("status", "is_refused"), [(400, True), (422, True), (404, False), (429, False), (500, False)]
)
def test_whether_a_receiver_may_accept_other_notices(
    receiver: Receiver, status: int, is_refused: bool
) -> None:
    """A status says whether this notice is refused, or any."""
    receiver.statuses = [status]
    with pytest.raises(AlertNotSent) as caught:
        http.post(Webhook(receiver.url), {"id": "1", "event": "failed"})
    assert caught.value.is_refused is is_refused


def test_receiver_that_hangs_costs_a_job_nothing(
    store: Store, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Runs continue while a receiver hangs; a close waits for it a bounded time only."""
    monkeypatch.setattr(alert_watch, "LONGEST_CLOSE_SECONDS", 0.2)
    receiver.responds.clear()
    manager = store.manager([Alert(Webhook(receiver.url, timeout=20), every=1)])
    fail(manager)
    receiver.next()
    begun = time.monotonic()
    for _ in range(5):
        fail(manager)
    manager.close()
    assert time.monotonic() - begun < 10
    receiver.responds.set()


def test_what_a_process_left_is_sent_by_the_next(store: Store, receiver: Receiver) -> None:
    """The notices of a process that was killed before it could send them are sent by another."""
    rule = "Alert(Webhook('http://127.0.0.1:1/x'), name='hook', every=1)"
    text = (
        "import ojobchannels as oc, os, signal\n"
        "from ojobchannels.alerts import Alert, Webhook\n"
        f"manager = oc.JobManager({store.config!r}, {store.config!r}, alerts=[{rule}])\n"
        "run = manager.start('nightly'); run.fail('broken'); print(run.run_id, flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    child = subprocess.run(
        [sys.executable, "-c", text], capture_output=True, text=True, check=False
    )
    assert child.returncode == -signal.SIGKILL, child.stderr
    store.manager([Alert(Webhook(receiver.url), name="hook", every=1)])
    assert receiver.next(40).body["runId"] == child.stdout.strip()


def test_abandoned_run_is_reported(store: Store, receiver: Receiver) -> None:
    """A run whose process was killed is reported within seconds by another process."""
    manager = store.manager([Alert(Webhook(receiver.url))])
    text = (
        "import ojobchannels as oc, os, signal\n"
        f"manager = oc.JobManager({store.config!r}, {store.config!r})\n"
        "run = manager.start('nightly'); os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    subprocess.run([sys.executable, "-c", text], check=False)
    notice = receiver.next().body
    assert notice["event"] == "abandoned"
    complete(manager)
    assert receiver.next().body["after"] == "abandoned"


def test_a_receiver_that_sends_a_byte_now_and_then_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each byte comes in time, and the response never does; the request ends nevertheless."""
    monkeypatch.setattr(http, "_GRACE_SECONDS", 0.2)
    ended = threading.Event()

    def drip(server: socket.socket) -> None:
        connection, _ = server.accept()
        with connection, contextlib.suppress(OSError):
            connection.recv(65_536)
            connection.sendall(b"HTTP/1.1 200 OK\r\nX-Slow: ")
            while not ended.wait(0.02):
                connection.sendall(b"x")

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=drip, args=(server,))
        thread.start()
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        begun = time.monotonic()
        with pytest.raises(AlertNotSent):
            http.post(Webhook(url, timeout=0.5), {"id": "1", "event": "failed"})
        assert time.monotonic() - begun < 20
        ended.set()
        thread.join()


def test_redirect_is_not_followed(store: Store, receiver: Receiver) -> None:
    """A redirect counts as a failure: the notice must not go to another host."""
    receiver.statuses = [302]
    manager = store.manager([Alert(Webhook(receiver.url))])
    fail(manager)
    receiver.next()
    manager.close()
    pending: Record = store.manager().state.get({"alerts": Alert(Webhook(receiver.url)).id})
    assert [notice["event"] for notice in pending["notices"]] == ["failed"]


def test_a_forked_child_reports_its_own_runs(store: Store, receiver: Receiver) -> None:
    """A manager that was opened before a fork sends the notices of the child, too."""
    text = (
        "import os, warnings; warnings.simplefilter('ignore')\n"
        "import ojobchannels as oc\n"
        "from ojobchannels.alerts import Alert, Webhook, watch\n"
        "watch.LONGEST_CLOSE_SECONDS = 60\n"  # a busy machine may need more than three
        f"rule = Alert(Webhook({receiver.url!r}))\n"
        f"manager = oc.JobManager({store.config!r}, {store.config!r}, alerts=[rule])\n"
        "if os.fork() == 0:\n"
        "    manager.start('nightly').fail('broken'); manager.alerts.close(); os._exit(0)\n"
        "else:\n"
        "    os.wait(); os._exit(0)\n"
    )
    child = subprocess.Popen([sys.executable, "-c", text])
    assert receiver.next(40).body["job"] == "nightly"
    assert os.waitstatus_to_exitcode(child.wait()) == 0
