"""When a component is due for whom, and what late work costs there."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from django.db.models import Exists, OuterRef, Q
from django.utils import timezone

from courseapp.models import Course, Enrollment
from grading.models import Accommodation, Check, Component, CoursePolicy, Extension, Homework, SectionDue, Submission
from grading.policy import due as rules
from grading.policy.due import EffectiveDue
from grading.policy.late import Cost, Due, Lateness, LatePolicy, Segment, cost, lateness, timeline

SectionWalls = Mapping[tuple[int, int], str]
"""Due times as wall times, by (component, section)."""


@dataclass(frozen=True)
class Terms:
    """What binds one student in one component: when it is due, what lateness costs, and of how many points.

    `last_due` is the latest due time of the component's sections. `autograded`: it has checks.
    """

    due: EffectiveDue
    policy: LatePolicy
    release: datetime
    possible: Decimal
    homework_possible: Decimal
    last_due: Due
    autograded: bool

    def lateness(self, received: datetime) -> Lateness:
        return lateness(self.policy, due=self.due.due, received=received)

    def cost(self, days: int) -> Cost:
        return cost(self.policy, possible=self.possible, days=days, homework_possible=self.homework_possible)

    def state_now(self, submission: Submission) -> Submission.State:
        """What a hand-in is by today's due time. The row keeps what it was when it came: an extension opens what was closed then."""
        late = self.lateness(submission.counted_at)
        if submission.body_late or not late.accepted:
            return Submission.State.NOT_ACCEPTED
        if submission.state == Submission.State.UNCONFIRMED and late.late:
            return Submission.State.UNCONFIRMED
        return Submission.State.ACCEPTED

    def frozen_at(self, component: Component) -> datetime | None:
        """From when on the choice of what counts is fixed: publishing, or the student's own due time where that is later."""
        return max(component.published_at, self.due.due.end) if component.published_at else None

    @property
    def timeline(self) -> tuple[Segment, ...]:
        return timeline(
            self.policy, release=self.release, due=self.due.due, possible=self.possible, homework_possible=self.homework_possible
        )


def released_at(homework: Homework) -> datetime:
    """When students see the homework (aware, UTC)."""
    return Due.parse(homework.release_wall, homework.course.timezone).instant


def released_now(homework: Homework) -> bool:
    return released_at(homework) <= timezone.now()


def late_policy(component: Component) -> LatePolicy:
    """The homework's settings over the course's; the policy's own defaults where both are silent."""
    return late_policies([component])[component.pk]


def due_for(component: Component, enrollment: Enrollment) -> EffectiveDue:
    return dues_for([component], [enrollment])[component.pk, enrollment.pk]


def terms_for(component: Component, enrollment: Enrollment) -> Terms:
    return all_terms([component], [enrollment])[component.pk, enrollment.pk]


def late_policies(components: Iterable[Component]) -> dict[int, LatePolicy]:
    """By component; one query for the courses that come without their policy."""
    components = list(components)
    courses = {component.homework.course_id: component.homework.course for component in components}
    cached = {pk: course for pk, course in courses.items() if Course.policy.is_cached(course)}
    read = {pk: course.policy.late if hasattr(course, "policy") else {} for pk, course in cached.items()}
    missing = courses.keys() - read.keys()
    settings = read | dict(CoursePolicy.objects.filter(course__in=missing).values_list("course_id", "late")) if missing else read
    return {
        component.pk: LatePolicy.from_settings(component.homework.late, settings.get(component.homework.course_id))
        for component in components
    }


