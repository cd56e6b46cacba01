"""What differs between two bundles' autograders, so that people can be told which checks are other ones now."""

import ast
import io
import tomllib
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

_PRACTICE = ("limits", "notebook", "runtime", "required")


@dataclass(frozen=True)
class Changed:
    """`checks`: ids of the checks whose own function or row is another one. `shared`: what else differs, which may decide any check."""

    checks: frozenset[str] = frozenset()
    shared: tuple[str, ...] = ()


def changed(old: bytes, new: bytes) -> Changed:
    """ValueError when one of them is no homework's bundle."""
    before, after = _read(old), _read(new)
    ids = before.functions.keys() | after.functions.keys() | before.rows.keys() | after.rows.keys()
    own = {id_ for id_ in ids if before.functions.get(id_) != after.functions.get(id_) or before.rows.get(id_) != after.rows.get(id_)}
    names = sorted(before.shared.keys() | after.shared.keys())
    return Changed(frozenset(own), tuple(name for name in names if before.shared.get(name) != after.shared.get(name)))


@dataclass(frozen=True)
class _Parts:
    functions: Mapping[str, str]
    rows: Mapping[str, Mapping[str, Any]]
    shared: Mapping[str, object]


def _read(bundle: bytes) -> _Parts:
    try:
        with zipfile.ZipFile(io.BytesIO(bundle)) as archive:
            settings = tomllib.loads(archive.read("homework.toml").decode(), parse_float=Decimal)
            names = [name for name in archive.namelist() if name.startswith("data/") or ("/" not in name and name.endswith(".py"))]
            contents = {name: archive.read(name) for name in names}
    except (zipfile.BadZipFile, KeyError, tomllib.TOMLDecodeError) as error:
        raise ValueError(f"not a homework's bundle: {error}") from error
    functions, rest = _functions(contents.pop("checks.py", b""))
    rows = {
        str(row.get("id")): {key: value for key, value in row.items() if key not in ("title", "visibility", "tolerance")}
        | {"visible": row.get("visibility") == "visible"}
        for row in settings.get("check", ())
    }
    practice = settings.get("practice", {})
    shared: dict[str, object] = {"checks.py beside the checks themselves": rest, **contents}
    shared |= {f"[practice] {name}": practice.get(name) for name in _PRACTICE}
    return _Parts(functions, rows, shared)


def _functions(source: bytes) -> tuple[dict[str, str], str]:
    """The functions that `@check("id")` binds, by id, and what is left of the module; without places, comments and layout."""
    try:
        module = ast.parse(source)
    except (SyntaxError, ValueError) as error:
        raise ValueError(f"checks.py: {error}") from error
    bound: dict[str, str] = {}
    rest = []
    for node in module.body:
        ids = list(_ids(node))
        if ids:
            bound |= dict.fromkeys(ids, ast.dump(node))
        else:
            rest.append(ast.dump(node))
    return bound, "\n".join(rest)


def _ids(node: ast.stmt) -> Iterator[str]:
    for mark in node.decorator_list if isinstance(node, ast.FunctionDef) else ():
        if isinstance(mark, ast.Call) and _name(mark.func) == "check" and mark.args and isinstance(mark.args[0], ast.Constant):
            yield str(mark.args[0].value)


def _name(node: ast.expr) -> str:
    return node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""
