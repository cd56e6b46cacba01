"""A course folder brought into the database: people, homeworks, checks, due times, and each homework's files as one immutable bundle."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from decimal import Decimal

from django.db import transaction

from courseapp import blobs
from courseapp.models import Course, Section
from courseapp.services.course import Changes, PersonClashError, save_course, update
from grading.models import Bundle, Check, Component, CoursePolicy, Homework, SectionDue, Submission
from grading.queries.budget import too_long
from grading.queries.runs import count_earlier
from grading.runner import bundle
from grading.runner.manifest import ComponentSpec, HomeworkManifest
from grading.runner.tomlfile import ManifestError
from grading.services import handin
from grading.services.course_file import CourseFolder, due_error


def load(folder: CourseFolder) -> tuple[Course, Changes]:
    """Everything or nothing. ManifestError names the line that the course as it stands does not take."""
    packed = {homework.slug: _pack(homework) for homework in folder.homeworks}
    changes = Changes()
    with transaction.atomic():
        try:
            course = save_course(folder.course, changes)
        except PersonClashError as error:
            raise ManifestError(folder.file, folder.people_lines[error.index], error.message) from None
        policy = CoursePolicy.objects.filter(course=course).first() or CoursePolicy(course=course)
        update(policy, changes, "policy", late=_plain(folder.late))
        sections = {section.name: section for section in course.sections.all()}
        for manifest in folder.homeworks:
            _save_homework(course, manifest, packed[manifest.slug], sections, changes)
        for gone in course.homeworks.exclude(slug__in=packed):
            changes.say(f"{gone} ({gone.slug}) is not in the file; it was kept.")
        for sentence in too_long(course):
            changes.say(sentence)
        if changes.any:
            for submission in handin.judge_accepted(course=course):
                changes.say(f"{submission} came too late before, is in time now, and is judged.")
    return course, changes


@dataclass(frozen=True)
class _Packed:
    digest: str
    autograder: str  # digest of what decides a score
    size: int
    starter: str  # SHA-256 of the starter files' zip, "" without


def _pack(homework: HomeworkManifest) -> _Packed:
    """The homework's files, kept before the rows that name them; a file that no row names does no harm."""
    archive = bundle.pack(homework.folder)
    blobs.put_bytes(archive.data)
    starter = bundle.starter_archive(archive.data)
    return _Packed(
        archive.digest, bundle.autograder_digest(archive.data), len(archive.data), blobs.put_bytes(starter).sha256 if starter else ""
    )


def _plain(settings: Mapping[str, object]) -> dict[str, object]:
    """Settings as JSON holds them."""

    def one(value: object) -> object:
        if isinstance(value, list):
            return [one(item) for item in value]
        return str(value) if isinstance(value, Decimal) else value

    return {key: one(value) for key, value in settings.items()}


def _save_homework(course: Course, manifest: HomeworkManifest, packed: _Packed, sections: Mapping[str, Section], changes: Changes) -> None:
    archive, new = Bundle.objects.update_or_create(
        digest=packed.digest,
        defaults={"autograder_digest": packed.autograder},  # of a row that was made when its file was missing, it is another
        create_defaults={"autograder_digest": packed.autograder, "size": packed.size},
    )
    if new:
        changes.made["bundles"] += 1
    homework = course.homeworks.filter(slug=manifest.slug).first() or Homework(course=course, slug=manifest.slug)
    former = homework.bundle
    update(
        homework,
        changes,
        "homeworks",
        number=manifest.number,
        title=manifest.title,
        weight=manifest.weight,
        release_wall=manifest.release,
        statement=manifest.statement.read_text(encoding="utf-8"),
        late=_plain(manifest.late),
        bundle=archive,
        starter_sha256=packed.starter,
    )
    if former and former.autograder_digest != archive.autograder_digest and (earlier := count_earlier(homework)):
        which = "1 hand-in was" if earlier == 1 else f"{earlier} hand-ins were"
        changes.say(f"{homework}: the autograder changed. {which} graded by an earlier version; run them again to judge them by this one.")
    rows = {component.kind: component for component in homework.components.all()}
    for spec in manifest.components:
        _save_component(rows.get(spec.kind) or Component(homework=homework, kind=spec.kind), spec, manifest, sections, changes)
    for kind in rows.keys() - {spec.kind for spec in manifest.components}:
        changes.say(f"{homework}: [{kind}] is not in the file any more; it was kept.")


def _save_component(
    component: Component, spec: ComponentSpec, manifest: HomeworkManifest, sections: Mapping[str, Section], changes: Changes
) -> None:
    if component.pk and Submission.objects.filter(component=component).exists():
        _refuse_earlier(component, spec, manifest, sections)
    update(
        component,
        changes,
        "components",
        title=spec.title,
        points=spec.points,
        due_wall=spec.due,
        files_required=list(spec.files_required),
        files_allowed=list(spec.files_allowed),
        max_file_mb=spec.max_file_mb,
        max_total_mb=spec.max_total_mb,
        max_files=spec.max_files,
        hand_ins_per_day=spec.hand_ins_per_day,
        limits=asdict(spec.limits),
        runtime=spec.runtime,
        queue=spec.queue,
        outputs=list(spec.outputs),
        outputs_mb=spec.outputs_mb,
        score_release=spec.score_release,
    )
    _save_section_dues(component, spec, sections, changes)
    _save_checks(component, spec, changes)


def _refuse_earlier(component: Component, spec: ComponentSpec, manifest: HomeworkManifest, sections: Mapping[str, Section]) -> None:
    """A due time may only move later once somebody has handed in."""
    own = {row.section_id: row.due_wall for row in component.section_dues.all()}
    times = [("", component.due_wall, spec.due)]
    times += [(name, own.get(row.pk, component.due_wall), spec.sections.get(name, spec.due)) for name, row in sections.items()]
    for section, before, after in times:
        if after < before:
            whose = f" of section {section}" if section else ""
            raise due_error(
                manifest,
                spec.kind,
                section if section in spec.sections else "",
                f'the {spec.kind}\'s due time{whose} would move earlier, from "{before}" to "{after}", and there are hand-ins already; '
                f'accepted is "{before}" or later.',
            )


def _save_section_dues(component: Component, spec: ComponentSpec, sections: Mapping[str, Section], changes: Changes) -> None:
    rows = {row.section_id: row for row in component.section_dues.all()}
    for name, due in spec.sections.items():
        row = rows.pop(sections[name].pk, None) or SectionDue(component=component, section=sections[name])
        update(row, changes, "section due times", due_wall=due)
    for row in rows.values():
        changes.say(f"{component}: section {row.section} has no due time of its own any more ({row.due_wall}); now {spec.due}.")
        row.delete()
        changes.changed["section due times"] += 1


def _save_checks(component: Component, spec: ComponentSpec, changes: Changes) -> None:
    rows = {row.check_id: row for row in component.check_rows.all()}
    for position, check in enumerate(spec.checks):
        row = rows.pop(check.id, None) or Check(component=component, check_id=check.id)
        update(
            row,
            changes,
            "checks",
            title=check.title,
            points=check.points,
            visibility=check.visibility,
            fresh=bool(check.fresh),
            fresh_group=check.fresh if isinstance(check.fresh, str) else "",
            needs_gpu=check.needs_gpu,
            seeds=check.seeds,
            tolerance=check.tolerance,
            position=position,
        )
    for row in rows.values():
        changes.say(f"{component}: the check {row.check_id} ({row.points} points) is not in the file any more; results keep theirs.")
        row.delete()
        changes.changed["checks"] += 1
