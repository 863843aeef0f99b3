"""The page in a real browser: live, by keyboard, on a phone, dark and light, with hostile texts."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest

import ojobchannels as oc
from ojobchannels_web.testing import Site

if TYPE_CHECKING:
    from playwright.sync_api import Page

    OpenPage = Callable[..., Page]

TOKEN = "ann-0123456789abcdef"
HOSTILE = "<img src=x onerror=alert(1)>'\"\u202e\x1b[2J"
PHONE = {"width": 360, "height": 740}
SCREENS = (
    "/",
    "/locks",
    "/daemons",
    "/channels",
    "/actions",
    "/launches",
    "/login",
    "/job?name=report",
)


def live(page: Page) -> Page:
    page.wait_for_selector("#connection[data-state=live]")
    return page


def open_first_row(page: Page, url: str) -> None:
    """Press keys, and once more if the rows were replaced between the two."""
    too_late = pytest.importorskip("playwright.sync_api").TimeoutError
    for _ in range(5):
        page.keyboard.press("j")
        page.keyboard.press("Enter")
        with suppress(too_late):
            page.wait_for_url(url, timeout=5000)
            return
    pytest.fail(f"no row led to {url}")


def log_in(page: Page, site: Site) -> None:
    page.goto(f"{site.url}/login")
    page.fill("[name=token]", TOKEN)
    page.press("[name=token]", "Enter")
    page.wait_for_selector(".author")


def state_of(page: Page, name: str) -> Any:
    return page.locator("tr", has=page.get_by_role("link", name=name, exact=True))


def test_the_first_screen_follows_the_jobs_without_reloading(
    site: Site, manager: oc.JobManager, open_page: OpenPage
) -> None:
    """A run appears as running, and as failed with its row moved to the top."""
    with manager.run("another"):
        pass
    page = live(open_page(site.url))
    page.evaluate("window.stays = true")
    run = manager.start("report", timeout=60)
    state_of(page, "report").locator(".s-running").first.wait_for()
    assert "lease ends" in state_of(page, "report").inner_text()
    run.fail("disk full")
    page.wait_for_selector("tbody tr:first-child .state.s-failed")
    assert page.locator("tbody th").first.inner_text() == "report"
    assert page.evaluate("window.stays")


def test_a_focused_row_keeps_the_focus(
    site: Site, manager: oc.JobManager, open_page: OpenPage
) -> None:
    """While its table is replaced, so that the keyboard can be used on a live page."""
    for name in ("a", "b", "report"):
        with manager.run(name):
            pass
    page = live(open_page(site.url))
    page.get_by_role("link", name="report", exact=True).focus()
    manager.start("new", timeout=60)
    page.get_by_role("link", name="new", exact=True).wait_for()
    assert page.evaluate("document.activeElement.textContent") == "report"
    manager.end("new")


def test_everything_is_reached_by_keyboard(
    site: Site, manager: oc.JobManager, open_page: OpenPage
) -> None:
    with manager.run("report", args={"day": "monday"}):
        pass
    page = live(open_page(site.url))
    page.keyboard.press("?")
    assert page.locator("#help").is_visible()
    page.keyboard.press("Escape")
    page.keyboard.press("/")
    page.keyboard.type("rep")
    page.keyboard.press("Enter")
    page.wait_for_url("**find=rep*")
    live(page)
    open_first_row(page, "**/job?name=report")
    live(page)
    open_first_row(page, "**/run?name=report*")
    assert "monday" in page.inner_text("main")
    for key, path in ("2", "/locks"), ("3", "/daemons"), ("4", "/channels"), ("5", "/actions"):
        live(page)
        page.keyboard.press(key)
        page.wait_for_url(f"**{path}")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_shows_all_screens_without_scrolling_sideways(
    site: Site, manager: oc.JobManager, open_page: OpenPage, scheme: str
) -> None:
    """With long and hostile names, in both colour schemes, with readable contrast."""
    manager.start("report", timeout=60, args={"x": "y" * 300}).fail("e" * 300)
    manager.start("long-" * 40, timeout=60)
    page = open_page(site.url, viewport=PHONE, color_scheme=scheme)
    for path in SCREENS:
        page.goto(site.url + path)
        width = page.evaluate("document.documentElement.scrollWidth")
        assert width <= PHONE["width"], path
    paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (paper == "rgb(255, 255, 255)") == (scheme == "light")
    manager.end("long-" * 40)


def test_the_colours_can_be_chosen_and_are_remembered(site: Site, open_page: OpenPage) -> None:
    page = live(open_page(site.url, color_scheme="light"))
    page.keyboard.press("t")
    page.goto(f"{site.url}/locks")
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"


def test_hostile_names_do_nothing(site: Site, manager: oc.JobManager, open_page: OpenPage) -> None:
    """They are shown as text; no element, dialog or request comes of them."""
    run = manager.start(HOSTILE, timeout=60, args={HOSTILE: HOSTILE})
    page = live(open_page(site.url))
    page.locator("tbody th a").click()
    page.wait_for_selector("h1")
    assert page.inner_text("h1").startswith("<img src=x")
    run.fail(HOSTILE)
    page.wait_for_selector("tbody .s-failed")
    page.locator("tbody th a").first.click()
    page.wait_for_selector("pre.error")
    assert page.locator("main img, main script").count() == 0


def test_unlocking_takes_a_login_a_reason_and_two_clicks(
    acting: Site, manager: oc.JobManager, open_page: OpenPage
) -> None:
    """Without a login there is nothing to click; afterwards the action is on its screen."""
    run = manager.start("report", timeout=60)
    page = open_page(f"{acting.url}/locks")
    assert page.get_by_text("Unlock").count() == 0
    log_in(page, acting)
    page.goto(f"{acting.url}/locks")
    page.get_by_text("Unlock…").click()
    page.fill("details [name=reason]", "it hangs")
    page.get_by_role("button", name="Unlock").click()
    page.wait_for_selector("text=No locks are held.")
    page.goto(f"{acting.url}/actions")
    row = page.locator("tbody tr").first.inner_text()
    assert all(word in row for word in ("unlock", "report", "ann", "it hangs"))
    with pytest.raises(oc.LockLost):
        run.end()


def test_a_form_of_a_foreign_site_is_refused(
    acting: Site, manager: oc.JobManager, open_page: OpenPage
) -> None:
    """Although the browser has a session here, and sends the form as a person would."""
    run = manager.start("report", timeout=60)
    page = open_page(acting.url, refusals=True)
    log_in(page, acting)
    form = f"""<form id=f method=post action="{acting.url}/act">
        <input name=action value=unlock><input name=name value=report>
        <input name=fence value="{run.fence}"></form>"""
    page.route(
        "http://foreign.test/", lambda route: route.fulfill(body=form, content_type="text/html")
    )
    page.goto("http://foreign.test/")
    with page.expect_response(f"{acting.url}/act") as refused:
        page.evaluate("document.getElementById('f').submit()")
    assert refused.value.status == 403
    assert manager.locks.lock_info("report") is not None
    run.end()
