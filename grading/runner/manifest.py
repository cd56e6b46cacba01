"""homework.toml, read once into frozen dataclasses; docs/homework-files.md says what an instructor writes."""

import ast
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal, cast
from zoneinfo import ZoneInfo

from grading.runner.entry import MODES, NOTEBOOK, NotebookMode, NotebookSpec, entry_files, module_name
from grading.runner.limits import Limits
from grading.runner.tomlfile import ManifestError, Table, load_toml, read_text, wall_time

__all__ = ["CheckSpec", "ComponentSpec", "HomeworkManifest", "ManifestError", "load_manifest"]

Visibility = Literal["visible", "hidden", "after_due", "after_published"]
ScoreRelease = Literal["at_once", "after_due", "after_published"]
Kind = Literal["theory", "practice"]

VISIBILITIES: tuple[Visibility, ...] = ("visible", "hidden", "after_due", "after_published")
SCORE_RELEASES: tuple[ScoreRelease, ...] = ("at_once", "after_due", "after_published")
KINDS: tuple[Kind, ...] = ("theory", "practice")
LATE_KEYS = ("percent_per_day", "days", "steps", "base", "scope", "day_rule", "grace_minutes", "after_last")

MOST_OUTPUTS_MB = 50
MOST_SEEDS = 20
MOST_JUDGED_MB = 180  # of a hand-in that is run: with the homework's own files it has to fit one frame to the host

_SLUG = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_CHECK_ID = re.compile(r"[a-z0-9]+([-_.][a-z0-9]+)*")
_PRELUDE = re.compile(r"[A-Za-z]\w*\.py")
_SECRET = ("checks.py", "reference.py")
_QUEUE = re.compile(r"cpu|gpu(\.[a-z0-9-]+)?")


@dataclass(frozen=True)
class CheckSpec:
    """One `[[check]]` row. `fresh`: its student process is its own, or that of the group of this name; `needs_gpu`: one such check has to
    pass the smoke check before there is a run on a GPU. `seeds`: how many draws it is judged on; it gives the share of its points that
    passed. `tolerance`: by how many points another run may differ for no reason."""

    id: str
    title: str
    points: Decimal
    visibility: Visibility
    fresh: bool | str = False
    needs_gpu: bool = False
    seeds: int = 1
    tolerance: Decimal = Decimal(0)


@dataclass(frozen=True)
class ComponentSpec:
    """Theory or practice: what is handed in, what it is worth, and how it is run."""

    kind: Kind
    title: str
    points: Decimal
    due: str  # wall time in the course's zone
    sections: Mapping[str, str]  # section name -> its own due time
    files_required: tuple[str, ...] = ()
    files_allowed: tuple[str, ...] = ()  # shell patterns, besides the required names
    max_file_mb: int = 20
    max_total_mb: int = 50
    max_files: int = 200
    checks: tuple[CheckSpec, ...] = ()
    limits: Limits = field(default_factory=Limits)
    runtime: str = "torch"
    queue: str = "cpu"
    score_release: ScoreRelease = "after_published"
    hand_ins_per_day: int = 20
    notebook: NotebookSpec = field(default_factory=NotebookSpec)
    outputs: tuple[str, ...] = ()  # shell patterns of the files that are kept of what the visible checks leave behind
    outputs_mb: int = 10

    @property
    def entry(self) -> tuple[str, ...]:
        """The files that the student's process loads as modules before the first check."""
        return entry_files(self.files_required)


@dataclass(frozen=True)
class HomeworkManifest:
    """A homework as its folder says. Times are wall times in the course's zone, such as "2023-10-22 23:59"."""

    folder: Path
    slug: str
    number: int
    title: str
    weight: Decimal
    release: str
    due: str
    late: Mapping[str, object]  # the settings of [late], for the late policy
    components: tuple[ComponentSpec, ...]

    @property
    def statement(self) -> Path:
        return self.folder / "statement.md"

    def component(self, kind: Kind) -> ComponentSpec | None:
        return next((component for component in self.components if component.kind == kind), None)


def course_zone(folder: Path) -> ZoneInfo | None:
    """The time zone of the course that a homework folder lies in; None when no course.toml is beside it."""
    file = folder.resolve().parent / "course.toml"
    if not file.is_file():
        return None
    course = load_toml(file)
    return zone_of(course)


def zone_of(course: Table) -> ZoneInfo:
    name = course.text("timezone")
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise course.error(f'timezone = "{name}" is not a time zone; write one such as "America/New_York".', "timezone") from None


