"""The API's description: the schema, and from it what the docs page shows. Both are made once for each process."""

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from typing import Any

from django.conf import settings
from django.utils.html import escape, format_html, format_html_join
from django.utils.safestring import SafeString, mark_safe
from drf_spectacular.generators import SchemaGenerator

ORDER = ("Courses and homework", "Hand-ins", "For staff")
TONES = {"GET": "info", "POST": "good", "DELETE": "bad"}
EXAMPLES: dict[str, object] = {
    "course": "ds-ga-1008-fl23",
    "homework": "hw1-backprop",
    "component": "practice",
    "id": 4711,
    "files": "@mlp.py",
    "own_work": "yes",
    "days": 1,
}
WHERE = {"path": "in the address", "query": "behind the question mark", "header": "header"}


@dataclass(frozen=True)
class Field:
    """A parameter, or a field of a body or of an answer. `kind` is HTML: it may link to a shape."""

    name: str
    kind: SafeString
    text: SafeString
    required: bool = False


@dataclass(frozen=True)
class Operation:
    id: str
    method: str
    path: str
    tone: str
    summary: str
    text: SafeString
    parameters: list[Field]
    body: list[Field]
    body_kind: str
    answers: list[tuple[str, SafeString]]
    refusals: list[tuple[str, SafeString]]
    curl: str


@dataclass(frozen=True)
class Shape:
    name: str
    text: SafeString
    fields: list[Field]


@cache
def schema() -> dict[str, Any]:
    found: dict[str, Any] = SchemaGenerator().get_schema(request=None, public=True)  # type: ignore[no-untyped-call]  # as it is shipped
    return found


@cache
def groups() -> list[tuple[str, list[Operation]]]:
    """The operations by their tag."""
    found: dict[str, list[Operation]] = {tag: [] for tag in ORDER}
    for path, methods in schema()["paths"].items():
        for method, one in methods.items():
            found[one["tags"][0]].append(_operation(path, method.upper(), one))
    return list(found.items())


@cache
def shapes() -> list[Shape]:
    """What answers consist of; words that a field may hold are named at the field."""
    named = schema()["components"]["schemas"]
    return [
        Shape(name, inline(one.get("description", "")), _fields(one))
        for name, one in named.items()
        if one.get("type") == "object" and not name.endswith("Request")
    ]


def inline(text: str) -> SafeString:
    """Words between backquotes are code."""
    parts = re.split(r"`([^`]*)`", text)
    return format_html_join("", "{}", ((format_html("<code>{}</code>", part) if index % 2 else part,) for index, part in enumerate(parts)))


def _operation(path: str, method: str, one: dict[str, Any]) -> Operation:
    kinds = one.get("requestBody", {}).get("content", {})
    kind, body = next(((kind, _resolved(found["schema"])) for kind, found in kinds.items()), ("", {}))
    fields = _fields(body)
    good = {code: found for code, found in one["responses"].items() if code < "300"}
    return Operation(
        id=one["operationId"],
        method=method,
        path=path,
        tone=TONES[method],
        summary=one["summary"],
        text=inline(one["description"]),
        parameters=[_parameter(found) for found in one.get("parameters", ())],
        body=fields,
        body_kind=kind,
        answers=[(code, _content(found)) for code, found in good.items()],
        refusals=[(code, inline(found["description"])) for code, found in one["responses"].items() if code not in good],
        curl=_curl(path, method, kind, [field for field in fields if field.required]),
    )


def _parameter(one: dict[str, Any]) -> Field:
    kind = format_html("{}, {}", _kind(one["schema"]), WHERE[one["in"]])
    return Field(one["name"], kind, inline(one.get("description", "")), one.get("required", False))


def _fields(shape: dict[str, Any]) -> list[Field]:
    required = shape.get("required", ())
    return [
        Field(name, _kind(one), inline(one.get("description", "")), name in required) for name, one in shape.get("properties", {}).items()
    ]


def _content(answer: dict[str, Any]) -> SafeString:
    (kind, found), *_ = answer["content"].items()
    return _kind(found["schema"]) if kind == "application/json" else format_html("{}, as {}", _kind(found["schema"]), kind)


def _resolved(one: dict[str, Any]) -> dict[str, Any]:
    if "$ref" not in one:
        return one
    found: dict[str, Any] = schema()["components"]["schemas"][one["$ref"].rsplit("/", 1)[-1]]
    return found


def _kind(one: dict[str, Any]) -> SafeString:
    """What a value is, in words."""
    if "allOf" in one:
        return _kind(one["allOf"][0])
    if "oneOf" in one:
        return _either(_kind(part) for part in one["oneOf"] if not part.get("$ref", "").endswith("/NullEnum"))
    found = _resolved(one)
    if "enum" in found:
        words = [{None: "null", True: "yes"}.get(word, str(word)) for word in found["enum"]]
        return mark_safe(" | ".join(f"<code>{escape(word)}</code>" for word in words))  # noqa: S308  # escaped
    if "$ref" in one:
        name = one["$ref"].rsplit("/", 1)[-1]
        return format_html('<a href="#{}">{}</a>', name, name)
    kinds = one["type"] if isinstance(one["type"], list) else [one["type"]]
    return _either(_word(kind, one) for kind in kinds)


def _either(kinds: Iterable[str]) -> SafeString:
    return format_html_join(" or ", "{}", ((kind,) for kind in kinds))


def _word(kind: str, one: dict[str, Any]) -> SafeString | str:
    if kind == "array":
        return format_html("list of {}", _kind(one["items"]))
    if kind == "string" and r"\d+(" in one.get("pattern", ""):
        return "decimal"
    words = {"binary": "file", "date-time": "time"}
    bounds = f" {one['minimum']} to {one['maximum']}" if "maximum" in one else ""
    return words.get(one.get("format", ""), {"string": "text", "integer": "number", "boolean": "yes or no"}.get(kind, kind)) + bounds


def _curl(path: str, method: str, kind: str, fields: list[Field]) -> str:
    address = re.sub(r"\{(\w+)\}", lambda found: str(EXAMPLES[found[1]]), path)
    verb = "" if method == "GET" or fields else f"-X {method} "
    lines = [f'curl {verb}-H "Authorization: Token $HANDIN_TOKEN"']
    if kind.startswith("multipart"):
        lines += [f"-F {field.name}={EXAMPLES[field.name]}" for field in fields]
    elif fields:
        body = json.dumps({field.name: EXAMPLES[field.name] for field in fields})
        lines += ['-H "Content-Type: application/json"', f"-d '{body}'"]
    return " \\\n  ".join([*lines, f"{settings.SITE_URL}{address}"])
