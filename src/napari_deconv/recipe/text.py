"""YAML as recipes are written in: numbers as people write them, every value with its line."""

from __future__ import annotations

import difflib
import re
import types
from collections.abc import Mapping, Sequence
from typing import Any, Union, get_args, get_origin

import yaml
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails, PydanticCustomError

from napari_deconv.errors import DeconvError

__all__ = ["Document", "dump", "wrong_key"]

Place = tuple[str | int, ...]

_TEXT = "tag:yaml.org,2002:str"
_WRONG_KEY = "wrong_key"
# How people write that there is none of something.
_NONE = ("none", "None", "off", "no", False)


class _Loader(yaml.SafeLoader):
    """Numbers such as 1e-3, which YAML 1.1 takes for a text, are numbers; there are no aliases."""

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            event = self.peek_event()  # type: ignore[no-untyped-call]
            # A few lines of them can stand for more than any memory holds.
            raise yaml.composer.ComposerError(
                None, None, "aliases (*) are not known here, write it twice", event.start_mark
            )
        return super().compose_node(parent, index)


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(\d[\d_]*\.?\d*|\.\d+)[eE][-+]?\d+$"),
    list("-+.0123456789"),
)


class _Dumper(yaml.SafeDumper):
    """Sections and lists that hold no section stand on one line; nothing is an alias."""

    def represent_mapping(
        self, tag: str, mapping: Any, flow_style: bool | None = None
    ) -> yaml.MappingNode:
        node = super().represent_mapping(tag, mapping, flow_style)
        node.flow_style = not any(_holds_sections(value) for _, value in node.value)
        return node

    def represent_sequence(
        self, tag: str, sequence: Any, flow_style: bool | None = None
    ) -> yaml.SequenceNode:
        node = super().represent_sequence(tag, sequence, flow_style)
        node.flow_style = not _holds_sections(node)
        return node

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _holds_sections(node: yaml.Node) -> bool:
    """Tell whether a node is a section, or a list of them."""
    if isinstance(node, yaml.SequenceNode):
        return any(isinstance(item, yaml.MappingNode) for item in node.value)
    return isinstance(node, yaml.MappingNode)


class Document:
    """A YAML text with the line of every value.

    Parameters
    ----------
    text : str
        The YAML.
    name : str
        What to call it in messages.

    Attributes
    ----------
    data : dict
        Its values.

    Raises
    ------
    DeconvError
        If it is no YAML, not keys with values, or a key stands twice.
    """

    def __init__(self, text: str, name: str) -> None:
        self.name = name
        self._lines: dict[Place, int] = {}
        try:
            loader = _Loader(text)
            node = loader.get_single_node()
            if not isinstance(node, yaml.MappingNode):
                raise DeconvError(f"{name} is no recipe: expected keys with values.")
            self._number(node, ())
            self.data: dict[str, Any] = loader.construct_document(node)
        except yaml.YAMLError as error:
            raise DeconvError(f"{name} is no YAML: {_problem(error)}.") from error
        except RecursionError as error:
            raise DeconvError(f"{name} is no recipe: it is nested too deeply.") from error

    def _number(self, node: yaml.Node, place: Place) -> None:
        """Note the lines of a node and of all below it."""
        self._lines[place] = node.start_mark.line + 1
        if isinstance(node, yaml.SequenceNode):
            for index, item in enumerate(node.value):
                self._number(item, (*place, index))
        elif isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                if key.tag != _TEXT:
                    line = key.start_mark.line + 1
                    raise self.error(place, f"has a key that is no text: {key.value}", line)
                at = (*place, key.value)
                if at in self._lines:
                    raise self.error(at, "stands twice", key.start_mark.line + 1)
                self._number(value, at)
                self._lines[at] = key.start_mark.line + 1

    def error(self, place: Place, message: str, line: int | None = None) -> DeconvError:
        """Make the error about a value."""
        known = place
        while known not in self._lines:
            known = known[:-1]
        return DeconvError(
            f"{self.name}, line {line or self._lines[known]}: {_written(place)} {message}."
        )

    def explain(self, error: ValidationError, model: type[BaseModel]) -> DeconvError:
        """Say of the first wrong value where it is, what was given and what was expected."""
        found: dict[Place, list[ErrorDetails]] = {}
        for detail in error.errors():
            found.setdefault(self._place(detail), []).append(detail)
        for place in list(found):  # what is wrong within a value tells more than what it is not
            if any(other[: len(place)] == place != other for other in found):
                del found[place]
        place = min(found, key=lambda at: self._lines.get(at, self._lines.get(at[:-1], 0)))
        message = _message(found[place], place, model)
        if len(found) > 1:
            message += f" (and {len(found) - 1} more below)"
        return self.error(place, message)

    def _place(self, detail: ErrorDetails) -> Place:
        """Leave out of a location what is no key in the text: members of unions, aliases."""
        place: Place = ()
        for part in detail["loc"]:
            at = (*place, part if isinstance(part, int) else str(part))
            if at in self._lines:
                place = at
        if detail["type"] == "missing":
            place = (*place, str(detail["loc"][-1]))
        if detail["type"] == _WRONG_KEY:
            place = (*place, detail["ctx"]["key"])
        return place


