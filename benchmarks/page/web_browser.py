"""Measure the page in a real browser: ``python -m benchmarks.page.web_browser --jobs 1000``.

It fills a database with jobs, each with twenty runs and a schedule, one in ten with a hostile name,
and serves the page in a process of its own. Chromium then measures how long it takes to show the
first screen, to show that a run has started after it did, and to move by a key; and whether a
screen is wider than a phone. Needs the distribution ``plugins/web``, playwright, and Debian's
Chromium.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import ojobchannels as oc
from benchmarks.page.web_page import fill, served
from ojobchannels.host.clock import now_ms
from ojobchannels.manager.schedules.published import Published
from ojobchannels.manager.serving.presence import Presence

PHONE_WIDTH: Final = 360
HOSTILE: Final = "<img src=x onerror=alert(1)>'\"&\u202e\x1b[2J" + "long-" * 40
_RUNS: Final = 20
_TURNS: Final = 15
_NEXT_FRAME: Final = "() => new Promise(done => requestAnimationFrame(() => done()))"


def name_of(number: int) -> str:
    """Return the name of a job."""
    return f"job {number}{HOSTILE if number % 10 == 0 else ''}"


def publish(url: str, jobs: int) -> None:
    """Publish a schedule for each job, as a daemon does that has ended since."""
    schedules = [
        Published(
            name=name_of(number),
            job=name_of(number),
            run=name_of(number),
            claims=name_of(number),
            launched_by=None,
            cron=f"{number % 60} {number % 24} * * *",
            interval=0,
            timezone="UTC",
            misfire="last",
            jitter=0,
            overdue_after=60_000,
            since=now_ms(),
            ended=False,
        )
        for number in range(jobs)
    ]
    with oc.JobManager(url, url) as manager:
        daemon = Presence(manager.state, "/srv/jobs.yaml", "hash")
        daemon.update(schedules, {}, "hash")
        daemon.close()


def milliseconds(action: Callable[[], object]) -> float:
    """Return how long something takes."""
    began = time.perf_counter()
    action()
    return (time.perf_counter() - began) * 1000


class Measurement:
    """What one tab of the browser shows.

    Args:
        page: The tab.
        url: The address of the page.
        manager: A manager of another process than that of the page.
    """

    def __init__(self, page: Any, url: str, manager: oc.JobManager) -> None:
        self._page, self._url, self._manager = page, url, manager

    def load(self) -> float:
        """Return the time until the first screen is there, with everything that it needs."""
        return milliseconds(lambda: self._page.goto(self._url))

    def update(self, number: int) -> float:
        """Return the time from the end of a run until the first screen shows it."""
        job = f"measured {number}"
        begun = self._manager.start(job, timeout=60)
        begun.fail("as measured")
        link = self._page.get_by_role("link", name=job, exact=True)
        return milliseconds(lambda: link.wait_for(timeout=60_000))

    def key(self) -> float:
        """Return the time until the next row has the focus and is drawn."""
        self._page.keyboard.press("j")
        return milliseconds(
            lambda: (self._page.keyboard.press("j"), self._page.evaluate(_NEXT_FRAME))
        )

    def too_wide(self) -> list[str]:
        """Return the screens that are wider than a phone."""
        link = self._page.locator("tbody th a").first.get_attribute("href")
        wide = []
        for path in ("/", "/?from=500", "/locks", "/daemons", "/channels", "/actions", link):
            self._page.goto(self._url.rstrip("/") + path)
            if self._page.evaluate("document.documentElement.scrollWidth") > PHONE_WIDTH:
                wide.append(path)
        return wide


def main(arguments: list[str] | None = None) -> int:
    """Measure, print the results, and return 1 if a screen is wider than a phone."""
    from playwright.sync_api import sync_playwright

    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.page.web_browser", description=__doc__
    )
    parser.add_argument("--jobs", type=int, default=1000, help="how many jobs there are (1000)")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="bench-") as folder, sync_playwright() as playwright:
        url = f"sqlite:///{Path(folder, 'jobs.db')}"
        fill(url, options.jobs * _RUNS, options.jobs, name_of)
        publish(url, options.jobs)
        chromium = playwright.chromium.launch(
            executable_path=shutil.which("chromium"),
            args=["--no-sandbox", "--disable-dev-shm-usage"],
        )
        with served(url) as address, oc.JobManager(url, url) as manager:
            measured = Measurement(chromium.new_page(), address, manager)
            measured.load()
            _print("first screen", [measured.load() for _ in range(_TURNS)])
            _print("a run that has failed", [measured.update(turn) for turn in range(_TURNS)])
            _print("a key", [measured.key() for _ in range(_TURNS)])
            phone = Measurement(
                chromium.new_page(viewport={"width": PHONE_WIDTH, "height": 740}), address, manager
            )
            _print("first screen, phone", [phone.load() for _ in range(_TURNS)])
            wide = phone.too_wide()
            print(f"wider than a phone: {', '.join(wide) or 'no screen'}")
        chromium.close()
    return int(bool(wide))


def _print(what: str, values: list[float]) -> None:
    print(f"{what:24} median {statistics.median(values):6.0f} ms  longest {max(values):6.0f} ms")


if __name__ == "__main__":
    raise SystemExit(main())
