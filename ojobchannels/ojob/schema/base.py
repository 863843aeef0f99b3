"""What the maps of the job file format have in common, and the types of what stands in them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

Text = Annotated[str, Field(min_length=1, strict=True)]


def as_list(value: Any) -> Any:
    """Takes a value alone for a list of it."""
    return value if isinstance(value, list) else [value]


Names = Annotated[list[Text], BeforeValidator(as_list, json_schema_input_type=Text | list[Text])]


class Spec(BaseModel):
    """A map of the format. An empty value (``args:``) counts as if its key were not there.

    Attributes:
        unsupported: Keys of the published format that are refused, each with what to do instead.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=False)
    unsupported: ClassVar[Mapping[str, str]] = {}

    @model_validator(mode="before")
    @classmethod
    def _without_empty_values(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        known = cls.keys()
        return {key: value for key, value in data.items() if value is not None or key not in known}

    @classmethod
    def keys(cls) -> tuple[str, ...]:
        """Returns the keys that this version knows, as they are written."""
        return tuple(field.alias or name for name, field in cls.model_fields.items())
