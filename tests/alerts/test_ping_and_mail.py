"""Pings to a dead man's switch, and mails, against servers on loopback."""

from __future__ import annotations

import asyncio
import logging
import queue
import ssl
from collections.abc import Iterator
from email import message_from_bytes
from email.header import decode_header, make_header
from email.message import Message
from queue import SimpleQueue
from typing import Any

import pytest
import trustme
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult

from ojobchannels.alerts import Alert, Mail, Ping
from ojobchannels.alerts import watch as alert_watch
from tests.alerts.conftest import Receiver, Store, complete, fail

# aiosmtpd asks for the event loop in a way that asyncio is to drop.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:aiosmtpd")


class Mailbox:
    """Keeps the mails that a server accepts."""

    def __init__(self) -> None:
        self.mails: SimpleQueue[tuple[Any, Message]] = SimpleQueue()
        self.refusals: list[str] = []

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:  # noqa: N802  of aiosmtpd
        if self.refusals:
            return self.refusals.pop()
        self.mails.put((envelope, message_from_bytes(envelope.content)))
        return "250 OK"


class MailServer(Controller):
    """An SMTP server on a port that the system chooses; its end closes its connections."""

    def __init__(self, *args: Any, **settings: Any) -> None:
        self._protocols: list[Any] = []
        super().__init__(*args, **settings)

    def factory(self) -> Any:
        self._protocols.append(super().factory())  # type: ignore[no-untyped-call]  # no types here
        return self._protocols[-1]

    def stop(self, no_assert: bool = False) -> None:
        asyncio.run_coroutine_threadsafe(self._hang_up(), self.loop).result()
        super().stop(no_assert)

    async def _hang_up(self) -> None:
        for protocol in self._protocols:
            if protocol.transport is not None:
                protocol.transport.abort()
        for _ in range(2):  # one turn of the loop calls what closes, the next one has closed
            await asyncio.sleep(0)

    def _trigger_server(self) -> None:
        self.port = port_of(self)
        super()._trigger_server()  # type: ignore[no-untyped-call]  # aiosmtpd has no types here


@pytest.fixture
def mailbox() -> Mailbox:
    return Mailbox()


@pytest.fixture
def server(mailbox: Mailbox) -> Iterator[Controller]:
    """An SMTP server without TLS."""
    controller = MailServer(mailbox, hostname="127.0.0.1", port=0)
    controller.start()
    yield controller
    controller.stop()


def port_of(controller: Controller) -> int:
    """Return the port that the system chose for a server."""
    sockets: Any = getattr(controller.server, "sockets", ())
    return int(sockets[0].getsockname()[1])


def mail_to(host: str, port: int, password: str) -> Mail:
    """Return a target with a login."""
    to, sender = ["a@example.org"], "ojob@example.org"
    return Mail(to, sender, host, port, user="u", password=password)


def test_pings_report_start_success_and_failure(store: Store, receiver: Receiver) -> None:
    """Each run requests the URLs of its start and of how it ended, in this order."""
    success, start, end = (
        f"{receiver.url}/{event}?run={{{{runId}}}}&job={{{{job}}}}"
        for event in ("ok", "start", "fail")
    )
    switch = Ping(success, start, end)
    manager = store.manager([Alert(switch, jobs=["a&b"])])
    first = complete(manager, "a&b")
    complete(manager, "other")
    second = fail(manager, "a&b")
    manager.close()
    paths = [receiver.next().path for _ in range(4)]
    assert paths == [
        f"/start?run={first.run_id}&job=a%26b",
        f"/ok?run={first.run_id}&job=a%26b",
        f"/start?run={second.run_id}&job=a%26b",
        f"/fail?run={second.run_id}&job=a%26b",
    ]


def test_no_process_no_ping(store: Store, receiver: Receiver) -> None:
    """A dead man's switch gets nothing while nothing runs: that is what makes it alarm."""
    store.manager([Alert(Ping(receiver.url))]).close()
    with pytest.raises(queue.Empty):
        receiver.next(0.01)


def test_mail(store: Store, server: Controller, mailbox: Mailbox) -> None:
    """A mail has the notice, goes to all recipients, and can be recognised as automatic."""
    rule = Mail(
        ["a@example.org", "b@example.org"], "ojob@example.org", "127.0.0.1", port_of(server)
    )
    plain = Alert(Mail(rule.to, rule.sender, rule.host, rule.port, "none"))
    fail(store.manager([plain]), "naïve\nBcc: evil@example.org", "disk full")
    envelope, got = mailbox.mails.get(timeout=20)
    assert envelope.rcpt_tos == ["a@example.org", "b@example.org"]
    subject = str(make_header(decode_header(got["Subject"])))
    assert subject.startswith("job 'naïve\\n")
    assert got["Bcc"] is None
    assert got["Auto-Submitted"] == "auto-generated"
    assert "RuntimeError: disk full" in got.get_payload(decode=True).decode()  # type: ignore[union-attr]  # one part


def test_mail_is_sent_again(
    store: Store, server: Controller, mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A mail that the server refuses for now is sent again, with the same Message-ID."""
    monkeypatch.setattr(alert_watch, "_FIRST_RETRY_SECONDS", 0)
    mailbox.refusals = ["451 try again later"]
    mail = Mail(["a@example.org"], "ojob@example.org", "127.0.0.1", port_of(server), "none")
    fail(store.manager([Alert(mail)]))
    assert mailbox.mails.get(timeout=20)[1]["Message-ID"].endswith("@ojobchannels>")


def test_no_mail_without_tls(
    store: Store, server: Controller, mailbox: Mailbox, caplog: pytest.LogCaptureFixture
) -> None:
    """By default, nothing is sent to a server that does not offer TLS, and no password shown."""
    mail = mail_to("127.0.0.1", port_of(server), "hunter2-secret")
    with caplog.at_level(logging.WARNING, "ojobchannels.alerts"):
        manager = store.manager([Alert(mail)])
        fail(manager)
        manager.close()
    assert mailbox.mails.empty()
    assert "STARTTLS" in caplog.text
    assert "hunter2" not in caplog.text


def test_login_over_tls(
    store: Store, mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    """With STARTTLS, the certificate is checked, and user and password come from a file."""
    authority = trustme.CA()
    certificate = authority.issue_cert("localhost")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    (tmp_path / "password").write_text("hunter2\n")
    logins: list[tuple[bytes, bytes]] = []

    def authenticate(*args: Any) -> AuthResult:
        logins.append((args[4].login, args[4].password))
        return AuthResult(success=True)

    server = MailServer(
        mailbox,
        hostname="127.0.0.1",
        port=0,
        tls_context=context,
        require_starttls=True,
        authenticator=authenticate,
    )
    server.start()
    try:
        mail = mail_to("localhost", port_of(server), f"${{file:{tmp_path}/password}}")
        fail(store.manager([Alert(mail)]))
        mailbox.mails.get(timeout=20)
    finally:
        server.stop()
    assert logins == [(b"u", b"hunter2")]