def wrong_key(key: str, reason: str) -> PydanticCustomError:
    """Make the error of a section about a key that does not go with others: it has its line."""
    return PydanticCustomError(_WRONG_KEY, "{reason}", {"key": key, "reason": reason})


def dump(data: Mapping[str, Any]) -> str:
    """Write a recipe's data as YAML: short sections on one line."""
    text: str = yaml.dump(
        dict(data),
        Dumper=_Dumper,
        sort_keys=False,
        allow_unicode=True,
        default_flow_style=None,
        width=100,
    )
    return text


def _message(details: Sequence[ErrorDetails], place: Place, model: type[BaseModel]) -> str:
    kinds = {detail["type"]: detail for detail in details}
    if "missing" in kinds:
        return "is missing"
    if "extra_forbidden" in kinds:
        known = list(_fields(model, place[:-1]))
        close = difflib.get_close_matches(str(place[-1]), known, 1)
        meant = f"did you mean {close[0]}? " if close else ""
        return f"is not known: {meant}Expected {', '.join(known)}"
    if _WRONG_KEY in kinds:
        return f"cannot be: {kinds[_WRONG_KEY]['msg']}"
    if "value_error" in kinds:
        return f"cannot be: {kinds['value_error']['msg'].removeprefix('Value error, ').rstrip('.')}"
    expected = " or ".join(dict.fromkeys(_expected(detail) for detail in details))
    given = details[0]["input"]
    if given in _NONE and _takes_none(model, place):
        expected += "; or null, for none"
    return f"is {given!r}: expected {expected}"


def _expected(detail: ErrorDetails) -> str:
    """Turn a message of pydantic's into what was expected."""
    message = detail["msg"].removeprefix("Input should be ").partition(",")[0]
    limits = detail.get("ctx", {})
    simple = {
        "list_type": "a list", "model_type": "keys with values", "model_attributes_type":
        "keys with values", "dict_type": "keys with values", "bool_type": "true or false",
        "int_type": "a whole number", "int_from_float": "a whole number", "float_type": "a number",
        "string_type": "a text", "none_required": "null", "string_too_short": "a text",
        "too_short": f"a list of at least {limits.get('min_length')}",
        "too_long": f"a list of at most {limits.get('max_length')}",
        "greater_than": f"a number above {limits.get('gt', 0):g}",
        "greater_than_equal": f"a number of at least {limits.get('ge', 0):g}",
    }  # fmt: skip
    if detail["type"] == "literal_error":
        return detail["msg"].removeprefix("Input should be ")
    return simple.get(detail["type"], message)


def _fields(model: type[BaseModel], place: Place) -> dict[str, FieldInfo]:
    """Give what is known at a place, by key."""
    for part in filter(lambda one: isinstance(one, str), place):  # not those in lists
        field = next((f for name, f in model.model_fields.items() if part in (name, f.alias)), None)
        inner = None if field is None else _model_in(field.annotation)
        if inner is None:
            return {}
        model = inner
    return {field.alias or name: field for name, field in model.model_fields.items()}


def _takes_none(model: type[BaseModel], place: Place) -> bool:
    """Tell whether a value may be null."""
    field = _fields(model, place[:-1]).get(str(place[-1]))
    return field is not None and type(None) in get_args(field.annotation)


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """Find the model in an annotation such as ``Model | None``."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    if get_origin(annotation) in (Union, types.UnionType):
        return next(filter(None, map(_model_in, get_args(annotation))), None)
    if get_origin(annotation) is not None:  # Annotated
        return _model_in(get_args(annotation)[0])
    return None


def _written(place: Place) -> str:
    return ".".join(" ".join(str(key).split()) for key in place) or "the recipe"


def _problem(error: yaml.YAMLError) -> str:
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        return f"line {error.problem_mark.line + 1}: {error.problem}"
    return " ".join(str(error).split())
