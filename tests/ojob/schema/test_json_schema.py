"""The published JSON Schema and the tables of keys in the reference come from the model."""

from __future__ import annotations

import copy
import importlib.util
import random
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft7Validator
from pydantic import ValidationError

from ojobchannels.ojob.load.includes import PACKS
from ojobchannels.ojob.schema import model
from ojobchannels.ojob.schema import settings as settings_model
from ojobchannels.ojob.schema.base import Spec
from ojobchannels.ojob.schema.json_schema import descriptions, json_schema
from ojobchannels.ojob.yaml.source import read

CHECKOUT = Path(__file__).parents[3]
FILES = sorted([*(CHECKOUT / "docs" / "examples").glob("*.yaml"), *PACKS.glob("*.yaml")])
SPECS = sorted(
    {
        one
        for module in (model, settings_model)
        for one in vars(module).values()
        if isinstance(one, type) and issubclass(one, Spec) and one is not Spec
    },
    key=lambda one: one.__name__,
)


def keys() -> ModuleType:
    """Import the program that writes the reference."""
    spec = importlib.util.spec_from_file_location("keys", CHECKOUT / "docs" / "keys.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def refused(document: Any) -> list[str]:
    """Return the paths of what the schema refuses."""
    found = Draft7Validator(json_schema()).iter_errors(document)
    return sorted({".".join(map(str, one.absolute_path)) for one in found})


def test_the_reference_and_the_published_schema_match_the_model() -> None:
    """`python docs/keys.py` writes both."""
    made = keys()
    assert made.filled(page := made.PAGE.read_text("utf-8")) == page
    assert made.SCHEMA.read_text("utf-8") == made.schema_text()


@pytest.mark.parametrize("spec", SPECS)
def test_every_map_has_its_keys_in_the_reference(spec: type[Spec]) -> None:
    """The tables explain each key, and list unsupported keys with what to use instead."""
    page = (CHECKOUT / "docs" / "reference" / "job-files.md").read_text("utf-8")
    assert f"<!-- keys: {spec.__name__} -->" in page
    assert set(descriptions(spec)) == set(spec.keys())
    assert not spec.unsupported or f"<!-- refused: {spec.__name__} -->" in page
    assert all(spec.unsupported.values())
    assert set(spec.unsupported).isdisjoint(spec.keys())


def test_the_schema_is_one_of_draft_07() -> None:
    """Editors support that draft best; descriptions contain no links to the reference."""
    schema = json_schema()
    Draft7Validator.check_schema(schema)
    assert schema["$schema"] == "http://json-schema.org/draft-07/schema#"
    assert "](#" not in str(schema)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_the_schema_accepts_the_examples_and_the_packs(path: Path) -> None:
    """They are all valid."""
    assert refused(read(path, path.name).data) == []


@pytest.mark.parametrize(
    ("document", "where"),
    [
        ({"jobs": [{"nam": "A"}]}, ["jobs.0"]),
        ({"jobs": {"A": {}}}, ["jobs"]),
        ({"todo": [{"name": "A", "job": "B"}]}, ["todo.0"]),
        ({"todo": [{}]}, ["todo.0"]),
        ({"ojob": {"numThreads": 0}}, ["ojob.numThreads"]),
        ({"jobs": [{"name": "A", "type": "sometimes"}]}, ["jobs.0.type"]),
        ({"jobs": [{"name": "A", "typeArgs": {"misfire": "some"}}]}, ["jobs.0.typeArgs.misfire"]),
        ({"help": {"expects": [{"desc": "no name"}]}}, ["help.expects.0"]),
    ],
)
def test_the_schema_refuses_what_the_check_refuses_at_the_same_path(
    document: Any, where: list[str]
) -> None:
    """Editors mark the same places."""
    assert refused(document) == where


@pytest.mark.parametrize(
    "document",
    [
        {"jobs": None, "todo": None, "ojob": {"daemon": None}},
        {"include": "a.yaml", "todo": ["A", {"name": "A", "args": [{}, {"a": 1}]}]},
        {"jobs": [{"name": "A", "from": "B", "catch": ["C"], "deps": []}]},
    ],
)
def test_the_schema_accepts_short_forms(document: Any) -> None:
    """Empty values, a name for a list of names, a name for a todo entry."""
    assert refused(document) == []


GOOD: dict[str, Any] = {
    "jobs": [
        {
            "name": "A",
            "typeArgs": {"cron": "* * * * *"},
            "check": {"in": {"a": "isString"}},
            "deps": ["B"],
            "args": {},
        }
    ],
    "todo": ["A", {"name": "A", "args": [{}], "typeArgs": {}}],
    "ojob": {"daemon": True, "logToFile": {"logFolder": "logs"}, "unique": {}},
    "help": {"text": "x", "expects": [{"name": "a", "options": ["b"]}]},
    "init": {"a": 1},
    "code": {"a.py": "x"},
    "include": "other.yaml",
}
KEYS = sorted({"odd"}.union(*(spec.keys() for spec in SPECS)))
VALUES: list[Any] = [
    *(None, "", "a", 1, 0, -5, True, False, 1.5, [], ["a"], [""], [None], {}, {"a": 1}, [{}]),
    *([{"name": "a"}], {"name": "a"}, "latest", "simple", "jobs"),
]
CHECKED_BY_CODE = {"date_format", "template", "pattern", "no_id", "one_order"}


def changed(node: Any, dice: random.Random) -> None:
    """Change one value somewhere in a document."""
    places = list(node) if isinstance(node, dict) else range(len(node))
    if not places:
        return
    at = dice.choice(places)
    if isinstance(node[at], dict | list) and dice.random() < 0.7:
        changed(node[at], dice)
    elif isinstance(node, dict) and dice.random() < 0.5:
        node[dice.choice(KEYS)] = copy.deepcopy(dice.choice(VALUES))
    else:
        node[at] = copy.deepcopy(dice.choice(VALUES))


@pytest.mark.kit  # on one interpreter: it takes long
@settings(database=None, deadline=None, max_examples=80)
@given(st.randoms(use_true_random=False), st.integers(1, 3))
def test_the_schema_and_the_check_refuse_the_same(dice: random.Random, changes: int) -> None:
    """Except for values that only code can check, which the schema accepts."""
    document = copy.deepcopy(GOOD)
    for _ in range(changes):
        changed(document, dice)
    try:
        model.FileSpec.model_validate(document)
    except ValidationError as error:
        kinds = {one["type"] for one in error.errors()}
        assert refused(document) or kinds <= CHECKED_BY_CODE
    else:
        assert refused(document) == []
