"""Channels that a job file configures: errors in them are reported before any job runs."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from ojobchannels import ChannelUnavailable, InvalidOption, open_channel
from ojobchannels.backends.local.paths import explain
from ojobchannels.errors import JobFileError
from ojobchannels.ojob import check_file, run_file

CONFIGS = {  # the value of `chJobs`: the column, the path within it, and the message
    "{type: dbb, args: {file: x.db}}": (
        "20: {}.type: unknown channel type 'dbb'; did you mean `db`?"
    ),
    "{type: ignite}": (
        "20: {}.type: unknown channel type 'ignite'; install it with: pip install "
        "ojobchannels-ignite"
    ),
    "ignite://user:secret@h": (
        "13: {}: unknown channel type 'ignite'; install it with: pip install ojobchannels-ignite"
    ),
    "{type: [db]}": "20: {}.type: the type of a channel must be a string; write one, such as `db`",
    "{typ: db}": "14: {}.typ: unknown key `typ` of a channel; did you mean `type`?",
    "{type: db, file: x}": "24: {}.file: unknown key `file` of a channel; it belongs in `args`",
    "{type: db, args: {fil: x.db}}": (
        "31: {}.args.fil: type 'db' has no option `fil`; did you mean `file`?"
    ),
    "{type: db, args: {}}": (
        "13: {}: type 'db' needs the option `file`; write the path of the database below `args`"
    ),
    "{type: db, args: {file: ''}}": (
        "37: {}.args.file: the option `file` is empty; write the path of the database"
    ),
    "{type: db, args: {file: 5}}": (
        "37: {}.args.file: the option `file` of type 'db' must be a string; its meaning: path of "
        "the database"
    ),
    "{type: db, args: {file: x.db, durable: maybe}}": (
        "52: {}.args.durable: the option `durable` of type 'db' must be a boolean; its "
        "meaning: documents survive a power cut once the call has returned"
    ),
    "{type: db, args: [x.db]}": (
        "30: {}.args: the args of a channel must be a map; write `option: value`"
    ),
    "{args: {clok: 5}}": ("21: {}.args.clok: type 'simple' has no option `clok`; known: `space`"),
    "{args: {clock: 5}}": (
        "21: {}.args.clock: type 'simple' has no option `clock`; known: `space`"
    ),
    "5": (
        "13: {}: the configuration of a channel is a map or a URL; write `{{type: db, args: "
        "{{file: data.db}}}}`, or a URL"
    ),
    "sqlite://x.db": (
        "13: {}: invalid URL: 'sqlite://x.db' does not name a file; write "
        "sqlite:///relative/path or sqlite:////absolute/path"
    ),
    "sqlite:///x.db?durabel=1": (
        "13: {}: invalid option 'durabel': type 'db' does not take it; did you mean 'durable'? "
        "its options: durable, file, timeout"
    ),
}


def init(config: str) -> str:
    """Return a job file that passes a configuration to Init."""
    return (
        "include: oJobManager.yaml\n"
        "todo:\n"
        "- name: oJobManager Init\n"
        "  args:\n"
        f"    chJobs: {config}\n"
    )


@pytest.mark.parametrize("config", CONFIGS)
def test_an_invalid_configuration_is_reported_with_its_position(
    config: str, tmp_path: Path
) -> None:
    """The check knows the installed channel types, their options, and the types of those."""
    file = tmp_path / "f.yaml"
    file.write_text(init(config))
    with pytest.raises(JobFileError) as caught:
        check_file(file)
    assert str(caught.value) == f"{file}:5:{CONFIGS[config].format('todo[0].args.chJobs')}"


@pytest.mark.parametrize(
    "config",
    [
        "",
        "{{url}}",
        "{type: '{{type}}', args: {any: 1}}",
        "{type: db, args: {file: '{{file}}', durable: '${durable:-false}'}}",
        "{type: db, args: {file: x.db, durable: false, timeout: 5}}",
        "sqlite:///x.db?durable=false",
    ],
)
def test_valid_configurations_and_templates_are_accepted(config: str, tmp_path: Path) -> None:
    """The value of a template is only known when the job runs."""
    file = tmp_path / "f.yaml"
    file.write_text(init(f"'{config}'" if config.startswith("{{") else config))
    check_file(file)


def test_configurations_are_found_wherever_the_manager_is_opened(tmp_path: Path) -> None:
    """They are checked in jobs, in each call of the todo, and in code, but not in other args."""
    file = tmp_path / "f.yaml"
    file.write_text(
        "include: oJobManager.yaml\n"
        "jobs:\n"
        "- name: Job\n"
        "  from: oJobManager Job Start\n"
        "  args: {chLocks: {type: dbb}}\n"
        "- name: Data\n"
        "  args: {chLocks: {type: dbb}}\n"
        "- name: Code\n"
        "  exec: |\n"
        "    channel('ä', {'type': 'dbb'}).size()\n"
        "    channel('a', {'type': 'ignite'})\n"
        "    channel('a', args['config'])\n"
        "todo:\n"
        "- name: Job\n"
        "  args: [{}, {chJobs: {type: dbb}}]\n"
    )
    with pytest.raises(JobFileError) as caught:
        check_file(file)
    assert [(one.line, one.column, one.path) for one in caught.value.diagnostics] == [
        (5, 26, "jobs[0].args.chLocks.type"),
        (10, 18, "jobs[2].exec"),
        (15, 30, "todo[0].args[1].chJobs.type"),
    ]


def test_channels_of_the_caller_replace_those_of_the_file(tmp_path: Path) -> None:
    """A file for a server that this host does not have can be run with other channels."""
    file = tmp_path / "f.yaml"
    file.write_text(init("{type: ignite}"))
    simple = {"type": "simple"}
    assert run_file(file, jobs=simple, locks=simple).exit_status == 0
    with pytest.raises(JobFileError):
        run_file(file, jobs=None, locks=simple)


@pytest.mark.skipif("COVERAGE_PROCESS_CONFIG" in os.environ, reason="coverage imports sqlite3")
def test_the_check_opens_nothing_and_imports_no_driver(tmp_path: Path) -> None:
    """The descriptors of the channel types are enough."""
    file = tmp_path / "f.yaml"
    file.write_text(init(f"{{type: db, args: {{file: {tmp_path}/x.db}}}}"))
    code = (
        "import sys; from ojobchannels.ojob import check_file; check_file(sys.argv[1]);"
        "print(sorted({'sqlite3', 'tinydb', 'redis', 'pymongo'} & sys.modules.keys()))"
    )
    command = [sys.executable, "-c", code, str(file)]
    process = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert process.stdout == "[]\n"
    assert [one.name for one in tmp_path.iterdir()] == ["f.yaml"]


@pytest.mark.parametrize("name", ["clok", "clock"])
def test_the_clock_of_tests_is_not_a_documented_option(name: str) -> None:
    """A message about options only names those that a user can set."""
    with pytest.raises(InvalidOption) as caught:
        open_channel("a", {"type": "simple", "args": {name: 5}})
    assert str(caught.value).endswith("type 'simple' does not take it; its options: space")


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has /proc")
def test_the_error_for_a_folder_that_cannot_be_created_names_its_parent() -> None:
    """The advice names an existing folder."""
    with pytest.raises(ChannelUnavailable) as caught:
        open_channel("a", type="db", file="/proc/ojob/data/x.db")
    assert str(caught.value).endswith("; no folder can be created in /proc: use another path")


def test_the_error_for_a_folder_without_permission_names_the_permission(
    tmp_path: Path,
) -> None:
    """The permission is that on the existing folder."""
    refused = PermissionError(errno.EACCES, "Permission denied", str(tmp_path / "data"))
    message = str(explain("a", tmp_path / "data" / "more" / "x.db", refused))
    assert message.endswith(
        f"; user id {os.geteuid()} needs write permission on {tmp_path}, to create a folder there"
    )
