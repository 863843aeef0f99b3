"""The examples for containers: the probes work, the parts fit, and the image builds."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from ojobchannels.ojob import check_file

CHECKOUT = Path(__file__).resolve().parents[2]
FOLDER = CHECKOUT / "docs" / "examples" / "containers"
ALIVE = "/run/ojob/alive"

pytestmark = pytest.mark.kit  # on one interpreter


def read(name: str) -> Any:
    return YAML(typ="safe", pure=True).load((FOLDER / name).read_text("utf-8"))


def kubernetes() -> dict[str, Any]:
    """Return the container of the deployment."""
    (container,) = read("kubernetes.yaml")["spec"]["template"]["spec"]["containers"]
    return dict(container)


def probes() -> list[list[str]]:
    """Return the commands of all probes, of Kubernetes and of Compose."""
    container = kubernetes()
    found = [container[f"{kind}Probe"]["exec"]["command"] for kind in ("startup", "liveness")]
    kind, text = read("compose.yaml")["services"]["reports"]["healthcheck"]["test"]
    assert kind == "CMD-SHELL"
    return [*found, ["sh", "-c", text.replace("$$", "$")]]


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Start what the container runs, with the alive file and the secret in a folder of the test."""
    shutil.copy(FOLDER / "reports.yaml", tmp_path)
    (tmp_path / "jobs_url").write_text(f"sqlite:////{tmp_path / 'jobs.db'}\n", encoding="utf-8")
    last = (FOLDER / "Dockerfile").read_text("utf-8").split("\nCMD ")[1].splitlines()[0]
    words = [word.replace(ALIVE, str(tmp_path / "alive")) for word in json.loads(last)]
    process = subprocess.Popen(
        [sys.executable, "-m", "ojobchannels", *words],
        cwd=tmp_path,
        env={**os.environ, "OJOB_JOBS_FILE": str(tmp_path / "jobs_url")},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    yield process
    process.kill()
    process.wait()


def test_the_probes_succeed_while_the_daemon_works_and_fail_else(
    daemon: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    """Before its start, while it is stopped for longer than the probe allows, and after its end."""
    alive = tmp_path / "alive"

    def results() -> list[bool]:
        commands = [[word.replace(ALIVE, str(alive)) for word in probe] for probe in probes()]
        return [
            subprocess.run(each, stderr=subprocess.DEVNULL).returncode == 0 for each in commands
        ]

    while not alive.exists():
        assert daemon.poll() is None
        time.sleep(0.02)
    assert results() == [True, True, True]
    daemon.send_signal(signal.SIGSTOP)
    minutes_ago = time.time() - 120
    os.utime(alive, (minutes_ago, minutes_ago))
    assert results() == [True, False, False]
    daemon.send_signal(signal.SIGCONT)
    while alive.stat().st_mtime == minutes_ago:
        time.sleep(0.02)
    assert results() == [True, True, True]
    daemon.send_signal(signal.SIGTERM)
    assert daemon.wait() == 0
    assert results() == [False, False, False]


def test_the_job_file_is_valid_and_leaves_the_channels_to_the_environment() -> None:
    job_file = check_file(FOLDER / "reports.yaml")
    assert len(job_file.todo) == 2
    assert "chJobs" not in (FOLDER / "reports.yaml").read_text("utf-8")


def test_the_volumes_and_secrets_that_are_used_are_declared() -> None:
    """In both examples; the alive file and the secret lie on mounted volumes."""
    pod = read("kubernetes.yaml")["spec"]["template"]["spec"]
    container = kubernetes()
    mounts = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
    assert set(mounts) == {volume["name"] for volume in pod["volumes"]}
    (variable,) = container["env"]
    assert (variable["name"], Path(variable["value"]).parent) == (
        "OJOB_JOBS_FILE",
        Path(mounts["secret"]),
    )
    assert Path(ALIVE).parent == Path(mounts["run"])
    assert container["args"][-1] == ALIVE
    compose = read("compose.yaml")
    for service in compose["services"].values():
        assert set(service["secrets"]) <= set(compose["secrets"])
    assert Path(ALIVE).parent == Path(compose["services"]["reports"]["tmpfs"][0].split(":")[0])


def engine() -> str | None:
    """Return the program of a container engine that works, or None."""
    for program in ("docker", "podman"):
        if shutil.which(program):
            done = subprocess.run([program, "info"], capture_output=True, timeout=60)
            if done.returncode == 0 and b"Cannot connect" not in done.stderr:
                return program
    return None


@pytest.mark.timeout(600)
def test_the_image_builds_and_runs(tmp_path: Path) -> None:
    """Where an engine is there; with the package of this checkout in place of the released one."""
    program = engine()
    if program is None:
        pytest.skip("no container engine: install docker or podman, and start it")
    context = tmp_path / "context"
    shutil.copytree(FOLDER, context)
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(context)]
    subprocess.run(build, cwd=CHECKOUT, check=True, stdout=subprocess.DEVNULL)
    (wheel,) = context.glob("*.whl")
    (context / "requirements.txt").write_text(f"/app/{wheel.name}\n", encoding="utf-8")
    text = (context / "Dockerfile").read_text("utf-8")
    text = text.replace("COPY requirements.txt", f"COPY requirements.txt {wheel.name}")
    (context / "Dockerfile").write_text(text, encoding="utf-8")
    subprocess.run([program, "build", "-t", "ojobchannels-test", str(context)], check=True)
    try:
        command = [program, "run", "--rm", "--read-only", "ojobchannels-test", "check"]
        done = subprocess.run([*command, "reports.yaml"], capture_output=True, text=True)
        assert (done.returncode, done.stderr) == (0, "")
        assert "no errors" in done.stdout
    finally:
        subprocess.run([program, "image", "rm", "-f", "ojobchannels-test"], check=True)
