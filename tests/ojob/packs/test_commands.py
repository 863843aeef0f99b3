"""The job `oJob sh`: its output, its end, and templates in its command lines."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ojobchannels.ojob.args.templates import Rendered
from ojobchannels.ojob.packs.command_text import CommandText, Unquotable

if TYPE_CHECKING:
    from tests.ojob.conftest import Run

_HOSTILE = "a b; touch x 'y' \"z\" `touch x` $(touch x) \\ ' \n* touch x\nEND\ntouch x #"


def _printed(before: str, value: str, after: str, folder: Path) -> str:
    """Return what the shell prints for a command line with a value of a template in it."""
    command = CommandText(Rendered((before, value, after)))
    done = subprocess.run(
        ["/bin/sh", "-c", command.text],
        env={"PATH": "/usr/bin:/bin", **command.variables},
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("printf %s ", ""),
        ("printf %s pre", "post"),
        ("printf %s 'in single ", " quotes'"),
        ('printf %s "in double ', ' quotes"'),
        ("printf %s 'a <<' b '", "'"),
        ('printf %s "$(printf %s ', ')"'),
        ('printf %s "$(printf %s "', '")"'),
        ("x=", '; printf %s "$x"'),
        ("# it's a comment\nprintf %s ", ""),
        ("printf %s it\\'s", ""),
        ('cat <<END\nin a "document" it\'s ', "\nEND\n"),
        ("cat <<-END; printf %s ", "\n\ta document\n\tEND\n"),
        ('case x in x) printf %s "', '";; esac'),
        ("echo $((1 + (2))); printf %s ", ""),
    ],
)
def test_the_value_of_a_template_is_text_wherever_it_is(
    tmp_path: Path, before: str, after: str
) -> None:
    """The shell sees the whole value, and executes nothing in it."""
    expected = _printed(before, "VALUE", after, tmp_path).replace("VALUE", _HOSTILE)
    assert _printed(before, _HOSTILE, after, tmp_path) == expected
    assert list(tmp_path.iterdir()) == []


def test_a_value_is_refused_where_the_shell_replaces_no_variables() -> None:
    """In a here-document with a quoted delimiter, and in arithmetic unless it is an integer."""
    with pytest.raises(Unquotable, match="a here-document with a quoted delimiter"):
        CommandText(Rendered(("cat <<'END'\n", "value", "\nEND\n")))
    with pytest.raises(Unquotable, match="not an integer"):
        CommandText(Rendered(("echo $((1 + ", "a[$(id)]", "))")))
    assert CommandText(Rendered(("echo $((1 + ", "-2", "))"))).text == (
        "echo $((1 + ${ojob_value_1}))"
    )


def test_an_arg_in_a_command_line_cannot_inject_commands(run: Run) -> None:
    """Wherever the arg comes from, and in each command of a list."""
    _, reported = run(
        """\
        jobs:
        - name: Say
          to: oJob sh
          args: {cmd: ["echo {{word}}", "echo '{{word}}' \\"{{word}}\\""]}
        todo:
        - {name: Say, args: {word: "a; echo b"}}
        """
    )
    assert reported[:2] == ["Say: a; echo b", "Say: a; echo b a; echo b"]


def test_an_arg_cannot_inject_commands_after_code_in_a_process_of_its_own(run: Run) -> None:
    """The args come back from that process with their templates."""
    _, reported = run(
        """\
        jobs:
        - name: Say
          typeArgs: {timeout: 60000, onTimeout: kill}
          exec: args["word"] += "!"
          to: oJob sh
          args: {cmd: "echo {{word}}"}
        todo:
        - {name: Say, args: {word: "a; echo b"}}
        """
    )
    assert reported[0] == "Say: a; echo b"


def test_a_whole_command_may_be_a_template(run: Run) -> None:
    """Then the arg is the command, not a part of it."""
    _, reported = run(
        """\
        jobs:
        - {name: Say, to: oJob sh, args: {cmd: "{{command}}", command: "echo a; echo b"}}
        todo: [Say]
        """
    )
    assert reported[:2] == ["Say: a", "Say: b"]


def test_output_that_is_not_utf8_is_shown_with_escapes(run: Run) -> None:
    """In the log and in the error; the args have the same bytes, as names of files."""
    result, reported = run(
        r"""
        jobs:
        - name: Log
          to: oJob sh
          args: {cmd: "printf 'caf\\351\\n'"}
        - name: Keep
          from: oJob sh
          args: {cmd: "printf 'caf\\351'", quiet: true}
          exec: "import os; log(os.fsencode(args['stdout']))"
        - name: Fail
          to: oJob sh
          args: {cmd: "printf 'caf\\351\\n' >&2; exit 3"}
        todo: [Log, Keep, Fail]
        """
    )
    assert reported[0] == "Log: caf\\xe9"
    assert "Keep: b'caf\\xe9'" in reported
    assert "CodeFailed: job 'Fail', `cmd`: exit status 3: caf\\xe9" in reported[-1]
    assert result.exit_status == 1


def test_the_timeout_ends_all_that_a_command_has_started(run: Run, tmp_path: Path) -> None:
    """Also in a process group of its own; the error is that of a job's timeout."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    script = tmp_path / "away.py"
    script.write_text("import os, time\nos.setpgid(0, 0)\nprint('away')\ntime.sleep(1000)\n")
    python = shlex.join([sys.executable, "-u", str(script)])
    command = f"exec 9>{shlex.quote(str(pipe))}; (sleep 1000) & {python}"
    _, reported = run(
        f"""
        jobs:
        - name: Wait
          to: oJob sh
          args: {{cmd: "{command}", timeout: 1000}}
        todo: [Wait]
        """
    )
    os.set_blocking(reader, True)
    assert os.read(reader, 1) == b""  # no process has the other end open any more
    os.close(reader)
    assert reported[0] == "Wait: away"
    assert "JobTimeout: job 'Wait' ran longer than its timeout of 1 s" in reported[1]
