"""The reference documents every hook, error, option, key, public name and variable."""

import ast
import inspect
import re
from pathlib import Path

import pytest

import ojobchannels
from ojobchannels import errors, pytest_plugin
from ojobchannels.hookspecs import ChannelSpec, DiscoverySpec
from ojobchannels.manager import RunSpec
from ojobchannels.ojob.languages import LanguageSpec
from ojobchannels.plugins import BUILT_IN, registry
from ojobchannels.testing.conformance import pytest_plugin as kit_plugin
from ojobchannels.testing.fixtures import factories
from ojobchannels.testing.fixtures.faults import Faults
from ojobchannels.testing.fixtures.server_types import SERVER_TYPES

CHECKOUT = Path(__file__).resolve().parents[2]
REFERENCE = CHECKOUT / "docs" / "reference"
VARIABLE = re.compile(r"[A-Z][A-Z_]+")


def page(name: str) -> str:
    return (REFERENCE / f"{name}.md").read_text("utf-8")


def section(text: str, heading: str) -> str:
    """Return the text below a heading, up to the next one of its level or above."""
    level = heading.split()[0]
    start = text.index(f"\n{heading}\n") + len(heading) + 2
    end = re.search(rf"^#{{1,{len(level)}}} ", text[start:], re.MULTILINE)
    return text[start : start + end.start()] if end else text[start:]


def missing(names: set[str], text: str) -> list[str]:
    """Return the names that are in no code span of the text."""
    code = " ".join(re.findall(r"`([^`\n]+)`", text))
    return sorted(name for name in names if not re.search(rf"(?<!\w){re.escape(name)}(?!\w)", code))


def hooks(spec: type) -> dict[str, list[str]]:
    functions = inspect.getmembers(spec, inspect.isfunction)
    return {name: list(inspect.signature(hook).parameters)[1:] for name, hook in functions}


def test_every_hook_is_documented_with_its_arguments() -> None:
    written = dict(re.findall(r"^`(\w+)\((.*)\)`$", page("hooks"), re.MULTILINE))
    expected = {
        **hooks(DiscoverySpec),
        **hooks(ChannelSpec),
        **hooks(LanguageSpec),
        **hooks(RunSpec),
    }
    assert len(expected) > 20
    assert written == {name: ", ".join(arguments) for name, arguments in expected.items()}


def test_every_error_has_a_row_with_its_attributes() -> None:
    kinds = {
        name: kind
        for name, kind in vars(errors).items()
        if inspect.isclass(kind) and issubclass(kind, errors.ChannelError)
    }
    text = page("errors")
    assert missing(set(kinds), text) == []
    rows = dict(re.findall(r"^\| `(\w+)` \|(.*)$", text, re.MULTILINE))
    roots = {"ChannelError", "JobError"}
    assert set(rows) == set(kinds) - roots
    for name, row in rows.items():
        if "__init__" not in vars(kinds[name]):
            continue
        facts = set(inspect.signature(kinds[name]).parameters)
        assert missing(facts, row) == [], name


def test_every_option_of_a_built_in_type_has_a_row() -> None:
    text = section(page("channels"), "## Channel types and their options")
    types = [type for type, distribution in registry().all() if distribution == BUILT_IN]
    assert {type.name for type in types} == {"simple", "file", "db"}
    for type in types:
        table = text.split(f"\n`{type.name}` takes:\n\n")[1].split("\n\n")[0]
        rows = set(re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE))
        assert rows == {option.name for option in type.options}
        summary = next(line for line in text.splitlines() if line.startswith(f"| `{type.name}` |"))
        assert missing({f"{scheme}:" for scheme in type.schemes}, summary) == []
        capabilities = set(re.findall(r"`(\w+)`", summary.rsplit("|", 2)[1]))
        assert capabilities == set(type.capabilities)
    assert missing({capability for type in types for capability in type.capabilities}, text) == []


def test_every_public_name_is_in_the_reference() -> None:
    text = "\n".join(path.read_text("utf-8") for path in sorted(REFERENCE.glob("*.md")))
    absent = [
        name for name in ojobchannels.__all__ if not re.search(rf"(`|ojobchannels\.){name}\b", text)
    ]
    assert absent == []


def test_every_variable_that_the_code_reads_is_documented() -> None:
    read = set().union(*map(variables, (CHECKOUT / "ojobchannels").rglob("*.py")))
    assert "OJOB_FILE" in read
    read |= {server.variable for server in SERVER_TYPES.values()}
    assert missing(read - {"PATH"}, page("environment")) == []  # PATH is only passed on


def test_the_pytest_plugin_is_documented_completely(pytestconfig: pytest.Config) -> None:
    """Every fixture, option, ini value and marker has a row."""
    modules = (pytest_plugin, kit_plugin)
    sources = "".join(map(inspect.getsource, modules))
    markers = [str(line).partition(":")[0] for line in pytestconfig.getini("markers")]
    expected = {
        "Fixtures": {name for each in modules for name in vars(each) if name.startswith("ojob_")},
        "Options": set(re.findall(r'"(--ojob-[a-z-]+)"', sources))
        | {server.option for server in SERVER_TYPES.values()},
        "Ini values": set(re.findall(r'addini\(\s*"(\w+)"', sources)),
        "Markers": {name for name in markers if name.startswith("ojob_")},
    }
    assert {"ojob_channel", "ojob_subject"} < expected["Fixtures"]
    text = page("pytest-plugin")
    for heading, names in expected.items():
        rows = re.findall(r"^\| `([^`=]+)", section(text, f"## {heading}"), re.MULTILINE)
        assert sorted(rows) == sorted(names), heading


def test_every_fault_and_factory_is_documented() -> None:
    """The directives that show their docstrings name all of them."""
    text = page("pytest-plugin")
    public = {name for name in vars(Faults) if not name.startswith("_")} - {"proxy_address"}
    shown = section(text, "## Faults").replace(",", " ").split()
    assert public - set(shown) == set()
    assert [name for name in factories.__all__ if f"fixtures.factories.{name}" not in text] == []


def variables(path: Path) -> set[str]:
    """Return the environment variables that a module reads, found by the calls that read them."""
    tree = ast.parse(path.read_text("utf-8"))
    texts: list[ast.expr] = []
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Attribute(attr="get" | "getenv"), args=[first, *_]):
                texts.append(first)
            case ast.Subscript(value=ast.Attribute(attr="environ"), slice=key):
                texts.append(key)
            case ast.keyword(arg="envvar", value=value):
                texts.append(value)
    names = {
        node.value for text in texts for node in ast.walk(text) if isinstance(node, ast.Constant)
    }
    return {name for name in names if isinstance(name, str) and VARIABLE.fullmatch(name)}
