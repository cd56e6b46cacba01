"""course.toml and the homework folders beside it, read before anything is written."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from pathlib import Path

from django.core.exceptions import ValidationError
from django.core.validators import validate_email

from courseapp.models import Enrollment, Role, Track
from courseapp.services.course import CourseFile, Person
from grading.policy.late import SETTINGS, LatePolicy
from grading.runner.manifest import ComponentSpec, HomeworkManifest, load_manifest, zone_of
from grading.runner.tomlfile import ManifestError, Table, load_toml

_SLUG = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_WALL = "%Y-%m-%d %H:%M"


@dataclass(frozen=True)
class CourseFolder:
    """A course folder that was read without an error. `people_lines`: where each person of `course.people` stands."""

    file: Path
    course: CourseFile
    people_lines: tuple[int, ...]
    late: Mapping[str, object]
    homeworks: tuple[HomeworkManifest, ...]


def read_course(folder: Path) -> CourseFolder:
    """Everything that `folder` says. ManifestError with file and line where it cannot be used."""
    file = folder / "course.toml" if folder.is_dir() else folder
    top = load_toml(file)
    zone = zone_of(top)
    names = _sections(top)
    people = top.tables("person")
    course = CourseFile(
        slug=_slug(top),
        code=_short(top, "code", 30),
        title=_short(top, "title", 120),
        term=_short(top, "term", 40),
        timezone=zone.key,
        starts_on=_monday(top),
        institution=_short(top, "institution", 120, ""),
        mark=_short(top, "mark", 3, "C"),
        weeks=top.whole("weeks", 15, least=1),
        description=top.text("description", "").strip(),
        sections=names,
        people=tuple(_person(row, names) for row in people),
    )
    _refuse_twins(people)
    late = top.mapping("late", SETTINGS)
    _check_late(top.table("late"), late)
    folders = top.texts("homeworks", ())
    top.finish()
    homeworks = tuple(load_manifest(_homework_folder(top, file, name), zone=zone) for name in folders)
    _check_homeworks(homeworks, names, late)
    return CourseFolder(file, course, tuple(row.line() for row in people), late, homeworks)


def _check_late(table: Table, late: Mapping[str, object], course: Mapping[str, object] | None = None) -> None:
    """Refuse settings that the late policy does not take, at the line of the key that it names."""
    try:
        LatePolicy.from_settings(late, course)
    except ValueError as error:
        named = re.match(r"late\.(\w+)", str(error))
        raise table.error(f"{error}.", named[1] if named else None) from None


def _short(table: Table, key: str, most: int, default: str | None = None) -> str:
    value = table.text(key, default)
    if len(value) > most or "\n" in value:
        raise table.error(f"{key} is refused; it must be one line of at most {most} characters, and it has {len(value)}.", key)
    return value


def _slug(top: Table) -> str:
    slug = _short(top, "slug", 60)
    if not _SLUG.fullmatch(slug):
        raise top.error(f'slug = "{slug}" is refused; use small letters, digits and single hyphens, such as "ds-ga-1008-fl23".', "slug")
    return slug


def _monday(top: Table) -> date:
    day = top.day("starts_on")
    if day.weekday():
        raise top.error(f"starts_on = {day} is a {day:%A}; it must be the Monday of week 1.", "starts_on")
    return day


def _sections(top: Table) -> tuple[str, ...]:
    names: list[str] = []
    for row in top.tables("section"):
        name = _short(row, "name", 20)
        if name in names:
            raise row.error(f'section "{name}" is listed twice.', "name")
        row.finish()
        names.append(name)
    return tuple(names)


def _person(row: Table, sections: tuple[str, ...]) -> Person:
    email = _short(row, "email", 254)
    try:
        validate_email(email)
    except ValidationError:
        raise row.error(f'email = "{email}" is not an e-mail address; write one such as "so2231@example.edu".', "email") from None
    if row.has("section") and not sections:
        raise row.error("section is given, but the course has none; add [[section]] with its name.", "section")
    person = Person(
        email=email,
        role=row.choice("role", Role.values),
        username=_short(row, "username", 60, ""),
        institutional_id=_short(row, "institutional_id", 40, ""),
        first_name=_short(row, "first_name", 80, ""),
        last_name=_short(row, "last_name", 80, ""),
        section=row.choice("section", sections) if row.has("section") else "",
        track=row.choice("track", Track.values) if row.has("track") else "",
        state=row.choice("state", Enrollment.State.values) if row.has("state") else "",
    )
    row.finish()
    return person


def _refuse_twins(people: tuple[Table, ...]) -> None:
    seen: dict[tuple[str, str], int] = {}
    for row in people:
        for key in ("email", "username", "institutional_id"):
            value = str(row.values.get(key, "")).lower()
            if value and (key, value) in seen:
                raise row.error(f'{key} = "{value}" is also that of the person at line {seen[key, value]}; it must be one person\'s.', key)
            seen[key, value] = row.line()


def _homework_folder(top: Table, file: Path, name: str) -> Path:
    folder = file.parent / name
    if "/" in name or "\\" in name or name.startswith(".") or not folder.is_dir():
        raise top.error(f'homeworks holds "{name}", and there is no such folder beside {file.name}.', "homeworks")
    return folder


def _check_homeworks(homeworks: tuple[HomeworkManifest, ...], sections: tuple[str, ...], late: Mapping[str, object]) -> None:
    slugs: dict[str, HomeworkManifest] = {}
    for homework in homeworks:
        own = load_toml(homework.folder / "homework.toml")
        if homework.slug in slugs:
            raise own.error(f'slug = "{homework.slug}" is also that of {slugs[homework.slug].folder.name}; each needs its own.', "slug")
        slugs[homework.slug] = homework
        _check_late(own.table("late"), homework.late, late)
        for component in homework.components:
            for name in component.sections:
                if name not in sections:
                    there = ", ".join(sections) or "none"
                    raise _section_table(own, component.kind, name).error(f'"{name}" is not a section of the course; it has {there}.', name)


def due_error(homework: HomeworkManifest, kind: str, section: str, message: str) -> ManifestError:
    """An error at the line that gives `section` ("": everybody) the due time of a component."""
    own = load_toml(homework.folder / "homework.toml")
    if section:
        return _section_table(own, kind, section).error(message, section)
    component = own.table(kind)
    return (component if component.has("due") else own).error(message, "due")


def _section_table(homework: Table, kind: str, name: str) -> Table:
    own = homework.table(kind).table("sections")
    return own if own.has(name) else homework.table("sections")


def later(folder: CourseFolder, weeks: int) -> CourseFolder:
    """The same course with every date moved by whole weeks: weekdays and wall times stay."""
    days = timedelta(weeks=weeks)

    def moved(wall: str) -> str:
        return f"{datetime.strptime(wall, _WALL) + days:{_WALL}}"

    def component(spec: ComponentSpec) -> ComponentSpec:
        return replace(spec, due=moved(spec.due), sections={name: moved(due) for name, due in spec.sections.items()})

    homeworks = tuple(
        replace(homework, release=moved(homework.release), due=moved(homework.due), components=tuple(map(component, homework.components)))
        for homework in folder.homeworks
    )
    return replace(folder, course=replace(folder.course, starts_on=folder.course.starts_on + days), homeworks=homeworks)
