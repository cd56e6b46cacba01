"""TOML files written by people: every error names the file, the line, the value and what is accepted.

`tomllib` gives values without places, so a small scanner notes the line on which each key and table starts.
"""

import difflib
import re
import tomllib
from collections.abc import Collection, Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import TypeVar, cast
from zoneinfo import ZoneInfo

Where = tuple[str | int, ...]
_T = TypeVar("_T")

_PART = re.compile(r"""\s*(?:"((?:[^"\\]|\\.)*)"|'([^']*)'|([A-Za-z0-9_-]+))\s*(?:\.|$)""")
_OPAQUE = re.compile(r'"""(?:[^\\]|\\.)*?"""|\'\'\'.*?\'\'\'|"(?:[^"\\\n]|\\.)*"|\'[^\'\n]*\'|#[^\n]*', re.DOTALL)
_NAMES = {
    str: "text",
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    Decimal: "a number",
    list: "a list",
    dict: "a table",
    datetime: "a date and time without quotes",
    date: "a date without quotes",
}


class ManifestError(Exception):
    """A course or homework file that cannot be used: which file, which line (0: the file as a whole), what is wrong."""

    def __init__(self, file: Path, line: int, message: str) -> None:
        self.file, self.line, self.message = file, line, message
        super().__init__(f"{file}, line {line}: {message}" if line else f"{file}: {message}")


def _parts(dotted: str) -> list[str]:
    return [next(group for group in match.groups() if group is not None) for match in _PART.finditer(dotted)]


def _places(text: str) -> dict[Where, int]:
    """The line of each key, table and table of an array, by its path: ("check", 2, "points") -> 41."""
    blanked = _OPAQUE.sub(lambda found: (" " if found[0][0] == "#" else "_") * len(found[0]), text)
    places: dict[Where, int] = {}
    counts: dict[Where, int] = {}
    table: Where = ()
    offset = depth = 0

    def resolve(parts: list[str]) -> Where:
        where: Where = ()
        for part in parts:
            where = (*where, part)
            if where in counts:
                where = (*where, counts[where] - 1)
        return where

    for line in blanked.split("\n"):
        number = text.count("\n", 0, offset) + 1
        if depth == 0 and line.lstrip().startswith("["):
            double = line.lstrip().startswith("[[")
            names = _parts(text[offset + line.index("[") + 1 + double : offset + line.index("]")])
            if double:
                array = (*resolve(names[:-1]), names[-1])
                counts[array] = counts.get(array, 0) + 1
                places.setdefault(array, number)
            table = resolve(names)
            places.setdefault(table, number)
        elif depth == 0 and "=" in line:
            where = table
            for part in _parts(text[offset : offset + line.index("=")]):
                where = (*where, part)
                places.setdefault(where, number)
        depth += sum(map(line.count, "[{")) - sum(map(line.count, "]}"))
        offset += len(line) + 1
    return places


def shown(value: object) -> str:
    """A value as its writer would recognise it."""
    return f'"{value}"' if isinstance(value, str) else str(value).lower() if isinstance(value, bool) else str(value)


def listed(words: Collection[str]) -> str:
    """`a, b or c`."""
    *most, last = words
    return f"{', '.join(most)} or {last}" if most else last


