"""The guard: foreign hosts, requests from other sites, logins."""

from __future__ import annotations

import html
import re
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from starlette.requests import HTTPConnection

import ojobchannels as oc
from ojobchannels.cli.commands.reading import web as web_command
from ojobchannels_web.screens import acting as acting_module
from ojobchannels_web.security import logins
from ojobchannels_web.security.logins import SESSION_SECONDS
from ojobchannels_web.settings import ACTIONS, Settings, is_loopback, parse_tokens
from ojobchannels_web.testing import Site

TOKEN = "ann-0123456789abcdef"
LOGGED_IN = {"Authorization": "Bearer ann-0123456789abcdef"}
SCREENS = (
    "/",
    "/locks",
    "/daemons",
    "/channels",
    "/actions",
    "/launches",
    "/login",
    "/healthz",
    "/job?name=x",
)
UNLOCK = {"action": "unlock", "name": "busy", "fence": "1"}


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example:80", "localhost.x", ""])
def test_a_foreign_host_header_is_refused(site: Site, host: str) -> None:
    """A site whose name was made to resolve to this host (DNS rebinding) reads nothing."""
    for path in SCREENS:
        assert site.get(path, Host=host).status == 400


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:1", "[::1]:80", "127.0.0.1"])
def test_the_names_of_this_host_are_known(site: Site, host: str) -> None:
    assert site.get("/healthz", Host=host).status == 200


def test_further_names_are_known_only_if_they_are_set(serve: Callable[..., Site]) -> None:
    site = serve(allowed_hosts=["jobs.example.org"])
    assert site.get("/healthz", Host="jobs.example.org:443").status == 200
    assert site.get("/healthz", Host="localhost").status == 400


def test_every_response_forbids_foreign_scripts_and_frames(site: Site) -> None:
    """Refusals and static files, too."""
    for path in (*SCREENS, "/static/page.js", "/nothing"):
        headers = site.get(path).headers
        policy = headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "script-src 'self';" in policy
        assert "frame-ancestors 'none'" in policy
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert "unsafe" not in policy


@pytest.mark.parametrize(
    "sent",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "none"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://["},
        {"Origin": ""},
        {"Sec-Fetch-Site": "cross-site", "Origin": "http://127.0.0.1"},
    ],
)
def test_a_post_from_another_site_is_refused(
    acting: Site, manager: oc.JobManager, sent: dict[str, str]
) -> None:
    """Even with a valid login, and whatever the action."""
    with manager.run("busy", timeout=60) as run:
        fields = {"action": "unlock", "name": "busy", "fence": str(run.fence)}
        assert acting.post("/act", fields, **LOGGED_IN, **sent).status == 403
        assert acting.post("/login", {"token": TOKEN}, **sent).status == 403
        run.check()


def test_a_post_without_any_origin_needs_a_token_in_the_request(acting: Site) -> None:
    """Programs send none; a browser that sends none cannot add a token by itself."""
    assert acting.post("/login", {"token": TOKEN}).status == 403
    cookie = _log_in(acting)
    assert acting.post("/act", UNLOCK, Cookie=cookie).status == 403


def test_actions_need_a_login(acting: Site) -> None:
    same = {"Sec-Fetch-Site": "same-origin"}
    assert acting.post("/act", UNLOCK, **same).status == 401
    wrong = {"Authorization": "Bearer wrong-wrong-wrong-wrong"}
    assert acting.post("/act", UNLOCK, **same, **wrong).status == 401
    assert acting.post("/act", UNLOCK, **same, Cookie="ojob_session=x").status == 401


def test_actions_that_are_not_allowed_are_refused(serve: Callable[..., Site]) -> None:
    site = serve(allow=["pause"], tokens={TOKEN: "ann"})
    for action in ("unlock", "cancel", "__class__", ""):
        assert site.post("/act", {"action": action}, **LOGGED_IN).status == 403


def test_a_session_ends_with_its_logout(acting: Site) -> None:
    """Its cookie is for this page alone: no script and no other site can use it."""
    cookie = _log_in(acting)
    same = {"Sec-Fetch-Site": "same-origin", "Cookie": cookie}
    assert acting.post("/act", UNLOCK, **same).status == 409  # the lock is free
    assert acting.post("/logout", {}, **same).status == 303
    assert acting.post("/act", UNLOCK, **same).status == 401


