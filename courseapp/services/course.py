"""A course and its people as files say them, brought into the database: new rows are made, changed ones updated, none deleted."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date
from itertools import chain, count

from allauth.account.models import EmailAddress
from django.db import models, transaction

from courseapp.models import Course, Enrollment, Identity, Section, User
from courseapp.services import people as people_services

_NAMES = ("username", "institutional_id", "first_name", "last_name")


@dataclass(frozen=True)
class Person:
    """One person of a course file. `track` and `state` are left as they are when the file does not say them."""

    email: str
    role: str
    username: str = ""
    institutional_id: str = ""
    first_name: str = ""
    last_name: str = ""
    section: str = ""
    track: str = ""
    state: str = ""


@dataclass(frozen=True)
class CourseFile:
    slug: str
    code: str
    title: str
    term: str
    timezone: str
    starts_on: date
    institution: str = ""
    mark: str = "C"
    weeks: int = 15
    description: str = ""
    sections: tuple[str, ...] = ()
    people: tuple[Person, ...] = ()


class PersonClashError(Exception):
    """A person of the file (by index) whose names belong to two different people of the course."""

    def __init__(self, index: int, message: str) -> None:
        self.index, self.message = index, message
        super().__init__(message)


@dataclass
class Changes:
    """What a load did: how many rows of which kind, and what a person should read."""

    made: Counter[str] = field(default_factory=Counter)
    changed: Counter[str] = field(default_factory=Counter)
    said: list[str] = field(default_factory=list)

    @property
    def any(self) -> bool:
        return bool(self.made or self.changed)

    def say(self, sentence: str) -> None:
        self.said.append(sentence)

    def lines(self) -> list[str]:
        def listed(counts: Counter[str]) -> str:
            return ", ".join(f"{number} {kind}" for kind, number in counts.items())

        head = [f"{word} {listed(counts)}." for word, counts in (("New:", self.made), ("Changed:", self.changed)) if counts]
        return [*(head or ["Nothing changed."]), *self.said]


def update(row: models.Model, changes: Changes, kind: str, **values: object) -> bool:
    """Save `row` with the values that differ, or as a new row; counted as `kind`. True when something was written."""
    if row.pk is None:
        for name, value in values.items():
            setattr(row, name, value)
        row.save()
        changes.made[kind] += 1
        return True
    differing = [name for name, value in values.items() if getattr(row, name) != value]
    if differing:
        for name in differing:
            setattr(row, name, values[name])
        row.save(update_fields=differing)
        changes.changed[kind] += 1
    return bool(differing)


@transaction.atomic
def save_course(file: CourseFile, changes: Changes) -> Course:
    """The course with its sections and people. PersonClashError when the file and the course disagree about who somebody is."""
    course = Course.objects.select_for_update().filter(slug=file.slug).first() or Course(slug=file.slug)
    names = ("code", "title", "term", "timezone", "starts_on", "institution", "mark", "weeks", "description")
    update(course, changes, "course", **{name: getattr(file, name) for name in names})
    sections = {section.name: section for section in course.sections.all()}
    for name in file.sections:
        if name not in sections:
            sections[name] = Section.objects.create(course=course, name=name)
            changes.made["sections"] += 1
    for name in sections.keys() - set(file.sections):
        changes.say(f"Section {name} is not in the file; it was kept.")
    _save_people(course, sections, file.people, changes)
    return course


class _Known:
    """Rows with an e-mail, a username and an institutional id, found again by the first of the three that fits."""

    KEYS = ("email", "username", "institutional_id")

    def __init__(self, rows: Iterable[Enrollment | User]) -> None:
        self.by: dict[tuple[str, str], Enrollment | User] = {}
        for row in rows:
            self.add(row)

    def add(self, row: Enrollment | User) -> None:
        for key in self.KEYS:
            value = str(getattr(row, key)).lower()
            if value:
                self.by.setdefault((key, value), row)

    def matches(self, person: Person) -> list[Enrollment | User]:
        found = (self.by.get((key, str(getattr(person, key)).lower())) for key in self.KEYS)
        return [row for row in found if row is not None]


def _save_people(course: Course, sections: dict[str, Section], people: Sequence[Person], changes: Changes) -> None:
    rows = list(course.enrollments.select_related("user"))
    enrolled = _Known(rows)
    places = {row.user_id: row for row in rows if row.user_id}
    accounts = _Accounts(changes)
    listed: set[int] = set()
    for index, person in enumerate(people):
        enrollment = _place(enrolled, person, index) or Enrollment(course=course)
        user = enrollment.user or accounts.of(person)
        if user and enrollment.pk is None:
            enrollment = places.get(user.pk, enrollment)
        if user and user.email.lower() != person.email.lower():
            changes.say(f"{person.email} still signs in as {user.email}: an account's address is changed by its owner.")
        if enrollment.state == Enrollment.State.DROPPED and not person.state:
            changes.say(f'{person.email} stays dropped; write state = "active" to enroll them again.')
        values: dict[str, object] = {name: getattr(person, name) for name in ("email", *_NAMES, "role")}
        if person.track:
            values["track"] = person.track
        update(enrollment, changes, "enrollments", **values, user=user, section=sections.get(person.section))
        if (person.state == Enrollment.State.DROPPED and people_services.drop(enrollment=enrollment)) or (
            person.state == Enrollment.State.ACTIVE and people_services.enroll_again(enrollment=enrollment)
        ):
            changes.changed["enrollments"] += 1
        enrolled.add(enrollment)
        if user:
            places[user.pk] = enrollment
        listed.add(enrollment.pk)
    for row in rows:
        if row.pk not in listed:
            changes.say(f"{row.display_name} <{row.email}> is not in the file and was kept; to end their access, drop them.")


def _place(enrolled: _Known, person: Person, index: int) -> Enrollment | None:
    found = [row for row in enrolled.matches(person) if isinstance(row, Enrollment)]
    for other in found[1:]:
        if other != found[0]:
            raise PersonClashError(index, f"{person.email} is {found[0]}, but its username or institutional id is that of {other}.")
    return found[0] if found else None


class _Accounts:
    """Finds or makes the account of a person: only one that surely is theirs is taken."""

    def __init__(self, changes: Changes) -> None:
        users = list(User.objects.all())
        self.changes = changes
        self.vouched = _Known(user for user in users if user.vouched)
        self.taken = {user.email.lower() for user in users}
        shown = EmailAddress.objects.filter(verified=True).select_related("user")
        self.shown: dict[tuple[str, str], User] = {
            ("username", name): row.user for row in shown for name in people_services.before_the_at([row.email.lower()])
        }
        self.shown |= {("email", row.email.lower()): row.user for row in shown}
        self.shown |= {(row.kind, row.value.lower()): row.user for row in Identity.objects.select_related("user")}

    def of(self, person: Person) -> User | None:
        """None when somebody has the address who has not shown that it is theirs."""
        for key in _Known.KEYS:
            if found := self.shown.get((key, str(getattr(person, key)).lower())):
                return found
        for user in self.vouched.matches(person):
            assert isinstance(user, User)
            return user
        if person.email.lower() not in self.taken:
            return self._made(person)
        self.changes.say(f"{person.email}: an account has this address but has not verified it; it takes up the place when it has.")
        return None

    def _made(self, person: Person) -> User:
        user = User(email=person.email, vouched=True, **{name: getattr(person, name) for name in _NAMES})
        user.username = _free_username(person)
        user.set_unusable_password()
        user.save()
        EmailAddress.objects.create(user=user, email=person.email, verified=True, primary=True)
        self.changes.made["accounts"] += 1
        self.vouched.add(user)
        self.taken.add(person.email.lower())
        return user


def _free_username(person: Person) -> str:
    wanted = person.username or person.email.split("@")[0]
    taken = {name.lower() for name in User.objects.filter(username__istartswith=wanted).values_list("username", flat=True)}
    return next(name for name in chain([wanted], (f"{wanted}-{number}" for number in count(2))) if name.lower() not in taken)
