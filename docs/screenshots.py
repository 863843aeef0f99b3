"""Takes the pictures of the page that the how-to shows: ``python docs/screenshots.py``.

Needs the distribution ``plugins/web``, playwright, and Debian's Chromium.
"""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

from ojobchannels_web.testing import Site
from playwright.sync_api import Browser, Page, sync_playwright

import ojobchannels as oc
from ojobchannels.manager.records import ending, iso, key_of

PICTURES: Final = Path(__file__).parent / "pictures"
JOB: Final = """\
- name: {name}
  from: oJobManager Job Start
  to: oJobManager Job End
  catch: oJobManager Error
  type: periodic
  typeArgs: {{cron: "{cron}"}}
  args: {{name: {name}}}
  exec: pass
"""
CRONS: Final = {
    "nightly-report": "0 30 2 * * *",
    "import-orders": "0 7/15 * * * *",
    "clean-up": "0 0 4 * * 0",
}
DAEMON: Final = f"""\
include: oJobManager.yaml
ojob: {{daemon: true}}
todo: [Init, {", ".join(CRONS)}]
jobs:
- name: Init
  to: oJobManager Init
{"".join(JOB.format(name=name, cron=cron) for name, cron in CRONS.items())}"""
MINUTE: Final = 60_000


def main() -> None:
    """Fill a database, serve the page, and take the pictures."""
    PICTURES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{folder}/jobs.db"
        Path(folder, "jobs.yaml").write_text(DAEMON, encoding="utf-8")
        environment = {**os.environ, "OJOB_JOBS": url}
        with oc.JobManager(url, url) as manager, sync_playwright() as playwright:
            fill(manager)
            command = [sys.executable, "-m", "ojobchannels", "run", "jobs.yaml"]
            daemon = subprocess.Popen(command, cwd=folder, env=environment)  # noqa: S603  our own program
            site = Site(manager)
            browser = playwright.chromium.launch(
                executable_path=shutil.which("chromium"), args=["--no-sandbox"]
            )
            try:
                take(browser, site)
            finally:
                browser.close()
                site.close()
                daemon.send_signal(signal.SIGTERM)
                daemon.wait()


def fill(manager: oc.JobManager) -> None:
    """Store the history of a week."""
    with manager.run("nightly-report", args={"day": "monday"}):
        pass
    [seed] = manager.runs()
    now = seed["startTime"]
    error = "cannot connect to orders.example.org: connection refused"
    made = [
        seed
        | {"name": name, "startTime": start, "startDate": iso(start), "runId": f"{start:x}"}
        | ending(start, status, took, error if status == "failed" else None)
        for name, every, took_ms in (("nightly-report", 1440, 83_000), ("import-orders", 15, 4_200))
        for number in range(30, 0, -1)
        for start in (now - number * every * MINUTE,)
        for took in (took_ms + (number * 7919) % (took_ms // 3),)
        for status in ("failed" if name == "import-orders" and number in (1, 14) else "completed",)
    ]
    manager.jobs.set_all([(key_of(each), each) for each in made])
    run = manager.start("sync-customers", timeout=600, args={"since": "2026-03-01"})
    run.update(progress=0.4)


def take(browser: Browser, site: Site) -> None:
    """Take all pictures."""
    page = opened(browser, site.url, width=1100, scheme="light")
    page.wait_for_selector("text=clean-up")
    page.screenshot(path=PICTURES / "web-jobs.png")
    dark = opened(browser, site.url, width=1100, scheme="dark")
    dark.click("text=nightly-report")
    dark.wait_for_selector("figure")
    dark.screenshot(path=PICTURES / "web-job.png")
    phone = opened(browser, site.url, width=380, scheme="light")
    phone.click("text=import-orders")
    phone.wait_for_selector("figure")
    phone.click("tbody tr:first-child a")
    phone.wait_for_selector("pre.error")
    phone.screenshot(path=PICTURES / "web-run.png")


def opened(browser: Browser, url: str, width: int, scheme: str) -> Page:
    """Open the first screen, live."""
    size = {"width": width, "height": 460 if width > 500 else 640}
    page = browser.new_context(viewport=size, color_scheme=scheme).new_page()  # type: ignore[arg-type]  # two literals
    page.goto(url)
    page.wait_for_selector("#connection[data-state=live]")
    return page


if __name__ == "__main__":
    main()
