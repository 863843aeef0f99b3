"""What the fields of the model expect, in words: derived from their types."""

from collections.abc import Iterator
from typing import Annotated, Any, Final, Literal, NamedTuple, get_args, get_origin

from pydantic import BeforeValidator
from pydantic.fields import FieldInfo

from ojobchannels.ojob.schema.base import Expected, Spec, Text
from ojobchannels.ojob.schema.model import FileSpec, TodoSpec
from ojobchannels.ojob.yaml.source import DocumentPath

_SCALARS: Final = {str: "a string", int: "an integer", float: "a number", bool: "a boolean"}


class Field(NamedTuple):
    """A value of the format.

    Attributes:
        type: Its type, without None and without annotations.
        metadata: The annotations of the type.
    """

    type: Any
    metadata: tuple[Any, ...] = ()

    @classmethod
    def of(cls, annotation: Any, metadata: tuple[Any, ...] = ()) -> "Field":
        """Return the field of an annotation."""
        if get_origin(annotation) is Annotated:
            annotation, *inner = get_args(annotation)
            flat = (part.metadata if isinstance(part, FieldInfo) else [part] for part in inner)
            return cls.of(annotation, (*metadata, *(part for parts in flat for part in parts)))
        ways = [way for way in get_args(annotation) if way is not type(None)]
        if type(None) in get_args(annotation) and len(ways) == 1:
            return cls.of(ways[0], metadata)
        return cls(annotation, metadata)

    @property
    def spec(self) -> type[Spec] | None:
        """The model of a map with known keys."""
        return self.type if isinstance(self.type, type) and issubclass(self.type, Spec) else None

    @property
    def choices(self) -> tuple[str, ...]:
        """The values of a field that has a choice of them."""
        return get_args(self.type) if get_origin(self.type) is Literal else ()

    @property
    def hint(self) -> str:
        """How to write the value; empty if the type says too little."""
        own = next((one.hint for one in self._expected() if one.hint), "")
        if own or self.choices:
            return own or f"write {_either(self.choices)}"
        if self.type is FileSpec:
            return "a job file has `jobs` and a `todo`"
        if self.spec is not None:
            return f"write `{self.spec.keys()[0]}: …` below it"
        element = self.inside(0).spec if get_origin(self.type) is list else None
        return f"write each one as `- {element.keys()[0]}: …`" if element else ""

    @property
    def expected(self) -> str:
        """What the value must be."""
        own = next((one.value for one in self._expected() if one.value), "")
        if own:
            return own
        if self.type is TodoSpec:
            return "a name or a map"
        if self.spec is not None or get_origin(self.type) is dict:
            return "a map"
        if get_origin(self.type) is list:
            takes_one = any(isinstance(one, BeforeValidator) for one in self.metadata)
            return "a name or a list of names" if takes_one else "a list"
        kinds = [_SCALARS[way] for way in get_args(self.type) or (self.type,) if way in _SCALARS]
        if len(kinds) > 1:
            return "a string, a number or a boolean"
        return kinds[0] if kinds else "a string"

    def inside(self, step: str | int) -> "Field":
        """Return the field at a key or an index."""
        if self.spec is not None:
            for name, info in self.spec.model_fields.items():
                if (info.alias or name) == step:
                    return Field.of(info.annotation, tuple(info.metadata))
            return Field(Any)
        if get_origin(self.type) is list:
            (element,) = get_args(self.type)
            return Field.of(element, _NAME if element == Text else ())
        return Field.of(get_args(self.type)[1]) if get_origin(self.type) is dict else Field(Any)

    def _expected(self) -> Iterator[Expected]:
        # The outermost annotation counts, which is the last.
        yield from (one for one in reversed(self.metadata) if isinstance(one, Expected))


_NAME: Final = (Expected("a name"),)


def field_at(root: Any, path: DocumentPath) -> Field:
    """Return the field at a path below a model."""
    field = Field.of(root)
    for step in path:
        field = field.inside(step)
    return field


def all_specs(root: type[Spec] = FileSpec) -> Iterator[type[Spec]]:
    """Yield a model and all models of the maps in it, the outer ones first."""
    yield root
    for info in root.model_fields.values():
        field = Field.of(info.annotation, tuple(info.metadata))
        inner = field.spec or (field.inside(0).spec if get_origin(field.type) is list else None)
        if inner is not None:
            yield from all_specs(inner)


def _either(choices: tuple[str, ...]) -> str:
    quoted = [f"`{one}`" for one in choices]
    return f"{', '.join(quoted[:-1])} or {quoted[-1]}"
