"""What the maps of the job file format have in common, and the types of their values."""

from collections.abc import Mapping
from functools import cache
from typing import Annotated, Any, ClassVar, NamedTuple

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, Strict, model_validator
from pydantic.alias_generators import to_camel
from typing_extensions import TypedDict  # pydantic requires this one on Python 3.11


class Expected(NamedTuple):
    """Describes the values of a field in messages, where its type alone says too little.

    Attributes:
        value: What is expected; empty for what the type says.
        hint: How to write it.
    """

    value: str = ""
    hint: str = ""


def as_list(value: Any) -> Any:
    """Return a list as it is, and any other value as a list of one element."""
    return value if isinstance(value, list) else [value]


class RuleMap(TypedDict, total=False):
    """The long form of a rule for an arg."""

    rule: str
    secret: bool


def as_rule(value: Any) -> Any:
    """Return the chain of a rule that is written as a map, and any other value as it is."""
    if not isinstance(value, dict) or not value or value.keys() - {"rule", "secret"}:
        return value
    chain, secret = value.get("rule", ""), value.get("secret", False)
    if not isinstance(chain, str) or not isinstance(secret, bool):
        return value
    return ".".join(part for part in (chain, "secret" if secret or not chain else "") if part)


Text = Annotated[str, Field(min_length=1, strict=True)]
Names = Annotated[list[Text], BeforeValidator(as_list, json_schema_input_type=Text | list[Text])]
Code = Annotated[str, Strict(), Expected(hint="write `|` after the key, and the code below it")]
JobsOrCode = Annotated[
    Names, Expected("a job, a list of jobs, or code", "write `|` after the key, and code below it")
]
Flag = Annotated[bool, Strict(), Expected("a boolean", "write `true` or `false`")]
Milliseconds = Annotated[
    int, Field(strict=True, ge=1), Expected(hint="write milliseconds, 1 or more, such as 60000")
]
Minutes = Annotated[
    int,
    Field(strict=True, ge=1),
    Expected(hint="write minutes, 1 or more, such as 10080 for a week"),
]
Threads = Annotated[int, Field(strict=True, ge=1, le=1000), Expected(hint="write 1 to 1000")]


def key_of(name: str) -> str:
    """Return the key of a field, as it is written."""
    return to_camel(name.removesuffix("_"))


class Spec(BaseModel):
    """A map of the format. An empty value (``args:``) counts as if its key were absent.

    The string below a field is its description in the JSON Schema and in the reference, read from
    the source there: pydantic would do that at each start.

    Attributes:
        unsupported: Keys of the published format that are refused, each with what to do instead.
        home: Where the keys of this map belong, for a key that is found in another one.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, alias_generator=key_of)
    unsupported: ClassVar[Mapping[str, str]] = {}
    home: ClassVar[str] = ""

    @model_validator(mode="before")
    @classmethod
    def _without_empty_values(cls, data: Any) -> Any:
        if not isinstance(data, dict) or None not in data.values():
            return data
        known = cls.keys()
        return {key: value for key, value in data.items() if value is not None or key not in known}

    @classmethod
    @cache
    def keys(cls) -> tuple[str, ...]:
        """Return the supported keys, as they are written."""
        return tuple(field.alias or name for name, field in cls.model_fields.items())

    @classmethod
    @cache
    def field_of(cls, key: str) -> str:
        """Return the name of the field of a key."""
        return next(name for name, field in cls.model_fields.items() if field.alias == key)

    def has(self, *names: str) -> bool:
        """Whether one of these fields has a value in the file."""
        return not self.model_fields_set.isdisjoint(names)
