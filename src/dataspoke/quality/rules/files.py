"""Rules as text: YAML for people, JSON for the store, and the schema of both.

A file holds one rule, several as YAML documents, or a list of them. It is read as YAML 1.2, in
which ``no`` and ``22:00`` are texts. What is wrong is told with its place and the fix.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml
from pydantic import TypeAdapter, ValidationError

from dataspoke.errors import InvalidInput
from dataspoke.quality.rules.model import Kind, RuleSpec

_SPEC = TypeAdapter(RuleSpec)
_UNSTORABLE = re.compile("[\0\ud800-\udfff]")
_BREAKS = frozenset("\r\x85\u2028\u2029")
# Places within a document: keys of mappings and positions in lists.
_Path = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class _Place:
    line: int
    column: int


def read_rules(text: str, file: str) -> tuple[tuple[RuleSpec, ...], tuple[str, ...]]:
    """Return the rules in a file, and what is wrong with it: a line for each error.

    Each error names file, line and key. Rules without an error are returned in any case.
    """
    try:
        nodes = list(yaml.compose_all(text, Loader=_Yaml12))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"{file}:{mark.line + 1}:{mark.column + 1}" if mark else file
        return (), (f"{where}: this is no YAML: {error.problem or error.context}.",)
    except yaml.YAMLError as error:
        return (), (f"{file}: this is no YAML: {str(error).splitlines()[0]}.",)
    specs: list[RuleSpec] = []
    errors: list[str] = []
    for node in nodes:
        listed = node.value if isinstance(node, yaml.SequenceNode) else [node]
        for item in listed:
            try:
                specs.append(_read(item))
            except _Wrong as wrong:
                errors += [f"{file}:{p.line}:{p.column}: {what}" for p, what in wrong.found]
            except RecursionError:
                errors.append(f"{file}:{_place(item).line}: an alias stands in what it stands for.")
    return tuple(specs), tuple(errors)


def write_rules(specs: Sequence[RuleSpec]) -> str:
    """Return the rules as one file, which reads as the same rules."""
    return "".join(
        ("---\n" if number else "")
        + yaml.dump(
            as_document(spec), Dumper=_Blocks, sort_keys=False, allow_unicode=True, width=100
        )
        for number, spec in enumerate(specs)
    )


def as_document(spec: RuleSpec) -> dict[str, Any]:
    """Return a rule as JSON values, without what is as it is by default."""
    document: dict[str, Any] = _SPEC.dump_python(spec, mode="json", exclude_defaults=True)
    whole: dict[str, Any] = _whole_numbers(document)
    return whole


def from_document(document: Mapping[str, Any]) -> RuleSpec:
    """Return the rule of JSON values; raises InvalidInput with every place that is wrong."""
    _require_storable(document)
    try:
        return _SPEC.validate_python(document)
    except ValidationError as error:
        raise InvalidInput(
            " ".join(f"{_dotted(path)}: {what}" if path else what for path, what in _wrong(error))
        ) from None


def json_schema() -> dict[str, Any]:
    """Return the JSON schema of a rule, as editors use it for the files."""
    rule = _SPEC.json_schema()
    definitions = rule.pop("$defs")
    rule["oneOf"] = [{"required": [kind.value]} for kind in Kind]
    for kind in Kind:
        # Optional is meant, and null is not.
        rule["properties"][kind.value] = {"$ref": f"#/$defs/{kind.value.capitalize()}"}
    definitions["Rule"] = rule
    reference = {"$ref": "#/$defs/Rule"}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Rules of DataSpoke",
        "oneOf": [reference, {"type": "array", "items": reference}],
        "$defs": definitions,
    }


def _require_storable(value: Any) -> None:
    """Raise InvalidInput for a text that JSON may hold and PostgreSQL may not."""
    if isinstance(value, Mapping):
        for item in value.values():
            _require_storable(item)
    elif isinstance(value, list):
        for item in value:
            _require_storable(item)
    elif isinstance(value, str) and _UNSTORABLE.search(value):
        raise InvalidInput(
            f"{value!r} holds a NUL or half a character, which no database keeps; leave it out."
        )


def _whole_numbers(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _whole_numbers(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_whole_numbers(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


class _Wrong(Exception):
    def __init__(self, found: Sequence[tuple[_Place, str]]) -> None:
        super().__init__(found)
        self.found = found


def _read(node: yaml.Node) -> RuleSpec:
    places: dict[_Path, _Place] = {}
    document = _plain(node, (), places)
    if not isinstance(document, dict):
        raise _Wrong(
            [(_place(node), "a rule is a mapping with name, select and what it asks for.")]
        )
    try:
        return _SPEC.validate_python(document)
    except ValidationError as error:
        found = []
        for path, what in _wrong(error):
            known = path
            while known not in places:
                known = known[:-1]
            found.append((places[known], f"{_dotted(path)}: {what}" if path else what))
        raise _Wrong(found) from None


def _plain(node: yaml.Node, path: _Path, places: dict[_Path, _Place]) -> Any:
    """Return what a node holds, and note where each key stands."""
    places.setdefault(path, _place(node))
    if isinstance(node, yaml.MappingNode):
        mapping: dict[str, Any] = {}
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise _Wrong([(_place(key), "a key must be a plain word.")])
            name = key.value
            if name in mapping:
                raise _Wrong([(_place(key), f"{name} is given twice; leave one of them out.")])
            places[(*path, name)] = _place(key)
            mapping[name] = _plain(value, (*path, name), places)
        return mapping
    if isinstance(node, yaml.SequenceNode):
        return [_plain(item, (*path, number), places) for number, item in enumerate(node.value)]
    return _scalar(node)


def _scalar(node: yaml.Node) -> Any:
    match node.tag:
        case "tag:yaml.org,2002:null":
            return None
        case "tag:yaml.org,2002:bool":
            return node.value.lower() == "true"
        case "tag:yaml.org,2002:int":
            return int(node.value)
        case "tag:yaml.org,2002:float":
            return float(node.value)
        case _:
            return node.value


def _place(node: yaml.Node) -> _Place:
    return _Place(node.start_mark.line + 1, node.start_mark.column + 1)


def _wrong(error: ValidationError) -> list[tuple[_Path, str]]:
    found = []
    for detail in error.errors(include_url=False):
        # Where a key is missing or unknown, the library names the dataclass in between at times.
        path = tuple(part for part in detail["loc"])
        match detail["type"]:
            case "missing":
                what = f"{path[-1]} is missing; give it."
                path = path[:-1]
            case "unexpected_keyword_argument":
                what = "there is no such key; look for a slip, or leave it out."
            case "value_error":
                what = f"{detail['ctx']['error']}."
            case _:
                what = f"{detail['msg'][:1].lower()}{detail['msg'][1:]}; it is {detail['input']!r}."
        found.append((path, what))
    return found


def _dotted(path: _Path) -> str:
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


class _Yaml12(yaml.SafeLoader):
    """Reads null, true, false and decimal numbers, and everything else as text."""

    yaml_implicit_resolvers = {}  # noqa: RUF012  the library's own way


class _Blocks(yaml.SafeDumper):
    """Writes texts of several lines as blocks, lists indented below their key."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, False)

    def ignore_aliases(self, data: Any) -> bool:
        return True


# https://yaml.org/spec/1.2.2/#103-core-schema, without octal and hexadecimal numbers.
for _tag, _pattern, _first in (
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("int", r"[-+]?[0-9]+", list("-+0123456789")),
    ("float", r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?", list("-+.0123456789")),
):
    # Who writes quotes what either version of YAML would read as anything but text.
    for _side in (_Yaml12, _Blocks):
        _side.add_implicit_resolver(
            f"tag:yaml.org,2002:{_tag}", re.compile(f"^(?:{_pattern})$"), _first
        )


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    # Where the library would fold other line breaks into blanks, it is told to escape them.
    style = '"' if _BREAKS.intersection(value) else "|" if "\n" in value else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)


_Blocks.add_representer(str, _text)