def load_manifest(folder: Path, *, zone: ZoneInfo | None = None) -> HomeworkManifest:
    """Read `folder`/homework.toml and look at the files beside it. ManifestError says what to mend, with file and line.

    Due times are checked to exist in `zone`, by default the zone of the course.toml one folder up.
    """
    top = load_toml(folder / "homework.toml")
    zone = zone or course_zone(folder)
    slug = top.text("slug", folder.resolve().name, most=60)
    if not _SLUG.fullmatch(slug):
        raise top.error(f'slug = "{slug}" is refused; use small letters, digits and single hyphens, such as "hw1-backprop".', "slug")
    rows = top.tables("check")
    reader = _Reader(zone, wall_time(top, "release", zone), wall_time(top, "due", zone), top)
    components = tuple(reader.component(top.table(kind), kind, rows if kind == "practice" else ()) for kind in KINDS if top.has(kind))
    manifest = HomeworkManifest(
        folder=folder,
        slug=slug,
        number=top.whole("number"),
        title=top.text("title", most=120),
        weight=top.number("weight", 1, most=999, places=3),
        release=reader.release,
        due=reader.due,
        late=top.mapping("late", LATE_KEYS),
        components=components,
    )
    top.finish()
    if not components:
        raise top.error("there is nothing to hand in; add a table [theory] or [practice].")
    if rows and not manifest.component("practice"):
        raise rows[0].error("[[check]] rows belong to the practice, and there is no table [practice].")
    _look_at_files(manifest, rows)
    return manifest


class _Reader:
    """Reads the components; what one leaves out of its times it takes from the homework."""

    def __init__(self, zone: ZoneInfo | None, release: str, due: str, top: Table) -> None:
        self.zone, self.release, self.due = zone, release, due
        self._after_release(top, "due", due)
        self.sections = self._section_dues(top)

    def _after_release(self, table: Table, key: str, due: str) -> None:
        if due <= self.release:
            raise table.error(f'{key} = "{due}" is not after the release, "{self.release}".', key)

    def _section_dues(self, table: Table) -> dict[str, str]:
        below = table.table("sections")
        dues = {name: wall_time(below, name, self.zone) for name in below.values}
        for name, due in dues.items():
            self._after_release(below, name, due)
        return dues

    def component(self, table: Table, kind: Kind, rows: tuple[Table, ...]) -> ComponentSpec:
        required, allowed, outputs = table.texts("required"), table.texts("allowed", ()), table.texts("outputs", ())
        for key, names in (("required", required), ("allowed", allowed), ("outputs", outputs)):
            for name in names:
                if "/" in name or "\\" in name or name.startswith("."):
                    raise table.error(f'{key} holds "{name}"; give file names without folders, such as "mlp.py".', key)
        if not required and not allowed:
            raise table.error("required is empty and nothing is allowed, so nothing could be handed in.", "required")
        due = wall_time(table, "due", self.zone, self.due)
        self._after_release(table, "due", due)
        points = table.number("points", least=Decimal("0.01"))
        queue = table.text("queue", "cpu", most=40)
        if not _QUEUE.fullmatch(queue):
            raise table.error(f'queue = "{queue}" is not known; accepted: cpu, gpu or gpu.<kind>.', "queue")
        checks = _checks(rows, points, table)
        release = table.choice("score_release", SCORE_RELEASES, "at_once" if checks else "after_published")
        component = ComponentSpec(
            kind=kind,
            title=table.text("title", kind.capitalize(), most=120),
            points=points,
            due=due,
            sections={**self.sections, **self._section_dues(table)},
            files_required=required,
            files_allowed=allowed,
            max_file_mb=table.whole("max_file_mb", 20, least=1),
            max_total_mb=table.whole("max_total_mb", 50, least=1),
            max_files=table.whole("max_files", 200, least=1),
            checks=checks,
            limits=_limits(table.table("limits"), queue),
            runtime=table.text("runtime", "torch", most=40),
            queue=queue,
            score_release=cast("ScoreRelease", release),
            hand_ins_per_day=table.whole("hand_ins_per_day", 20, least=1),
            notebook=_notebook(table.table("notebook"), judged=bool(checks) and any(name.endswith(NOTEBOOK) for name in required)),
            outputs=outputs,
            outputs_mb=table.whole("outputs_mb", 10, least=1, most=MOST_OUTPUTS_MB),
        )
        if outputs and not any(check.visibility == "visible" for check in checks):
            raise table.error("outputs come of visible checks, and there is none; leave the line out.", "outputs")
        if checks:
            _look_at_sizes(component, table)
            _look_at_entry(component.entry, table)
        table.finish()
        return component