def dues_for(
    components: Sequence[Component], enrollments: Sequence[Enrollment], walls: SectionWalls | None = None
) -> dict[tuple[int, int], EffectiveDue]:
    """By (component, enrollment); three queries however many there are, two if `walls` are given. The components come with their course."""
    section_dues = section_walls(components) if walls is None else walls
    # Rows come oldest first, so the newest extension is the one that stays.
    extensions = {
        (row.component_id, row.enrollment_id): row.due_wall
        for row in Extension.objects.filter(component__in=components).filter(_of(enrollments)).order_by("pk")
    }
    accommodations = {row.enrollment_id: _accommodation(row) for row in Accommodation.objects.filter(_of(enrollments))}
    found: dict[tuple[int, int], EffectiveDue] = {}
    same: dict[tuple[object, ...], EffectiveDue] = {}
    for component in components:
        zone, release = component.homework.course.timezone, released_at(component.homework)
        base = Due.parse(component.due_wall, zone)
        for member in enrollments:
            section = section_dues.get((component.pk, member.section_id or 0))
            extension = extensions.get((component.pk, member.pk))
            accommodation = accommodations.get(member.pk)
            known = (component.pk, section, extension, accommodation)
            if known not in same:
                same[known] = rules.effective_due(
                    base=base,
                    section=Due.parse(section, zone) if section else None,
                    extension=Due.parse(extension, zone) if extension else None,
                    accommodation=accommodation,
                    release=release,
                )
            found[component.pk, member.pk] = same[known]
    return found


def all_terms(components: Sequence[Component], enrollments: Sequence[Enrollment]) -> dict[tuple[int, int], Terms]:
    """By (component, enrollment); five queries however many there are, four if the components come with their course's policy."""
    walls = section_walls(components)
    policies, dues, last = late_policies(components), dues_for(components, enrollments, walls), last_dues(components, walls)
    possible, autograded = _points_and_checks(components)
    return {
        (component.pk, member.pk): Terms(
            due=dues[component.pk, member.pk],
            policy=policies[component.pk],
            release=released_at(component.homework),
            possible=component.points,
            homework_possible=possible[component.homework_id],
            last_due=last[component.pk],
            autograded=component.pk in autograded,
        )
        for component in components
        for member in enrollments
    }


def _points_and_checks(components: Iterable[Component]) -> tuple[dict[int, Decimal], set[int]]:
    """The possible points by homework, and the components that have checks; one query."""
    points: dict[int, Decimal] = {}
    autograded = set()
    has_checks = Exists(Check.objects.filter(component=OuterRef("pk")))
    rows = Component.objects.filter(homework__in={component.homework_id for component in components}).annotate(has_checks=has_checks)
    for pk, homework, possible, checks in rows.order_by().values_list("pk", "homework_id", "points", "has_checks"):
        points[homework] = points.get(homework, Decimal(0)) + possible
        if checks:
            autograded.add(pk)
    return points, autograded


def last_due(component: Component) -> Due:
    """The latest due time of the component's sections: what everybody waits for before solutions open. Personal ones do not count."""
    return last_dues([component])[component.pk]


def section_walls(components: Sequence[Component]) -> SectionWalls:
    """One query."""
    rows = SectionDue.objects.filter(component__in=components)
    return {(row.component_id, row.section_id): row.due_wall for row in rows}


def last_dues(components: Sequence[Component], walls: SectionWalls | None = None) -> dict[int, Due]:
    """`last_due` by component; one query unless `walls` are given."""
    times = {component.pk: [component.due_wall] for component in components}
    for (component, _), wall in (section_walls(components) if walls is None else walls).items():
        times[component].append(wall)
    zones = {component.pk: component.homework.course.timezone for component in components}
    return {pk: max((Due.parse(wall, zones[pk]) for wall in own), key=lambda due: due.instant) for pk, own in times.items()}


def _accommodation(row: Accommodation) -> rules.Accommodation:
    return rules.Accommodation(days=row.days, factor=row.factor, stacks=row.stacks)


def _of(enrollments: Sequence[Enrollment]) -> Q:
    """A whole course is not listed by number: SQLite takes a limited number of parameters, and the rows are few anyway."""
    if len(enrollments) > 50:
        return Q(enrollment__course__in={member.course_id for member in enrollments})
    return Q(enrollment__in=enrollments)
