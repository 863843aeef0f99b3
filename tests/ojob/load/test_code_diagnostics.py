"""Diagnostics of the code in a job file."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.ojob.load.conftest import CheckReport

CASES = {  # the text of the file; what is reported, after its name
    "a stopWhen with a syntax error": (
        "jobs:\n- name: A\n  typeArgs:\n    cron: '@daily'\n    stopWhen: args[",
        "5:19: jobs[0].typeArgs.stopWhen: invalid Python: {syntax_error}",
    ),
    "an unknown language": (
        "jobs:\n- name: A\n  typeArgs: {lang: shel}",
        "3:20: jobs[0].typeArgs.lang: unknown language 'shel'; did you mean `shell`?",
    ),
    "a language in the wrong case": (
        "ojob: {lang: Python}",
        "1:14: ojob.lang: unknown language 'Python'; did you mean `python`?",
    ),
    "a job with two languages": (
        "jobs:\n- name: A\n  lang: shell\n  typeArgs: {lang: python}",
        "3:9: jobs[0].lang: `lang` and `typeArgs.lang` name different languages; remove one of "
        "them",
    ),
    "code with a syntax error": (
        "jobs:\n- name: A\n  exec: |\n    x = 1\n    if x\n      y = 2",
        "5:9: jobs[0].exec: invalid Python: {syntax_error}",
    ),
    "code that is JavaScript": (
        "jobs:\n- name: A\n  exec: |\n    var x = 1;",
        "4:9: jobs[0].exec: invalid Python: {syntax_error}; it looks like JavaScript: write "
        "`lang: js` below `typeArgs`, or run it with --lang js",
    ),
    "code with a lone surrogate": (
        "jobs:\n- name: A\n  exec: \"x = '\\ud800'\"",
        "3:9: jobs[0].exec: invalid Python: it contains a lone surrogate (line 1 of the code, "
        "`x = '\\ud800'`)",
    ),
    "code in quotes with a syntax error": (
        'jobs:\n- name: A\n  exec: "x = 1\\nif x"',
        "3:9: jobs[0].exec: invalid Python: {syntax_error} (line 2 of the code, `if x`)",
    ),
    "code spoiled by folding": (
        "jobs:\n- name: A\n  exec: >\n    x = 1\n    y = 2",
        "3:9: jobs[0].exec: invalid Python: {syntax_error} (line 1 of the code, `x = 1 y = "
        "2`); write `|` instead of `>`, which joins lines",
    ),
    "code hidden in a comment by folding": (
        "jobs:\n- name: A\n  exec: >\n    pass\n\n    # first\n    print(1)\n",
        "3:9: jobs[0].exec: the code after the `#` in line 2 of the code is lost; write `|` "
        "instead "
        "of `>`, which joins lines",
    ),
    "folded code with an error of its own": (
        "jobs:\n- name: A\n  exec: >\n    x = (\n",
        "4:9: jobs[0].exec: invalid Python: {syntax_error}",
    ),
    "code over several lines without a bar": (
        "jobs:\n- name: A\n  exec:\n    x = 1\n    y = 2",
        "4:5: jobs[0].exec: invalid Python: {syntax_error} (line 1 of the code, `x = 1 y = "
        "2`); write `|` after the key and the code below it; otherwise YAML joins its lines",
    ),
    "await in quotes": (
        'jobs:\n- name: A\n  exec: "x = 1\\nawait x"',
        "3:9: jobs[0].exec: invalid Python: {syntax_error} (line 2 of the code, `await x`)",
    ),
    "code that is nested too deeply": (
        "jobs:\n- name: A\n  exec: |\n    " + "-" * 50_000 + "1",
        "4:5: jobs[0].exec: invalid Python: it is nested too deeply",
    ),
    "yield at the top level": (
        "jobs:\n- name: A\n  exec: |\n    yield 1",
        "3:9: jobs[0].exec: `yield` is not allowed at the top level of a block; put it into a "
        "function",
    ),
    "await at the top level": (
        "jobs:\n- name: A\n  exec: |\n    await x",
        "4:5: jobs[0].exec: invalid Python: {syntax_error}",
    ),
    "a catch with a syntax error": (
        "jobs:\n- name: A\n  catch: |\n    log('failed'\n    pass",
        "4:8: jobs[0].catch: invalid Python: {syntax_error}",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_invalid_code_is_reported(case: str, check_report: CheckReport) -> None:
    """The diagnostic has its position, its path, and what to do."""
    check_report(*CASES[case])
