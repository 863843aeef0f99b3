"""Failing storage: full, read-only, gone. Whatever it raises arrives as one of our errors."""

from __future__ import annotations

import shutil
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import pytest

from ojobchannels.channels.channel import Channel
from ojobchannels.errors import ChannelError
from ojobchannels.testing.contracts.base import Contract, requires
from ojobchannels.testing.contracts.concurrent.closing import CALLS
from ojobchannels.testing.kit.children import Children
from ojobchannels.testing.kit.report import NOT_CLAIMED
from ojobchannels.testing.kit.subject import Subject

# The size of files is limited as on a full disk; the kernel refuses what is written beyond it.
FULL: Final = """
import resource
def attempt(call):
    try:
        call()
    except oc.ChannelError as error:
        return type(error).__name__
    except BaseException as error:
        return f"{type(error).__name__}: {error}"
    return "done"
for n in range(5):
    channel.set(n, "x" * 1000)
lease = channel.lock("held", ttl=60)
limit = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, limit[1]))
large = [attempt(lambda: channel.set("large", "x" * 1_000_000))]
for n in range(40):
    if large[-1] == "done":
        large.append(attempt(lambda: channel.set(f"large {n}", "x" * 50_000)))
batch = "not claimed"
if "atomic_batches" in channel.capabilities:
    batch = attempt(lambda: channel.set_all((f"batch {n}", "x" * 50_000) for n in range(40)))
calls = [attempt(call) for call in (
    lambda: channel.get(0), lambda: channel.get_all(), lambda: channel.unset(4),
    lambda: channel.get_set("x" * 1000, 3, "x" * 1_000_000), lambda: channel.lock("new", ttl=60),
    lambda: channel.pop(), lambda: lease.extend(), lambda: lease.release(),
)]
resource.setrlimit(resource.RLIMIT_FSIZE, limit)
channel.set("after", 1)
send([large, batch, calls, sorted(map(str, channel.get_keys()))])
"""
READ_ONLY: Final = """
import ctypes, os, struct
if os.geteuid() == 0:  # root without the capability to write everything
    header, data = struct.pack("=Ii", 0x20080522, 0), struct.pack("=6I", *[0] * 6)
    assert ctypes.CDLL(None, use_errno=True).capset(header, data) == 0
def attempt(call):
    try:
        call()
    except oc.ChannelError as error:
        return "ours"
    except BaseException as error:
        return f"{type(error).__name__}: {error}"
    return "done"
def use():
    with oc.open_channel(params["name"], params["config"]) as channel:
        send([attempt(lambda: call(channel)) for call in CALLS.values()])
from ojobchannels.testing.contracts.concurrent.closing import CALLS
send()
receive()
send(attempt(use))
"""


@requires("durable", "processes")
class StorageContract(Contract):
    """Of a type whose files this host has; a server's storage is its own."""

    @pytest.fixture
    def files(self, request: pytest.FixtureRequest, subject: Subject) -> list[Path]:
        """The files and folders of the channel, once it was opened."""
        with subject.open() as channel:
            channel.set(1, 1)
        files = subject.files()
        if not files:
            request.node.user_properties.append((NOT_CLAIMED, "its files are not known here"))
            pytest.skip(f"{subject.label} has no files on this host")
        return files

    @pytest.mark.usefixtures("files")
    def test_a_full_storage_raises_storage_full(self, subject: Subject, children: Children) -> None:
        """Nothing of the write is stored, other calls raise our errors, and space is used again."""
        large, batch, calls, keys = children(FULL, subject).receive()
        if {*large} == {"done"}:
            pytest.skip(f"the size of the files of {subject.label} is not limited by the system")
        assert large[-1] == "StorageFull"
        assert batch in ("StorageFull", "not claimed")
        ours = {"done", "StorageFull", "ChannelUnavailable", "LockLost"}
        assert {*calls} <= ours, "an error of the driver or of the system got through"
        assert calls[0] == "done", "a full storage cannot be read"
        assert "after" in keys
        assert not any(key.startswith("batch") for key in keys), "half a batch was stored"

    def test_a_storage_without_write_permission_raises_our_errors(
        self, subject: Subject, children: Children, files: list[Path]
    ) -> None:
        """When it is opened, or by each operation that writes."""
        everything = [*files, *(path for file in files for path in file.rglob("*"))]
        modes = {path: path.stat().st_mode for path in [*everything, files[0].parent]}
        child = children(READ_ONLY, None, name=subject.name, config=subject.config)
        child.receive()
        try:
            for path, mode in modes.items():
                path.chmod(mode & ~0o222)
            child.send()
            outcome = child.receive()
            results = outcome if isinstance(outcome, list) else [outcome]
        finally:
            for path, mode in modes.items():
                path.chmod(mode)
        assert {*results} <= {"ours", "done"}, "an error of the driver or of the system got through"

    def test_a_storage_that_is_deleted_raises_our_errors(
        self, subject: Subject, files: list[Path]
    ) -> None:
        """Each call of an open handle does that, or works; a handle opened later works."""
        channel = subject.open()
        lease = channel.lock("held", ttl=60)
        for path in files:
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        failed = {name: error for name in CALLS if (error := _foreign_error(channel, name))}
        assert failed == {}, "an error of the driver or of the system got through"
        with suppress(ChannelError):
            lease.release()
        channel.close()
        with subject.open() as again:
            again.set("key", 1)
            assert again.get("key") == 1


def _foreign_error(channel: Channel, name: str) -> Any:
    try:
        CALLS[name](channel)
    except ChannelError:
        return None
    except Exception as error:  # noqa: BLE001  what must not be raised
        return repr(error)
    return None