class Table:
    """One table of a TOML file. Each getter takes a key out; `finish` refuses the keys that nobody asked for."""

    def __init__(self, file: Path, values: Mapping[str, object], where: Where, places: Mapping[Where, int]) -> None:
        self.file, self.values, self.where, self._places = file, values, where, places
        self._asked: set[str] = set()

    def line(self, key: str | None = None) -> int:
        where = self.where if key is None else (*self.where, key)
        while where and where not in self._places:
            where = where[:-1]
        return self._places.get(where, 0)

    def error(self, message: str, key: str | None = None) -> ManifestError:
        return ManifestError(self.file, self.line(key), message)

    def has(self, key: str) -> bool:
        return key in self.values

    def _take(self, key: str, kinds: tuple[type[_T], ...], default: _T | None) -> _T:
        self._asked.add(key)
        if key not in self.values:
            if default is None:
                near = difflib.get_close_matches(key, self.values.keys() - self._asked, n=1)
                if near:
                    raise self.error(f"{near[0]} is not a known key (did you mean {key}?), and {key} is missing.", near[0])
                raise self.error(f"{key} is missing; give {_NAMES[kinds[0]]}.")
            return default
        value = self.values[key]
        if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
            found = _NAMES.get(type(value), "something else")
            raise self.error(f"{key} = {shown(value)} is {found}; it must be {_NAMES[kinds[0]]}.", key)
        return value

    def text(self, key: str, default: str | None = None, *, most: int | None = None) -> str:
        """Text that is not blank where it is given; with `most`, one line of so many characters."""
        value = self._take(key, (str,), default)
        if key in self.values and not value.strip():
            raise self.error(f"{key} is empty; write it, or leave the line out.", key)
        if most is not None and (len(value) > most or "\n" in value):
            raise self.error(f"{key} is refused; it must be one line of at most {most} characters, and it has {len(value)}.", key)
        return value

    def flag(self, key: str, default: bool) -> bool:
        return self._take(key, (bool,), default)

    def flag_or_text(self, key: str, *, most: int) -> bool | str:
        """False when it is left out."""
        value = self.values.get(key)
        if value is None or isinstance(value, bool):
            return self.flag(key, False)
        if not isinstance(value, str):
            raise self.error(
                f"{key} = {shown(value)} is {_NAMES.get(type(value), 'something else')}; it must be true, false or a name.", key
            )
        return self.text(key, most=most)

    def number(
        self, key: str, default: Decimal | int | None = None, *, least: Decimal | int = 0, most: Decimal | int = 99_999, places: int = 2
    ) -> Decimal:
        value = Decimal(cast("Decimal | int", self._take(key, (Decimal, int), default)))
        if not value.is_finite() or not least <= value <= most:
            raise self.error(f"{key} = {value} is refused; it must be a number from {least} to {most}.", key)
        if value != round(value, places):
            raise self.error(f"{key} = {value} is refused; it must have at most {places} decimals.", key)
        return value

    def whole(self, key: str, default: int | None = None, *, least: int = 0, most: int = 32_767) -> int:
        value = self._take(key, (int,), default)
        if not least <= value <= most:
            raise self.error(f"{key} = {value} is refused; it must be a whole number from {least} to {most}.", key)
        return value

    def day(self, key: str, default: date | None = None) -> date:
        value = self._take(key, (date,), default)
        if isinstance(value, datetime):
            raise self.error(f"{key} = {value} has a time; write the day alone, such as 2023-09-04.", key)
        return value

    def texts(self, key: str, default: tuple[str, ...] | None = None) -> tuple[str, ...]:
        given = self._take(key, (list, tuple), default)
        for item in given:
            if not isinstance(item, str) or not item.strip():
                raise self.error(f'{key} holds {shown(item)}; it must be a list of texts, such as ["mlp.py"].', key)
        return tuple(given)

    def choice(self, key: str, accepted: Collection[str], default: str | None = None) -> str:
        value = self.text(key, default)
        if value not in accepted:
            raise self.error(f"{key} = {shown(value)} is not known{self._guess(value, accepted)}; accepted: {listed(accepted)}.", key)
        return value

    def table(self, key: str) -> "Table":
        """The table below `key`; empty when it is not there."""
        self._asked.add(key)
        value = self.values.get(key, {})
        if not isinstance(value, dict):
            raise self.error(f"{key} must be a table: a line [{'.'.join(map(str, (*self.where, key)))}] with its keys below.", key)
        return Table(self.file, value, (*self.where, key), self._places)

    def tables(self, key: str) -> tuple["Table", ...]:
        """The tables written as [[key]], in their order."""
        self._asked.add(key)
        value = self.values.get(key, [])
        if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
            raise self.error(f"{key} must be written as [[{'.'.join(map(str, (*self.where, key)))}]], once for each.", key)
        return tuple(Table(self.file, item, (*self.where, key, index), self._places) for index, item in enumerate(value))

    def mapping(self, key: str, accepted: Collection[str]) -> dict[str, object]:
        """The plain values below `key`, for a reader of its own; only accepted keys."""
        below = self.table(key)
        below._asked.update(accepted)
        below.finish()
        return dict(below.values)

    def finish(self) -> None:
        """Refuse what nobody asked for, so that a misspelt key is not silently without effect."""
        for key in self.values:
            if key not in self._asked:
                raise self.error(f"{key} is not a known key{self._guess(key, self._asked)}; accepted: {listed(sorted(self._asked))}.", key)

    @staticmethod
    def _guess(word: str, accepted: Collection[str]) -> str:
        near = difflib.get_close_matches(word, accepted, n=1)
        return f" (did you mean {near[0]}?)" if near else ""


def read_text(file: Path) -> str:
    """A file that somebody wrote, with \\n for every end of line. ManifestError when it is missing or not UTF-8."""
    try:
        return file.read_bytes().decode("utf-8").replace("\r\n", "\n")
    except FileNotFoundError:
        raise ManifestError(file, 0, "the file is missing.") from None
    except UnicodeDecodeError as error:
        raise ManifestError(file, 0, f"byte {error.start} is not UTF-8 text; save the file as UTF-8.") from None
    except OSError as error:
        raise ManifestError(file, 0, f"it cannot be read: {error.strerror}.") from None


def load_toml(file: Path) -> Table:
    """The file's top table. ManifestError when it cannot be read or is not TOML."""
    text = read_text(file)
    try:
        values = tomllib.loads(text, parse_float=Decimal)
    except tomllib.TOMLDecodeError as error:
        place = re.search(r"\(at line (\d+), column \d+\)", str(error))
        line = int(place[1]) if place else text.count("\n") + 1
        raise ManifestError(file, line, f"not valid TOML: {re.sub(r' [(]at .*[)]$', '', str(error))}.") from None
    return Table(file, values, (), _places(text))


def wall_time(table: Table, key: str, zone: ZoneInfo | None, default: str | None = None) -> str:
    """A wall time such as "2023-10-22 23:59", checked to exist in `zone` (clocks skip an hour once a year). "" when left out."""
    value = table.text(key, default)
    if not value:
        return value
    try:
        wall = datetime.strptime(value, "%Y-%m-%d %H:%M")
    except ValueError:
        raise table.error(f'{key} = "{value}" is not a date and time; write it as "2023-10-22 23:59".', key) from None
    if zone and wall.replace(tzinfo=zone).astimezone(UTC).astimezone(zone).replace(tzinfo=None) != wall:
        raise table.error(f'{key} = "{value}" does not exist in {zone.key}: the clocks skip that hour; choose another time.', key)
    return value
