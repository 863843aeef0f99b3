"""What `IgniteServer` needs: a JDK, and Maven the first time."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from ojobchannels.testing.servers import IgniteServer, ServerMissing, or_skip
from ojobchannels.testing.servers.ignite import archive, jars


def test_without_java_the_command_that_installs_it_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the reason of a skip."""
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ServerMissing, match="apt-get install openjdk-17-jdk-headless maven"):
        IgniteServer()


def test_without_maven_only_jars_that_are_there_are_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those of an earlier run need no network; without any, the error names Maven."""
    java = shutil.which("java")
    if java is None:
        pytest.skip("apt-get install openjdk-17-jdk-headless maven")
    (tmp_path / "java").symlink_to(java)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ServerMissing, match=r"mvn, for Apache Ignite, .* maven"):
        IgniteServer()
    assert [path.name for path in (tmp_path / "cache" / "ojobchannels").iterdir()] == [
        "ignite.lock"
    ]


def test_the_jars_are_fetched_once() -> None:
    """A second process finds them, with the compiled program."""
    if shutil.which("mvn") is None or shutil.which("javac") is None:
        pytest.skip("apt-get install openjdk-17-jdk-headless maven")
    folder = jars()
    assert jars() == folder
    assert (folder / "IgniteNode.class").exists()
    assert list(folder.glob("ignite-core-*.jar"))


def test_a_node_starts_from_the_archive_of_its_classes() -> None:
    """The first node that is started writes it, and later ones leave it as it is."""
    with or_skip():
        node = IgniteServer()
        made = archive(jars())
    before = made.stat()
    if not before.st_size:
        pytest.skip("this JVM writes no archive")
    with node:
        assert str(made) in Path(f"/proc/{node.pid}/maps").read_text()
    after = made.stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
