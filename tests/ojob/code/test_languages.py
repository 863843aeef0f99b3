"""The language of a job's code: how it is chosen, and what a language plugin can do."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

import ojobchannels as oc
from ojobchannels.ojob import Output, RunResult, check_file, manager_config, run_file
from ojobchannels.ojob.code import resolver
from ojobchannels.ojob.languages import Code, Host, Language, Program, ProvidedLanguage
from ojobchannels.ojob.report.events import Event


class Lines:
    """Keeps the lines that jobs log."""

    def __init__(self) -> None:
        self.reported: list[str] = []

    def emit(self, event: Event) -> None:
        if event.kind in ("log", "failed", "skipped"):
            self.reported.append(event.message)

    def close(self) -> None:
        pass


class Shout:
    """A program in a language with three words."""

    def __init__(self, code: Code) -> None:
        self._code = code

    def run(self, host: Host) -> Any:
        match self._code.text.strip():
            case "leave":
                host.skip("no need")
            case "fail":
                raise oc.CodeFailed(f"{self._code.file}:{self._code.line}", "it failed")
            case text:
                host.log("info", f"{text.upper()} {host.documents()}")
                host.args["heard"] = True
        return "result"


def compile_shout(code: Code) -> Program:
    if "??" in code.text:
        raise oc.CodeFault("`??` is not understood", code.line, code.text.index("??") + 1)
    return Shout(code)


SHOUT = Language("shout", "Says it louder", compile_shout, ("loud",))


@pytest.fixture
def _shout(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Offer the language `shout`, as a plugin does."""
    offered = [ProvidedLanguage(SHOUT, "shouting")]
    monkeypatch.setattr(resolver, "plugin_languages", lambda: offered)
    resolver.find_language.cache_clear()
    yield
    resolver.find_language.cache_clear()


def run(folder: Path, text: str, lang: str | None = None) -> tuple[RunResult, list[str]]:
    path = folder / "f.yaml"
    path.write_text(dedent(text))
    lines = Lines()
    return run_file(path, output=Output(lines), lang=lang), lines.reported


def faults(folder: Path, text: str) -> list[str]:
    path = folder / "f.yaml"
    path.write_text(dedent(text))
    with pytest.raises(oc.JobFileError) as caught:
        check_file(path)
    return [str(diagnostic).removeprefix(f"{path}:") for diagnostic in caught.value.diagnostics]


@pytest.mark.usefixtures("_shout")
@pytest.mark.parametrize(
    ("of_the_run", "of_the_file", "of_the_job", "chosen"),
    [
        (None, None, None, "python"),
        ("shout", None, None, "shout"),
        (None, "shout", None, "shout"),
        ("python", "loud", None, "shout"),
        ("shout", "shout", "typeArgs: {lang: python}", "python"),
        ("shout", "shout", "lang: python", "python"),
        (None, None, "typeArgs: {lang: loud}", "shout"),
    ],
)
def test_the_nearest_setting_chooses_the_language(
    tmp_path: Path,
    of_the_run: str | None,
    of_the_file: str | None,
    of_the_job: str | None,
    chosen: str,
) -> None:
    """That of the job comes before that of its file, and that before that of the run."""
    text = f"""\
        ojob: {{lang: {of_the_file or ""}}}
        jobs:
        - name: A
          {of_the_job or "deps: []"}
          exec: log("python")
        todo: [A]
        """
    _, reported = run(tmp_path, text, of_the_run)
    assert reported == [{"python": "python", "shout": 'LOG("PYTHON") {}'}[chosen]]


@pytest.mark.usefixtures("_shout")
def test_host_tell_still_logs_with_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The name of version 0.1 works for one release."""
    monkeypatch.setattr(Shout, "run", lambda _, host: host.tell("info", "hello"))
    with pytest.warns(DeprecationWarning, match=r"Host\.log"):
        _, reported = run(tmp_path, "jobs: [{name: B, lang: shout, exec: b}]\ntodo: [B]\n")
    assert reported == ["hello"]


@pytest.mark.usefixtures("_shout")
def test_an_included_file_keeps_its_language(tmp_path: Path) -> None:
    """A file that sets its language uses it, whatever file includes it."""
    (tmp_path / "a.yaml").write_text("ojob: {lang: python}\njobs: [{name: A, exec: log('a')}]")
    (tmp_path / "b.yaml").write_text("jobs: [{name: B, exec: b}]")
    text = "include: [./a.yaml, ./b.yaml]\nojob: {lang: shout}\ntodo: [A, B]\n"
    assert run(tmp_path, text)[1] == ["a", "B {}"]


@pytest.mark.usefixtures("_shout")
def test_jobs_of_several_languages_share_their_args(tmp_path: Path) -> None:
    """Values that one language leaves in `args` reach the next step, and results are passed on."""
    _, reported = run(
        tmp_path,
        """\
        jobs:
        - name: Loud
          lang: shout
          exec: hello
        - name: A
          from: Loud
          args: {n: 1}
          exec: |
            log(args["heard"], job("Loud", {"n": {1, 1}}))
        todo: [A]
        """,
    )
    assert reported == ["HELLO {'n': 1}", "HELLO {'n': '{1}'}", "True result"]


@pytest.mark.usefixtures("_shout")
def test_code_of_a_plugin_can_skip_and_fail_its_job(tmp_path: Path) -> None:
    """`skip` skips, and an error is reported without the plugin's own traceback."""
    result, reported = run(
        tmp_path,
        """\
        ojob: {lang: shout}
        jobs:
        - name: Leave
          exec: leave
        - name: A
          from: Leave
          exec: never
        - name: B
          exec: |
            fail
        todo: [A, B]
        """,
    )
    assert result.exit_status == 1
    where = tmp_path / "f.yaml"
    assert reported == ["skipped: no need", reported[1]]
    assert reported[1].partition(": ")[2] == f"CodeFailed: {where}:10: it failed"


