"""The JSON Schema of job files, made from the model that checks them."""

import ast
import inspect
import re
from itertools import pairwise
from typing import Any, Final, cast

from ojobchannels.ojob.schema.alerts import TARGETS
from ojobchannels.ojob.schema.base import Spec
from ojobchannels.ojob.schema.fields import all_specs
from ojobchannels.ojob.schema.model import FileSpec

_DRAFT: Final = "http://json-schema.org/draft-07/schema#"
_IN_LISTS: Final = {"JobSpec", "TodoSpec", "ExpectSpec", "AlertSpec"}
"""Maps that are elements of lists, where an empty element is not allowed."""

_EMPTY: Final = {"type": "null"}
_LINK: Final = re.compile(r"\[([^\]]+)\]\([^)]+\)")
_POINTER: Final = re.compile(r"; (?:see )?\[[^\]]+\]\([^)]+\)")
"""Points at a part of the reference, at the end of a sentence."""


def json_schema() -> dict[str, Any]:
    """Return the schema of a job file, in the draft that editors support best (draft-07).

    It describes a single file. What depends on other files and on the code, such as whether a job
    exists, is reported by `ojob check`.
    """
    found = FileSpec.model_json_schema(by_alias=True, ref_template="#/definitions/{model}")
    for spec in all_specs():
        properties = found["$defs"].get(spec.__name__, found)["properties"]
        for key, text in descriptions(spec).items():
            properties[key]["description"] = text
    definitions = {name: _map(one) for name, one in found.pop("$defs").items()}
    for name in definitions.keys() - _IN_LISTS:
        definitions[name]["type"] = ["object", "null"]
    todo = definitions["TodoSpec"]
    todo["patternProperties"] = {r"^\(": {"description": "A shortcut that a job declares."}}
    shortcut = {"not": {"propertyNames": {"not": {"pattern": r"^\("}}}}
    alert = definitions["AlertSpec"]
    alert["oneOf"] = [{"required": [target]} for target in TARGETS]
    todo["oneOf"] = [{"required": ["name"]}, {"required": ["job"]}, shortcut]
    definitions["TodoSpec"] = {
        "anyOf": [{"type": "string", "minLength": 1, "description": "The job to run."}, todo]
    }
    return {"$schema": _DRAFT, "title": "oJob file"} | _map(found) | {"definitions": definitions}


def descriptions(spec: type[Spec]) -> dict[str, str]:
    """Return the descriptions of a map's keys: the strings below its fields in the source."""
    (tree,) = ast.parse(inspect.getsource(spec)).body
    found = {}
    for pair in pairwise(cast(ast.ClassDef, tree).body):
        match pair:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(ast.Constant(str(text))):
                found[spec.model_fields[name].alias or name] = " ".join(text.split())
    return found


def _map(schema: dict[str, Any]) -> dict[str, Any]:
    """Allow an empty value for each key of a map that is not required, as the model does."""
    properties = {
        key: _or_empty(one, required=key in schema.get("required", ()))
        for key, one in schema.get("properties", {}).items()
    }
    rest = {key: one for key, one in schema.items() if key not in ("title", "properties")}
    plain: dict[str, Any] = _plain(rest | {"properties": properties})
    return plain


def _or_empty(schema: dict[str, Any], *, required: bool) -> dict[str, Any]:
    described = {key: schema[key] for key in ("description", "default") if key in schema}
    rest = {key: one for key, one in schema.items() if key not in (*described, "title")}
    match rest:
        case _ if required:
            return described | rest
        case {"$ref": to} | {"anyOf": [{"$ref": to}, *_]}:
            return described | {"allOf": [{"$ref": to}]}  # keys beside a reference are ignored
        case {"anyOf": [*ways]}:
            return described | {"anyOf": [*(one for one in ways if one != _EMPTY), _EMPTY]}
        case {"enum": [*choice]}:
            return described | {"enum": [*choice, None]}
    if "type" not in rest:  # any value
        return described | rest
    # Not by anyOf: an error inside would be reported for the whole value.
    return described | rest | {"type": [rest["type"], "null"]}


def _plain(schema: Any) -> Any:
    """Remove the links of the reference from descriptions."""
    match schema:
        case dict():
            return {
                key: _LINK.sub(r"\1", _POINTER.sub("", one))
                if key == "description" and isinstance(one, str)
                else _plain(one)
                for key, one in schema.items()
            }
        case list():
            return [_plain(one) for one in schema]
        case _:
            return schema
