"""Matches as filters of the server, which select all values that match, and possibly more.

`ojobchannels.documents.matches` decides afterwards: the server also matches a scalar inside a list,
treats a missing field as null, and compares maps by the order of their fields.
"""

from __future__ import annotations

from typing import Any, Final

from ojobchannels.documents import Document

_MOST_CONDITIONS: Final = 100
_LONGEST_TEXT: Final = 1000
_A_MAP: Final = {"$type": "object"}


def filter_for(match: Document) -> dict[str, Any]:
    """Return a filter on rows; an empty one for None, which matches all."""
    if match is None:
        return {}
    conditions: list[dict[str, Any]] = []
    _collect("v", match, conditions)
    # The server cannot look into a value that is stored as JSON text.
    return {"$or": [{"$and": conditions[:_MOST_CONDITIONS]}, {"j": {"$exists": True}}]}


def _collect(path: str, match: Document, conditions: list[dict[str, Any]]) -> None:
    if isinstance(match, dict):
        reachable = [field for field in match if _is_reachable(field)]
        if len(reachable) < len(match) or not match:
            conditions.append({path: _A_MAP})
        for field in reachable:
            _collect(f"{path}.{field}", match[field], conditions)
    elif isinstance(match, list):
        conditions.append({path: {"$size": len(match)}})
    elif isinstance(match, str) and len(match) > _LONGEST_TEXT:
        conditions.append({path: {"$type": "string"}})
    else:
        conditions.append({path: {"$eq": match}})


def _is_reachable(field: str) -> bool:
    return bool(field) and "." not in field and not field.startswith("$")