def test_a_session_ends_after_half_a_day(acting: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    cookie = _log_in(acting)
    assert "log out" in acting.get("/locks", Cookie=cookie).text
    later = time.monotonic() + SESSION_SECONDS + 1
    monkeypatch.setattr(logins, "time", SimpleNamespace(monotonic=lambda: later))
    assert "log out" not in acting.get("/login", Cookie=cookie).text


def test_guessing_tokens_is_slowed_down(acting: Site) -> None:
    """After ten wrong ones, even the right one is refused for a minute."""
    same = {"Sec-Fetch-Site": "same-origin"}
    found = [acting.post("/login", {"token": f"guess-{n}"}, **same).status for n in range(11)]
    assert found == [403] * 10 + [429]
    assert acting.post("/login", {"token": TOKEN}, **same).status == 429


@pytest.mark.parametrize(
    ("other", "is_known"),
    [("192.0.2.2", True), ("2001:db8:1::1", True), ("2001:db8::2", False), ("2001:db8::1", False)],
)
def test_guessing_locks_out_no_other_sender(other: str, is_known: bool) -> None:
    """Wrong tokens count for the address, or the network of IPv6, from which they come."""
    known = logins.Logins(Settings(tokens={TOKEN: "ann"}))
    for _ in range(10):
        assert known.author(_from("2001:db8::1", "wrong-wrong-wrong-wrong")) is None
    assert known.author(_from(other, TOKEN)) == ("ann" if is_known else None)


def _from(address: str, token: str) -> HTTPConnection:
    sent = [(b"authorization", f"Bearer {token}".encode())]
    return HTTPConnection({"type": "http", "headers": sent, "client": (address, 1)})


def test_pages_can_require_a_login(serve: Callable[..., Site]) -> None:
    """All but the form for the token, its style, and the probe of a monitor."""
    site = serve(tokens={TOKEN: "ann"}, login_to_read=True)
    for path in ("/", "/locks", "/channel?name=oJobManager-jobs", "/metrics", "/events"):
        assert site.get(path).status == 401
        assert site.get(path, Accept="text/html").headers["Location"] == "/login"
    for path in ("/login", "/static/style.css", "/healthz"):
        assert site.get(path).status == 200
    assert site.get("/locks", **LOGGED_IN).status == 200


def test_the_user_of_a_trusted_proxy_is_the_author(serve: Callable[..., Site]) -> None:
    site = serve(allow=["unlock"], user_header="X-Remote-User")
    assert ">bob<" in site.get("/locks", **{"X-Remote-User": "bob"}).text
    assert site.post("/act", UNLOCK, **{"Sec-Fetch-Site": "same-origin"}).status == 401


def test_the_header_of_others_than_the_proxy_is_not_believed(serve: Callable[..., Site]) -> None:
    site = serve(allow=["unlock"], user_header="X-Remote-User", trusted_proxies=["10.1.2.3"])
    sent = {"X-Remote-User": "root", "Sec-Fetch-Site": "same-origin"}
    assert ">root<" not in site.get("/locks", **sent).text
    assert site.post("/act", UNLOCK, **sent).status == 401


@pytest.mark.parametrize(
    "back", ["//evil.example/", "https://evil.example/", "/\\evil", "//[", "x", ""]
)
def test_an_action_leads_back_to_this_page_only(
    acting: Site, manager: oc.JobManager, back: str
) -> None:
    run = manager.start("busy", timeout=60)
    fields = {"action": "unlock", "name": "busy", "fence": str(run.fence), "back": back}
    reply = acting.post("/act", fields, Accept="text/html", **LOGGED_IN)
    assert (reply.status, reply.headers["Location"]) == (303, "/")
    with pytest.raises(oc.LockLost):
        run.end()


@pytest.mark.parametrize("name", ["two\r\nlines\rand\nmore", "a\x1b[2J\u202e\ufeff", "\"'<&>"])
def test_an_action_of_the_page_is_about_the_very_name(
    acting: Site, manager: oc.JobManager, name: str
) -> None:
    """Characters that the page shows as escapes, and browsers change, are sent as they are."""
    run = manager.start(name, timeout=60)
    (fields,) = re.findall(r'name="fields" value="([^"]*)"', acting.get("/locks", **LOGGED_IN).text)
    assert fields.isascii()
    assert fields.isprintable()
    form = {"action": "unlock", "fields": html.unescape(fields)}
    assert acting.post("/act", form, **LOGGED_IN).status == 200
    with pytest.raises(oc.LockLost):
        run.end()


@pytest.mark.parametrize("fields", ["{", "[]", "[" * 20_000, "1"])
def test_a_form_that_cannot_be_read_is_refused(acting: Site, fields: str) -> None:
    form = {"action": "unlock", "fields": fields}
    assert acting.post("/act", form, **LOGGED_IN).status == 400


def test_a_form_that_is_too_long_is_refused(acting: Site) -> None:
    assert acting.post("/act", {"action": "unlock", "x": "y" * 100_000}, **LOGGED_IN).status == 400


@pytest.mark.parametrize(
    "settings",
    [
        {"allow": frozenset({"unlock"})},
        {"login_to_read": True},
        {"tokens": {"short": "a"}},
        {"allow": frozenset({"eat"})},
    ],
)
def test_settings_without_a_safe_login_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"token|allow"):
        Settings(**settings)


def test_a_token_file_names_the_authors() -> None:
    assert parse_tokens("# people\nann lee  t1\n\nt2\n") == {"t1": "ann lee", "t2": "token"}
    with pytest.raises(ValueError, match="AUTHOR TOKEN"):
        parse_tokens("# no token\n")


def test_loopback_addresses_are_known() -> None:
    assert all(map(is_loopback, ("localhost", "127.0.0.1", "127.9.9.9", "::1", "[::1]")))
    assert not any(map(is_loopback, ("0.0.0.0", "::", "10.0.0.1", "example.org")))  # noqa: S104  compared, not bound


def test_every_action_that_can_be_allowed_is_carried_out() -> None:
    assert set(acting_module._ACTIONS) == set(ACTIONS) == {*web_command.ACTIONS}


def _log_in(site: Site) -> str:
    reply = site.post("/login", {"token": TOKEN}, **{"Sec-Fetch-Site": "same-origin"})
    assert reply.status == 303
    cookie = reply.headers["Set-Cookie"]
    assert {"HttpOnly", "SameSite=strict"} <= set(cookie.split("; "))
    return cookie.split(";")[0]
