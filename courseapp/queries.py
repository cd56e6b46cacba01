"""What the pages of the course itself show."""

from collections.abc import Sequence
from dataclasses import dataclass

from allauth.mfa.models import Authenticator
from django.conf import settings
from django.utils import timezone

from courseapp.models import ApiToken, Enrollment, Role, Section, User

OWED = "Staff need a second factor here: set up an app or a passkey, then go on."
STAFF_ORDER = (Role.INSTRUCTOR, Role.TA, Role.GRADER)


@dataclass(frozen=True)
class Roster:
    """The people of a course as one reader may see them; `students` is empty for students. `section` is the one picked, if any."""

    staff: Sequence[Enrollment]
    students: Sequence[Enrollment]
    sections: Sequence[Section]
    section: Section | None

    @property
    def active(self) -> int:
        return sum(person.state == Enrollment.State.ACTIVE for person in self.students)


def courses_of(user_id: int) -> list[Enrollment]:
    """The user's places in courses, newest course first."""
    mine = Enrollment.objects.filter(user=user_id, state=Enrollment.State.ACTIVE)
    return list(mine.select_related("course", "section", "user").order_by("-course__starts_on", "course__code"))


@dataclass(frozen=True)
class TokenRow:
    token: ApiToken
    works: bool
    word: str


def tokens_of(user_id: int) -> list[TokenRow]:
    """The user's API tokens, those that work first, then the newest."""
    now = timezone.now()
    rows = []
    for token in ApiToken.objects.filter(user=user_id):
        word = "revoked" if token.revoked_at else "expired" if token.expires_at <= now else "works"
        rows.append(TokenRow(token, word == "works", word))
    return sorted(rows, key=lambda row: not row.works)


def roster(reader: Enrollment, section: str = "") -> Roster:
    """Staff see everybody, in the section named if it is one; students see the staff that teach now. At most two statements."""
    people = Enrollment.objects.filter(course=reader.course_id).select_related("section", "user")
    if not reader.is_staff:
        people = people.exclude(role=Role.STUDENT).filter(state=Enrollment.State.ACTIVE)
    rows = list(people)
    staff = sorted((row for row in rows if row.is_staff), key=lambda row: STAFF_ORDER.index(Role(row.role)))
    if not reader.is_staff:
        return Roster(staff, (), (), None)
    sections = list(reader.course.sections.order_by("name"))
    picked = next((row for row in sections if row.name == section), None)
    students = [row for row in rows if not row.is_staff and (picked is None or row.section_id == picked.pk)]
    return Roster(staff, students, sections, picked)


def owes_second_factor(user: User) -> bool:
    """The site asks one of everybody who sees other people's work or marks, and this person has not set one up."""
    if settings.MFA_REQUIRED_FOR != "staff":
        return False
    staff = user.is_staff or user.is_superuser
    if not staff and not Enrollment.objects.filter(user=user, state=Enrollment.State.ACTIVE).exclude(role=Role.STUDENT).exists():
        return False
    return not Authenticator.objects.filter(user=user, type__in=(Authenticator.Type.TOTP, Authenticator.Type.WEBAUTHN)).exists()