def _notebook(table: Table, *, judged: bool) -> NotebookSpec:
    if table.values and not judged:
        raise table.error("there are no checks with a required .ipynb file, so these settings would be without effect.")
    mode = table.choice("mode", MODES, "definitions")
    prelude = table.text("prelude", "", most=60)
    if prelude and (not _PRELUDE.fullmatch(prelude) or prelude in _SECRET):
        raise table.error(
            f'prelude = "{prelude}" is refused; name a .py file beside this one, such as "prelude.py". '
            "Students can read it, so it cannot be checks.py or reference.py.",
            "prelude",
        )
    if prelude and not (table.file.parent / prelude).is_file():
        raise table.error(f'prelude = "{prelude}", but there is no such file beside this one.', "prelude")
    table.finish()
    return NotebookSpec(cast("NotebookMode", mode), prelude)


def _look_at_entry(entry: tuple[str, ...], table: Table) -> None:
    if not entry:
        raise table.error("checks need a required .py or .ipynb file to run; add its name to required.", "required")
    names = [module_name(file) for file in entry]
    twice = next((name for name in names if names.count(name) > 1), "")
    if twice:
        raise table.error(f"required holds {twice}.py and {twice}.ipynb; checks would call both “{twice}”, so rename one.", "required")


def _look_at_sizes(component: ComponentSpec, table: Table) -> None:
    """Whether what may be handed in can be run."""
    total, file, written = component.max_total_mb, component.max_file_mb, component.limits.file_mb
    if total > MOST_JUDGED_MB:
        raise table.error(
            f"max_total_mb = {total} is refused; where there are checks, at most {MOST_JUDGED_MB} MB can be run.", "max_total_mb"
        )
    if min(file, total) > written:
        raise table.error(f"max_file_mb = {file} needs a limits.file_mb of as much, and it is {written}.", "max_file_mb")


_LEAST = {"memory_mb": 64, "gpu_memory_mb": 256}  # what every hand-in's process takes by itself


def _limits(table: Table, queue: str) -> Limits:
    given: dict[str, Any] = {}
    if table.has("gpu_memory_mb") and not queue.startswith("gpu"):
        given_mb = table.values["gpu_memory_mb"]
        raise table.error(
            f'gpu_memory_mb = {given_mb} is without effect, since queue = "{queue}" has no GPU; leave the line out.', "gpu_memory_mb"
        )
    for cap in fields(Limits):
        if cap.type is int:
            least = _LEAST.get(cap.name, 1) if table.has(cap.name) else 0
            given[cap.name] = table.whole(cap.name, cast("int", cap.default), least=least, most=2**20)
        else:
            given[cap.name] = float(table.number(cap.name, Decimal(cast("float", cap.default)), least=1, most=2**20))
    table.finish()
    return Limits(**given)


def _checks(rows: tuple[Table, ...], points: Decimal, table: Table) -> tuple[CheckSpec, ...]:
    checks: dict[str, CheckSpec] = {}
    for row in rows:
        id_ = row.text("id", most=80)
        if not _CHECK_ID.fullmatch(id_):
            raise row.error(f'id = "{id_}" is refused; use small letters, digits and single - _ . between them.', "id")
        if id_ in checks:
            raise row.error(f'id = "{id_}" is used twice; every check needs an id of its own.', "id")
        seeds, points_of = row.whole("seeds", 1, least=1, most=MOST_SEEDS), row.number("points")
        checks[id_] = CheckSpec(
            id=id_,
            title=row.text("title", most=120),
            points=points_of,
            visibility=cast("Visibility", row.choice("visibility", VISIBILITIES)),
            fresh=row.flag_or_text("fresh", most=40),
            needs_gpu=row.flag("needs_gpu", False),
            seeds=seeds,
            tolerance=row.number("tolerance", 0, most=points_of),
        )
        row.finish()
    total = sum((check.points for check in checks.values()), Decimal(0))
    if checks and total != points:
        raise table.error(f"points = {points}, but the {len(checks)} checks sum to {total}; the two must be equal.", "points")
    return tuple(checks.values())


def _look_at_files(manifest: HomeworkManifest, rows: tuple[Table, ...]) -> None:
    if not manifest.statement.is_file():
        raise ManifestError(manifest.statement, 0, "the file is missing; it is the page that students read.")
    read_text(manifest.statement)
    checks = manifest.folder / "checks.py"
    if rows and not checks.is_file():
        raise rows[0].error("checks are declared, but there is no checks.py beside this file.")
    for module in sorted(manifest.folder.glob("*.py")):
        try:
            ast.parse(module.read_bytes(), module.name)
        except (SyntaxError, ValueError) as error:
            raise ManifestError(module, getattr(error, "lineno", 0) or 0, f"not valid Python: {error.args[0]}.") from None
