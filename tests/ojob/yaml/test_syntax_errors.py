"""A job file that is not valid YAML or JSON: the position of the error, and what to do."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ojobchannels.errors import JobFileError
from ojobchannels.ojob import check_file

ERRORS = {  # the text of the file; what is reported, after its name
    "broken flow": (
        "jobs: [1\ntodo: 2",
        "1:7: the bracket that opens here is not closed by `]`; close it, or separate its parts "
        "by commas",
    ),
    "a tab": (
        "jobs:\n\t- name: A",
        "2:1: unexpected tab; indent with spaces; YAML does not allow tabs",
    ),
    "a colon in a text": (
        "todo:\n- a: b: c",
        "2:7: a second `: ` on this line; quote the value",
    ),
    "two documents": (
        "jobs: []\n---\ntodo: []",
        "2:1: a second document begins here; a job file is one document",
    ),
    "a control character": (
        "jobs:\n- name: a\x07",
        "2:10: the character U+0007 is not allowed; remove it",
    ),
    "a key twice": (
        "jobs:\n- name: A\n  exec: pass\n  exec: pass",
        "4:3: jobs[0].exec: duplicate key `exec`; remove one of them; the first is on line 3",
    ),
    "a key that is not a string": (
        "jobs:\n- name: A\n  args: {1: x}",
        "3:10: jobs[0].args: the key `1` is not a string; quote it",
    ),
    "a tag": (
        "jobs:\n- name: !!binary A",
        "2:9: jobs[0].name: the tag `!!binary` is not supported; remove it",
    ),
    "a tagged number that is not a number": (
        "jobs:\n- name: A\n  args: {a: !!int x}",
        "3:13: jobs[0].args.a: `x` is not a valid integer; quote it, and write no tag",
    ),
    "a merge of something else": (
        "jobs:\n- name: A\n  <<: 5",
        "3:7: jobs[0]: `<<` takes a map or a list of maps; name the anchor of one: `<<: *anchor`",
    ),
    "too many brackets": (
        "[" * 500,
        "1:101: nested deeper than 100 levels from here on; use fewer levels",
    ),
    "an alias to itself": (
        "jobs: &a [*a]",
        "1:11: the alias is inside its own anchor; remove the alias",
    ),
    "an alias to what it is part of, in a merge": (
        "jobs:\n- name: A\n  args: &a\n    b: {<<: [{c: 1}, *a]}",
        "4:22: the alias is inside its own anchor; remove the alias",
    ),
    "aliases that lead deeper and deeper": (
        "- &x0 [1]\n" + "".join(f"- &x{at} [*x{at - 1}]\n" for at in range(1, 200)),
        "99:9: nested deeper than 100 levels from here on; use fewer levels",
    ),
    "an alias without an anchor": (
        "jobs:\n- name: A\n  args: {a: *b}",
        "3:13: undefined alias: no anchor `&b` above; write `&b` before what it stands for, or "
        "quote a string that begins with `*`",
    ),
    "a text that begins with a star": (
        "jobs:\n- name: A\n  args: {a: * 5}",
        "3:13: `*` must be followed by a name; quote a string that begins with `*`",
    ),
    "a fault behind an anchor": (
        "jobs:\n- {name: A, args: {a: &a ['{{}}'], b: *a, c: *a}}",
        "2:27: jobs[0].args.a[0]: `{{}}` is not a valid template; write {{name}} or "
        "${name:-default}, or put a backslash before it to use it literally",
    ),
    "a document behind its end": (
        "jobs: []\n...\ntodo: []",
        "3:1: a second document begins here; a job file is one document",
    ),
    "a directive without its document": (
        "%YAML 1.2\njobs: []",
        "2:1: a directive must be followed by a line `---`; add it, or remove the line with `%`",
    ),
    "another YAML": (
        "%YAML 3.0\n---\njobs: []",
        "1:1: this version of YAML is not supported; remove the line; job files are YAML 1.2",
    ),
    "one more YAML": (
        "# jobs\n%YAML 1.22\n---\njobs: []",
        "2:1: this version of YAML is not supported; remove the line; job files are YAML 1.2",
    ),
    "text that looks like a directive": (
        "% jobs\n---\njobs: []",
        "1:1: this line begins with `%`, but is not a YAML directive; remove it",
    ),
    "text behind the end of the document": (
        "jobs: []\n... todo\n",
        "2:5: a second document begins here; a job file is one document",
    ),
    "a dash behind a key": (
        "todo: - A\n",
        "1:7: unexpected dash; begin the list on the next line, or quote a string that begins with "
        "a dash",
    ),
    "a bracket in the place of a value": (
        "jobs: ]\n",
        "1:7: a value cannot begin with `]`; remove it, or quote the text",
    ),
    "an escape that is not finished": (
        'todo: ["\\u12"]\n',
        "1:11: incomplete escape in double quotes; write two backslashes, or put the text in "
        "single quotes",
    ),
    "an exclamation mark before a bracket": (
        "todo: [!<A]\n",
        "1:8: invalid tag; quote a string that begins with `!`",
    ),
    "a wrong indentation": (
        "jobs:\n  - name: A\n exec: pass",
        "3:2: the indentation of this line matches no line above; align it with the lines that "
        "it belongs to",
    ),
    "a key that is indented too far": (
        "jobs:\n- name: A\n   exec: pass",
        "3:8: a key is not allowed here; check the indentation and the quotes here and in the "
        "lines above",
    ),
    "code that is not indented": (
        "jobs:\n- name: A\n  exec: |\n  print(1)\n",
        "4:3: expected a key followed by a colon and a space; write `key: value`; or indent the "
        "line if it continues the one above",
    ),
    "code in the line of the bar": (
        "jobs:\n- name: A\n  exec: | pass",
        "3:11: unexpected text on the line of `|`; begin the text on the next line",
    ),
    "a dash without its space": (
        "todo:\n- A\n-B\n",
        "3:1: expected a key followed by a colon and a space; put a space after the dash",
    ),
    "an open quote": (
        "jobs:\n- name: 'A\ntodo: [A]",
        "2:9: the quote that opens here is never closed; close it",
    ),
    "an unknown escape": (
        'jobs:\n- name: "C:\\path"',
        "2:13: unknown escape `\\p` in double quotes; write two backslashes, or put the text in "
        "single quotes",
    ),
    "text behind quotes": (
        "jobs:\n- name: A\n  exec: 'x' + 'y'",
        "3:13: unexpected text after the end of a value; quote the whole text",
    ),
    "a character that begins nothing": (
        "jobs:\n- name: @A",
        "2:9: an unquoted string cannot begin with `@`; quote it",
    ),
    "a backtick": (
        "jobs:\n- name: `A`",
        "2:9: an unquoted string cannot begin with a backtick; quote it",
    ),
    "a bracket too many": (
        "jobs:\n- name: A\n  args: {x: }}}",
        "3:14: `}` closes nothing; remove it, or quote the text",
    ),
    "an open bracket": (
        "todo: [A",
        "1:9: expected a comma or `]`; add it, or quote a string that contains brackets",
    ),
    "two commas": (
        "todo: [A,,B]",
        "1:10: a value is missing before this; write one, or remove the comma",
    ),
    "a template without quotes": (
        "jobs:\n- name: A\n  args:\n    a: {{b}}",
        "4:9: jobs[0].args.a: a map cannot be a key; quote a string that contains a template: "
        '"{{name}}"',
    ),
    "a template without quotes, before text": (
        "jobs:\n- name: A\n  args:\n    a: {{b}}/c",
        "4:13: unexpected text after the end of a value; quote a string that contains a template: "
        '"{{name}}"',
    ),
    "a statement of a template language": (
        "jobs:\n{% for x in y %}\n- name: A",
        "2:2: an unquoted string cannot begin with `%`; remove it: args may contain templates "
        "such as {{name}}, but no statements",
    ),
    "a list as a key": (
        "jobs:\n- name: A\n  args: {? [a, b] : 1}",
        "3:12: jobs[0].args: a list cannot be a key; write a string",
    ),
    "a colon without a key": (
        "jobs:\n- : A",
        "2:3: jobs[0]: a key is missing before the colon; write one",
    ),
    "a key that is too long": (
        f"jobs:\n- name: A\n  args:\n    {'k' * 1100}: 1",
        "4:1105: the key is too long; a key has at most 1024 characters",
    ),
    "a map without its spaces": (
        "jobs:\n- name: A\n  args: {a:1}",
        "3:10: jobs[0].args: the key `a:1` has no value; put a space after the colon, or quote "
        "the key",
    ),
    "a tag of Python": (
        "jobs:\n- name: !!python/name:os.system x",
        "2:9: jobs[0].name: the tag `!!python/name:os.system` is not supported; remove it",
    ),
    "an exclamation mark": (
        "jobs:\n- name: !A",
        "2:9: jobs[0].name: the tag `!A` is not supported; remove it, or quote the text",
    ),
    "a number that is empty": (
        "jobs:\n- name: A\n  args: {a: !!int ''}",
        "3:13: jobs[0].args.a: `` is not a valid integer; quote it, and write no tag",
    ),
    "a tagged boolean that is not a boolean": (
        "jobs:\n- name: A\n  args: {a: !!bool maybe}",
        "3:13: jobs[0].args.a: `maybe` is not a valid boolean; quote it, and write no tag",
    ),
    "a number with too many digits": (
        f"jobs:\n- name: A\n  args: {{a: {'1' * 5000}}}",
        "3:13: jobs[0].args.a: `1111111111111111111111111111111111111111` is not a valid "
        "integer; quote it, and write no tag",
    ),
    "text of UTF-16 without a mark": (
        "j\0o\0b\0s\0:\0",
        "1:2: the character U+0000 is not allowed; save the file as UTF-8 text",
    ),
}


def reported(path: Path) -> str:
    """Check an invalid file, and return its diagnostics without the name of the folder."""
    with pytest.raises(JobFileError) as caught:
        check_file(path)
    return str(caught.value).replace(f"{path.parent}/", "")


@pytest.mark.parametrize("case", ERRORS)
def test_an_error_of_yaml_is_reported_with_its_position(case: str, tmp_path: Path) -> None:
    """The message is one line, and says what to do."""
    text, expected = ERRORS[case]
    (tmp_path / "f.yaml").write_text(text)
    assert reported(tmp_path / "f.yaml") == f"f.yaml:{expected}"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "1:1: the file is empty; write `jobs` and a `todo`"),
        (
            '{"jobs": [],\n}',
            "1:12: invalid JSON: unexpected comma before the closing bracket; rem",
        ),
        (
            '{"todo": ["A", ]}',
            "1:14: invalid JSON: unexpected comma before the closing bracket",
        ),
        (
            "{'jobs': []}",
            "1:2: invalid JSON: unexpected single quote; put the text in double",
        ),
        ('{"jobs": []} // x', "1:14: invalid JSON: unexpected comment; remove it"),
        (
            '{"a": "b" "c": 1}',
            "1:11: invalid JSON: a comma or a colon is missing before",
        ),
        (
            '{\n\t"jobs" []}',
            "2:9: invalid JSON: a comma or a colon is missing before",
        ),
        ('{"jobs": [', "1:11: invalid JSON: the text ends before its brackets are closed"),
        ('{"jobs": "', "1:10: invalid JSON: the quote that opens here is never closed; close"),
        (
            '{"a": "b\nc"}',
            "1:9: invalid JSON: unexpected line break or tab in a string; write \\n",
        ),
        ('{"a": "C:\\x"}', "1:10: invalid JSON: unknown escape; write two backslashes"),
        ('{"a": True}', "1:7: invalid JSON: unexpected text without quotes; put it in"),
        ('{"a": "NaN", "b": NaN}', "1:19: invalid JSON: NaN is not a JSON number; quote it"),
        ("{} {}", "1:4: invalid JSON: unexpected text after the end of the document; a"),
        (
            "[" * 100_000,
            "1:101: nested deeper than 100 levels from here on; use fewer",
        ),
        ('{"a": %s}' % ("1" * 5000), "1:7: a: `1111111111111111111111111111111111111111` is not"),
    ],
    ids=lambda one: one[:20],
)
def test_an_error_of_json_is_reported_with_its_position(
    text: str, expected: str, tmp_path: Path
) -> None:
    """The message is the same on every version of Python."""
    (tmp_path / "f.json").write_text(text)
    assert reported(tmp_path / "f.json").startswith(f"f.json:{expected}")


def test_json_that_python_writes_is_read(tmp_path: Path) -> None:
    """The data of the file is that of the JSON text."""
    args = {
        "a": [1, -2.5, 1e20, True, None, ""],
        "b:1": {"": "{}", "c ,": '"\\\n\t\x7f\x85ä\u2028\ufeff\U0001f600'},
    }
    file = tmp_path / "f.json"
    for indent in (None, 1, "\t"):
        for ascii in (False, True):
            jobs = [{"name": "A", "args": args}]
            file.write_text(json.dumps({"jobs": jobs}, indent=indent, ensure_ascii=ascii))
            assert check_file(file).jobs["A"].args == args


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (
            b"jobs:\n- name: \xc3\xa4\xfc",
            "2:10: the byte 0xFC is not UTF-8; save the file as UTF-8",
        ),
        ("jobs: []".encode("utf-16"), "1:1: this is UTF-16; save the file as UTF-8"),
        (bytes(range(256)), "2:118: the byte 0x80 is not UTF-8; save the file as UTF-8"),
    ],
    ids=["latin-1", "utf-16", "binary"],
)
def test_a_file_in_another_encoding_is_reported(raw: bytes, expected: str, tmp_path: Path) -> None:
    """The position is that of the first byte that is not UTF-8."""
    (tmp_path / "f.yaml").write_bytes(raw)
    assert reported(tmp_path / "f.yaml") == f"f.yaml:{expected}"


@pytest.mark.parametrize("ending", ["\r\n", "\r", "\n"])
def test_line_ends_and_a_byte_order_mark_make_no_difference(ending: str, tmp_path: Path) -> None:
    """Files from other systems are read with the same line numbers."""
    text = "\ufeffjobs:\n- name: A\n  exec: |\n    x = 1\n    if x\n".replace("\n", ending)
    (tmp_path / "f.yaml").write_bytes(text.encode())
    assert reported(tmp_path / "f.yaml").startswith("f.yaml:5:9: jobs[0].exec: invalid Python")


def doubling(form: str) -> str:
    """Return a job with args of 40 levels, each with nine aliases of the one before."""
    levels = (f"    x{at}: &x{at} {form}\n".replace("*", f"*x{at - 1}") for at in range(1, 40))
    return f"jobs:\n- name: A\n  args:\n    x0: &x0 {{a: 1}}\n{''.join(levels)}"


@pytest.mark.parametrize(
    "form",
    ["[*, *, *, *, *, *, *, *, *]", "{a: *, b: [*, *, {c: *}]}", "{<<: [*, *, *], b: *}"],
)
def test_aliases_that_multiply_are_refused_before_they_are_expanded(
    form: str, tmp_path: Path
) -> None:
    """A short text that expands to a huge document has one diagnostic, at an alias."""
    file = tmp_path / "f.yaml"
    file.write_text(doubling(form))
    with pytest.raises(JobFileError) as caught:
        check_file(file)
    (diagnostic,) = caught.value.diagnostics
    assert diagnostic.message == "the aliases up to here expand to more than 100000 nodes"
    assert file.read_text().splitlines()[diagnostic.line - 1][diagnostic.column - 1] == "*"


def test_many_small_aliases_are_accepted(tmp_path: Path) -> None:
    """Many jobs may share a part of the file."""
    shared = "{a: 1, b: [1, 2, 3], c: {d: [x, y]}}"
    jobs = "".join(f"- {{name: J{at}, args: {{<<: *s, own: *s}}}}\n" for at in range(200))
    file = tmp_path / "f.yaml"
    file.write_text(f"jobs:\n- {{name: S, args: &s {shared}}}\n{jobs}")
    args = check_file(file).jobs["J199"].args
    assert args["own"] == {key: value for key, value in args.items() if key != "own"}