@pytest.mark.usefixtures("_shout")
def test_an_error_that_a_plugin_finds_is_reported_with_its_position(tmp_path: Path) -> None:
    """Line and column are those of the file."""
    text = "jobs:\n- name: A\n  lang: shout\n  exec: |\n    what??\n"
    (reported,) = faults(tmp_path, text)
    assert reported == "5:9: jobs[0].exec: invalid shout: `??` is not understood"


@pytest.mark.usefixtures("_shout")
def test_a_catch_of_another_language_is_code_or_a_name(tmp_path: Path) -> None:
    """A line that is only a name must be the name of a job."""
    (reported,) = faults(tmp_path, "ojob: {lang: shout}\njobs:\n- {name: A, catch: No Such Job}\n")
    assert "unknown job 'No Such Job'" in reported
    _, lines = run(
        tmp_path,
        """\
        ojob: {lang: shout}
        jobs:
        - name: A
          exec: fail
          catch: |
            oh
            no;
        todo: [A]
        """,
    )
    assert lines[0] == "OH\nNO; {}"


def test_a_language_of_two_plugins_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The message names both distributions."""
    offered = [ProvidedLanguage(SHOUT, name) for name in ("one", "other")]
    monkeypatch.setattr(resolver, "plugin_languages", lambda: offered)
    resolver.find_language.cache_clear()
    (reported,) = faults(tmp_path, "ojob: {lang: loud}")
    resolver.find_language.cache_clear()
    assert "provided by one and by other; uninstall one of them" in reported


def test_an_unknown_language_is_refused(tmp_path: Path) -> None:
    """In the file with its position, on the command line with a suggestion."""
    (reported,) = faults(tmp_path, "jobs:\n- {name: A, typeArgs: {lang: pyton}}\n")
    assert (
        reported == "2:30: jobs[0].typeArgs.lang: unknown language 'pyton'; did you mean `python`?"
    )
    with pytest.raises(oc.InvalidOption, match="did you mean `shell`"):
        run(tmp_path, "todo: []", "shel")


def test_javascript_instead_of_python_is_recognised(tmp_path: Path) -> None:
    """Both code that is not valid Python, and valid code that calls functions of JavaScript."""
    advice = "write `lang: js` below `typeArgs`, or run it with --lang js"
    for code in ("var a = 1;", "a.forEach(b => {\n});", "// nothing", 'if (a) {\n  throw "b";\n}'):
        text = "".join(f"    {line}\n" for line in code.splitlines())
        (reported,) = faults(tmp_path, f"jobs:\n- name: A\n  exec: |\n{text}")
        assert reported.endswith(f"it looks like JavaScript: {advice}"), code
    _, lines = run(tmp_path, "jobs:\n- {name: A, exec: 'sleep(5, true);'}\ntodo: [A]\n")
    assert f"`sleep` looks like JavaScript: {advice}" in lines[0]


def test_invalid_python_is_not_mistaken_for_javascript(tmp_path: Path) -> None:
    """Only code that Python never looks like counts as JavaScript."""
    (reported,) = faults(tmp_path, "jobs:\n- name: A\n  exec: |\n    if True\n        log('a')\n")
    assert "JavaScript" not in reported


def test_the_command_line_sets_the_default_language(tmp_path: Path, ojob: Any) -> None:
    """`--lang` applies to `run` and `check`; the manager's channels are read without it."""
    path = tmp_path / "f.yaml"
    path.write_text(
        "include: [oJobManager.yaml]\njobs:\n"
        "- {name: Init, to: oJobManager Init, args: {chJobs: {type: simple}}}\n"
        "- {name: A, exec: 'test 1 -eq 1 && echo \"$JOB\"'}\ntodo: [A]\n"
    )
    assert manager_config(path) == ({"type": "simple"}, None)
    assert ojob("check", "f.yaml").returncode == 2
    assert ojob("check", "f.yaml", "--lang", "shell").returncode == 0
    assert "| it runs" in ojob("run", "f.yaml", "--lang", "shell", "JOB=it runs").stdout
    refused = ojob("run", "f.yaml", "--lang", "nope")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert refused.stderr.startswith("ojob: invalid language 'nope': ")
