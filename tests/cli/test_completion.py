"""``ojob completion``: the scripts, and what they complete."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.shell_completion import ShellComplete
from click.testing import CliRunner

import ojobchannels as oc
from ojobchannels.cli import COMMANDS, cli

SHELLS = ("bash", "zsh", "fish")
IN_SHELL = {
    "bash": """
source <(ojob completion bash)
COMP_WORDS=(ojob hist) COMP_CWORD=1
_ojob_completion ojob
printf '%s\\n' "${COMPREPLY[@]}"
""",
    "zsh": """
compdef() { : }
_describe() { print -rl -- "${(@P)3}" }
source <(ojob completion zsh)
words=(ojob hist) CURRENT=2
_ojob_completion
""",
    "fish": """
ojob completion fish | source
complete -C "ojob hist"
""",
}


def completed(*words: str) -> list[str]:
    """Return what a shell offers for the last word."""
    shell = ShellComplete(cli, {}, "ojob", "_OJOB_COMPLETE")
    return [item.value for item in shell.get_completions(list(words[:-1]), words[-1])]


@pytest.mark.parametrize("shell", SHELLS)
def test_the_script_calls_ojob_for_what_completes_a_word(shell: str) -> None:
    """The same for a shell that is named, and for the one in SHELL."""
    named = CliRunner().invoke(cli, ["completion", shell])
    own = CliRunner(env={"SHELL": f"/bin/{shell}"}).invoke(cli, ["completion"])
    assert "_OJOB_COMPLETE" in named.stdout
    assert f"{shell}_complete" in named.stdout
    assert own.stdout == named.stdout
    assert named.exit_code == own.exit_code == 0


def test_a_shell_without_completion_is_named() -> None:
    done = CliRunner(env={"SHELL": "/bin/dash"}).invoke(cli, ["completion"])
    assert done.exit_code == 2
    assert "'dash'; name one of bash, zsh, fish" in done.stderr


def test_commands_are_completed() -> None:
    assert completed("") == list(COMMANDS)


def test_jobs_and_locks_are_completed(tmp_path: Path) -> None:
    """From the channels that the command line names."""
    url = f"sqlite:////{tmp_path / 'jobs.db'}"
    with oc.JobManager(url, url) as manager, manager.run("nightly"):
        with manager.run("hourly"):
            pass
        assert completed("history", "--jobs", url, "") == ["hourly", "nightly"]
        assert completed("history", "--jobs", url, "ni") == ["nightly"]
        assert completed("unlock", "--jobs", url, "") == ["nightly"]


def test_without_channels_no_name_is_completed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing fails, since a shell would show that in the middle of a line."""
    monkeypatch.delenv("OJOB_FILE", raising=False)
    monkeypatch.delenv("OJOB_JOBS", raising=False)
    assert completed("history", "") == []
    assert completed("unlock", "--jobs", f"sqlite:////{tmp_path / 'missing.db'}", "") == []


@pytest.mark.parametrize("shell", SHELLS)
def test_a_real_shell_completes_a_command(shell: str, tmp_path: Path) -> None:
    """The script is sourced as the guide says, and offers what begins with the word."""
    program = shutil.which(shell)
    if program is None:
        pytest.skip(f"{shell} is not installed: apt-get install {shell}")
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
    done = subprocess.run(
        [program, "-c", IN_SHELL[shell]],
        env={"PATH": path, "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert re.findall(r"\w+", done.stdout)[:1] == ["history"], done.stderr
