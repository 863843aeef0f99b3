"""Write the model of job files into the reference: the tables of keys, and the JSON Schema.

Run it after a change of the model: ``python docs/keys.py``. A test fails if that was forgotten.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from ojobchannels.ojob.schema import alerts, model, settings
from ojobchannels.ojob.schema.base import Spec
from ojobchannels.ojob.schema.json_schema import descriptions, json_schema

REFERENCE: Final = Path(__file__).parent / "reference"
PAGE: Final = REFERENCE / "job-files.md"
SCHEMA: Final = REFERENCE / "ojob.schema.json"
_REGION: Final = re.compile(r"(?s)(<!-- (keys|refused): (\w+) -->\n).*?(<!-- end -->)")
_WORDS: Final = {
    "string": "a string",
    "boolean": "a boolean",
    "integer": "an integer",
    "number": "a number",
    "object": "a map",
    "null": "",
}


def filled(page: str) -> str:
    """Return a page with the tables between its marks replaced."""
    return _REGION.sub(_region, page)


def schema_text() -> str:
    """Return the published schema."""
    return json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n"


def _region(found: re.Match[str]) -> str:
    homes = (module for module in (model, settings, alerts) if hasattr(module, found[3]))
    spec: type[Spec] = getattr(next(homes), found[3])
    table = _keys(spec) if found[2] == "keys" else _refused(spec.unsupported)
    return found[1] + table + found[4]


def _keys(spec: type[Spec]) -> str:
    schema = spec.model_json_schema(by_alias=True)
    rows = ["| key | value | default | meaning |", "| --- | --- | --- | --- |"]
    for name, field in spec.model_fields.items():
        key = field.alias or name
        value = _kind(schema["properties"][key])
        value_default = field.get_default(call_default_factory=True)
        default = "required" if field.is_required() else _default(value_default)
        rows.append(f"| `{key}` | {value} | {default} | {descriptions(spec)[key]} |")
    return "\n".join(rows) + "\n"


def _refused(advice: Mapping[str, str]) -> str:
    rows = ["| key | what to do instead |", "| --- | --- |"]
    rows += [f"| `{key}` | {_escaped(text)} |" for key, text in sorted(advice.items())]
    return "\n".join(rows) + "\n"


def _kind(schema: Mapping[str, Any]) -> str:
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    if "$ref" in schema or "allOf" in schema:
        return "a map"
    if "anyOf" in schema:
        kinds = [_kind(option) for option in schema["anyOf"]]
        return " or ".join(dict.fromkeys(kind for kind in kinds if kind))
    if schema.get("type") == "array":
        inner = _kind(schema.get("items", {})).removeprefix("a ")
        return f"a list of {inner}s" if inner in ("string", "map") else "a list"
    return _WORDS.get(schema.get("type", ""), "")


def _default(value: object) -> str:
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if value in (None, "", [], {}, [{}]) or isinstance(value, Spec):
        return ""
    return _escaped(f"`{value}`".replace("\n", "\\n"))


def _escaped(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    PAGE.write_text(filled(PAGE.read_text("utf-8")), "utf-8")
    SCHEMA.write_text(schema_text(), "utf-8")
