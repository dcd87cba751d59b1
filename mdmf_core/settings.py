"""Settings as strict models, and what is wrong with a file of settings in one sentence.

A model of settings takes the keys that it has and no others, each of its own type: no text for a number, no whole
number from a fraction. Once made it doesn't change. `read` makes one of what a JSON file holds.
"""

from __future__ import annotations

import json
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, Strict, TypeAdapter, ValidationError, model_validator
from pydantic_core import PydanticCustomError

Positive = Annotated[int, Field(gt=0, le=2**31)]
Natural = Annotated[int, Field(ge=0, le=2**31)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]
Share = Annotated[float, Field(ge=0, le=1)]
Weight = Annotated[float, Field(ge=0)]
Text = Annotated[str, Field(min_length=1)]
Texts = Annotated[tuple[Text, ...], Strict(False)]

SAID = "said"  # kind of an error that has its own words
WANTED = {
    "int_type": "a whole number",
    "float_type": "a number",
    "string_type": "a text",
    "bool_type": "true or false",
    "tuple_type": "a list",
    "finite_number": "a finite number",
    "string_too_short": "a text that is not empty",
    "too_short": "a list that is not empty",
    "literal_error": "{expected}",
    "union_tag_invalid": "one of {expected_tags}",
    "greater_than": "a number above {gt}",
    "greater_than_equal": "a number of at least {ge}",
    "less_than": "a number below {lt}",
    "less_than_equal": "a number of at most {le}",
    "multiple_of": "a multiple of {multiple_of}",
    "wanted": "{wanted}",
}
AN_OBJECT = {"model_type", "model_attributes_type", "dict_type"}
LONGEST = 40  # characters of a value that are quoted


class Settings(BaseModel):
    """The base of every model of settings."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False, protected_namespaces=())

    @model_validator(mode="before")
    @classmethod
    def only_known_keys(cls, given: Any) -> Any:
        """Name a key that there is not, and the nearest that there is."""
        for key in given if isinstance(given, dict) else ():
            if key not in cls.model_fields:
                raise no_key(key, list(cls.model_fields))
        return given


def no_key(key: str, known: list[str]) -> PydanticCustomError:
    """The error about a key that there is not."""
    near = get_close_matches(key, known, 1)
    advice = f"the nearest right one is `{near[0]}`." if near else f"its keys are {', '.join(known)}."
    return wrong(f"has no key {_quoted(key, '`')}; {advice}")


def wrong(what: str) -> PydanticCustomError:
    """An error in its own words, which follow the name of the section: `has no key...`."""
    return PydanticCustomError(SAID, "{what}", {"what": what})


def other_than(wanted: str) -> PydanticCustomError:
    """An error about a value that is not what is wanted."""
    return PydanticCustomError("wanted", "needs {wanted}", {"wanted": wanted})


def read(kind: Any, data: object, file: str) -> Any:
    """Settings of a kind, a model or a union of models, of what a file holds.

    Raises:
        ValueError: a key is unknown, missing or of the wrong type; one sentence that names it and its section.
    """
    try:
        return TypeAdapter(kind).validate_python(data)
    except ValidationError as error:
        raise ValueError(sentence(error, data, file)) from error


def read_json(path: Path, file: str) -> Any:
    """What a JSON file holds.

    Raises:
        ValueError: it can't be read, or is not JSON.
    """
    try:
        return json.loads(path.read_text("utf-8"))
    except OSError as error:
        raise ValueError(f"{file} can't be read.") from error
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{file} is not JSON: {error}.") from error


def sentence(error: ValidationError, data: object, file: str) -> str:
    """The first thing that is wrong, in one sentence."""
    found = [(*_place(each["loc"], data), each) for each in error.errors(include_url=False)]
    start = found[0][0]
    path, value, first = max((each for each in found if each[0][: len(start)] == start), key=lambda each: len(each[0]))
    kind, facts = first["type"], first.get("ctx", {})
    if kind == SAID:
        return f"{_section(path, file)} {facts['what']}"
    if kind == "missing":
        return f"{_section(path, file)} lacks the key `{first['loc'][-1]}`."
    if kind == "union_tag_not_found":
        return f"{_section(path, file)} {_lacking(_discriminator(facts), value)}"
    if not path or kind in AN_OBJECT:
        return f"{_section(path, file)} must be a JSON object, not {_quoted(value)}."
    wanted = " or ".join(dict.fromkeys(_wanted(each) for place, _, each in found if place == path))
    if kind == "union_tag_invalid":
        path = [*path, _discriminator(facts)]
        value = value[path[-1]]
    keys, entry = _entry(path)
    return f"{_section(keys[:-1], file)} needs {wanted} as {entry}`{keys[-1]}`, not {_quoted(value)}."


def _place(steps: tuple, data: Any) -> tuple[list, Any]:
    """Keys and numbers that lead to a value, and the value; pydantic puts names of types between them."""
    path = []
    for step in steps:
        inside = isinstance(data, list) and isinstance(step, int) and step < len(data)
        if inside or (isinstance(data, dict) and step in data):
            path.append(step)
            data = data[step]
    return path, data


def _section(path: list, file: str) -> str:
    if path:
        return f"The section `{'.'.join(map(str, path))}` of {file}"
    return f"T{file[1:]}" if file.startswith("the ") else file


def _entry(path: list) -> tuple[list, str]:
    """The keys of a path, and what says which entry of a list it means."""
    if isinstance(path[-1], int):
        return path[:-1], f"entry {path[-1] + 1} of "
    return path, ""


def _discriminator(facts: dict) -> str:
    """The key that tells what a section holds; pydantic quotes it."""
    return facts["discriminator"].strip("'")


def _lacking(key: str, given: dict) -> str:
    """What is said of a key that is missing, or misspelt where it tells which others there are."""
    near = get_close_matches(key, given, 1, cutoff=0.75)
    if near:
        return f"has no key {_quoted(near[0], '`')}; the nearest right one is `{key}`."
    return f"lacks the key `{key}`."


def _wanted(error: Any) -> str:
    words = WANTED.get(error["type"])
    return words.format(**error.get("ctx", {})) if words else f"something else ({error['msg']})"


def _quoted(value: object, mark: str = "") -> str:
    """A value as JSON, or a key between marks, cut where it gets long; of what holds others only the kind."""
    if isinstance(value, dict | list):
        return "a JSON object" if isinstance(value, dict) else "a list"
    text = json.dumps(value, default=str)
    text = text[1:-1] if mark else text
    return mark + (text if len(text) <= LONGEST else f"{text[:LONGEST]}...") + mark
