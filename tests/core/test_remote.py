"""What networked backends share: retry rules, and servers that handles share."""

from __future__ import annotations

import os

import pytest

import ojobchannels as oc
from ojobchannels.remote import GET, POP, SET, Attempts, Operation, Outcome, Servers, redact


class Server:
    """A server that counts."""

    def __init__(self, settings: str) -> None:
        self.settings = settings
        self.checks = self.closed = self.forgotten = 0

    def check(self) -> None:
        self.checks += 1

    def close(self) -> None:
        self.closed += 1

    def forget(self) -> None:
        self.forgotten += 1


@pytest.mark.parametrize(
    ("operation", "outcome", "repeated", "in_doubt"),
    [
        (GET, Outcome.LOST, True, False),
        (SET, Outcome.LOST, True, True),
        (POP, Outcome.LOST, False, True),
        (POP, Outcome.NOT_DONE, True, False),
        (SET, Outcome.REFUSED, False, False),
    ],
)
def test_an_operation_is_repeated_if_that_is_safe(
    operation: Operation, outcome: Outcome, repeated: bool, in_doubt: bool
) -> None:
    attempts = Attempts(operation, 10)
    assert attempts.retry(OSError(), outcome) is repeated
    assert attempts.in_doubt is in_doubt


@pytest.mark.ojob_timed
def test_an_attempt_leaves_time_for_another_one_if_one_may_follow() -> None:
    """Half of what is left, since a connection may have been dropped without a message."""
    attempts = Attempts(GET, 1000)
    assert 490 < attempts.next_limit() <= 500
    assert 990 < Attempts(POP, 1000).next_limit() <= 1000
    assert Attempts(GET, 0.04).next_limit() > 0.03  # no attempt is too short to succeed


@pytest.mark.parametrize(("left", "spent"), [(8.0, 2.0), (0.5, 10), (-0.2, 10)])
def test_an_error_says_how_long_the_attempts_took(
    monkeypatch: pytest.MonkeyPatch, left: float, spent: float
) -> None:
    """And the timeout where they took nearly all of it."""
    monkeypatch.setattr(Attempts, "remaining", lambda _: left)
    assert Attempts(GET, 9.99999).spent() == spent


@pytest.mark.ojob_timed
def test_no_attempt_follows_after_the_timeout() -> None:
    attempts = Attempts(GET, 0.02)
    tries = 0
    while attempts.retry(OSError(), Outcome.NOT_DONE):
        tries += 1
    assert 0 < tries < 5
    assert attempts.remaining() < 0.02


def test_handles_with_equal_settings_share_a_server_that_is_checked_once() -> None:
    servers = Servers(Server)
    first, second, other = (servers.open(name, Server.check) for name in ("a", "a", "b"))
    assert first is second is not other
    assert first.checks == 1
    servers.release(first)
    assert first.closed == 0
    servers.release(first)
    assert first.closed == 1
    assert servers.open("a", Server.check) is not first
    servers.close()
    servers.release(other)
    assert other.closed == 1


def test_a_server_that_fails_its_check_is_closed() -> None:
    servers, opened = Servers(Server), []

    def check(server: Server) -> None:
        opened.append(server)
        raise oc.ChannelUnavailable("orders", "too old", "upgrade it")

    with pytest.raises(oc.ChannelUnavailable):
        servers.open("a", check)
    assert opened[0].closed == 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_forked_child_forgets_the_connections_of_its_parent() -> None:
    servers = Servers(Server)
    server = servers.open("a", Server.check)
    child = os.fork()
    if child == 0:
        os._exit(server.forgotten)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 1
    assert server.forgotten == 0


def test_secrets_are_redacted() -> None:
    assert redact("user:word@host", ("word", None, "")) == "user:***@host"
