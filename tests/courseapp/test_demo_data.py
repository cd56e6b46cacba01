"""What the demo's semester is made of: papers that open, recordings of real runs, a plan that is the same for everybody."""

from datetime import datetime, timedelta
from io import BytesIO
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from pypdf import PdfReader

from courseapp.management.demo import EXAMPLE, RECORDED, lab
from courseapp.management.demo.papers import KINDS, Kind, theory_paper
from courseapp.management.demo.plan import (
    BACKPROP,
    DAYS_LATE,
    FRESH,
    LATE,
    PHD,
    STUDENT,
    TRANSFORMER,
    WARMUP,
    HandIn,
    Student,
    Times,
    plan,
)
from courseapp.management.demo.recording import Recording, curves
from courseapp.management.demo.samples import read_samples
from grading.runner import bundle
from grading.runner.manifest import load_manifest

ZONE = ZoneInfo("America/New_York")
SAMPLES = read_samples(EXAMPLE / "demo")
CLASS = [Student(email, "001") for email in (STUDENT, PHD, *(f"a{n}@example.edu" for n in range(23)))]
CLASS += [Student(email, "002") for email in (LATE, *(f"b{n}@example.edu" for n in range(14)))]


def wall(day: str, hour: int = 23, minute: int = 59) -> datetime:
    return datetime.fromisoformat(day).replace(hour=hour, minute=minute, tzinfo=ZONE)


TIMES = {
    (homework, section): Times(wall(release, 9, 0), wall(due) + timedelta(minutes=1))
    for homework, section, release, due in [
        (WARMUP, "001", "2023-09-11", "2023-09-24"),
        (WARMUP, "002", "2023-09-11", "2023-09-24"),
        (BACKPROP, "001", "2023-10-09", "2023-10-29"),
        (BACKPROP, "002", "2023-10-09", "2023-10-22"),
        (TRANSFORMER, "001", "2023-10-16", "2023-11-19"),
        (TRANSFORMER, "002", "2023-10-16", "2023-11-19"),
    ]
}


def at(now: datetime) -> list[HandIn]:
    return plan(CLASS, TIMES, SAMPLES, now, ZONE)


@pytest.mark.parametrize("kind", KINDS)
def test_a_paper_is_a_pdf_with_text(kind: Kind) -> None:
    pages = PdfReader(BytesIO(theory_paper("so2231", kind)), strict=True).pages
    assert 1 <= len(pages) <= 2
    assert "Homework 1: theory (so2231)" in pages[0].extract_text()
    assert theory_paper("so2231", kind) == theory_paper("so2231", kind)


@pytest.mark.parametrize("day", ["2023-10-23", "2023-10-25", "2023-10-29"])
def test_the_plan_is_believable_on_every_day_of_week_8(day: str) -> None:
    now = wall(day, 11, 30)
    made = at(now)
    assert made == at(now)
    assert all(TIMES[one.homework, "001"].release < one.at < now for one in made)
    backprop = {one.email for one in made if one.homework == BACKPROP and one.kind == "practice"}
    assert not {STUDENT, LATE} & backprop
    assert PHD in backprop
    assert {one.kind for one in made if one.email == STUDENT and one.homework == BACKPROP} == {"theory"}
    assert 7 <= sum(email.startswith("a") for email in backprop) <= 9
    assert sum(one.fresh for one in made) == FRESH
    ahead = [one for one in made if one.homework == TRANSFORMER]
    assert [one.sample.name for one in ahead if one.email == STUDENT and one.sample] == ["partial-cuda-only", "partial-no-positions"]
    assert 4 <= len({one.email for one in ahead}) <= 6
    assert {one.kind for one in ahead} == {"practice"}
    late = {one.email for one in made if one.homework == BACKPROP and one.email[0] == "b" and one.at >= TIMES[BACKPROP, "002"].due}
    assert len(late) <= len(DAYS_LATE)


def test_nobody_is_ahead_of_the_week() -> None:
    before_lunch = wall("2023-10-23", 0, 5)
    assert not [one for one in at(before_lunch) if one.at >= before_lunch]


def test_late_ones_come_in_day_by_day() -> None:
    due = TIMES[BACKPROP, "002"].due

    def days_late(now: datetime) -> list[int]:
        return sorted((one.at - due).days + 1 for one in at(now) if one.homework == BACKPROP and one.email[0] == "b" and one.at >= due)

    assert days_late(wall("2023-10-23")) == [1, 1]
    assert days_late(wall("2023-10-27")) == [1, 1, 2, 3, 4]


@pytest.mark.parametrize("homework", [WARMUP, BACKPROP, "hw2-recurrent", TRANSFORMER])
def test_the_recorded_runs_are_of_the_files_as_they_are(homework: str) -> None:
    """Fails when a homework or a sample has changed: make demo-data records them anew."""
    recording = Recording.read(RECORDED)
    digest = bundle.pack(EXAMPLE / homework).digest
    first = "smoke" if homework == TRANSFORMER else "grade"
    missing = [name for name, sample in SAMPLES[homework].items() if recording.of(digest, sample.digests, first) is None]
    assert missing == []


def test_a_sample_that_would_run_on_a_gpu_was_recorded_there_too() -> None:
    recording = Recording.read(RECORDED)
    digest = bundle.pack(EXAMPLE / TRANSFORMER).digest
    graded = {name: recording.of(digest, sample.digests) for name, sample in SAMPLES[TRANSFORMER].items()}
    assert {name for name, run in graded.items() if run is None} == {"partial-cuda-only", "broken-import", "broken-untouched"}
    assert {run.outcome.provenance["device"] for run in graded.values() if run} == {"fake"}
    assert {tuple(curves(run.outcome)["curves"]) for run in graded.values() if run} == {("loss",), ("loss", "learning rate")}


def test_the_recorded_lab_run_is_of_the_script_as_it_is(tmp_path: Path) -> None:
    """Fails when the script has changed: make demo-data records it anew."""
    outcome = lab.read()
    assert outcome is not None
    assert (outcome.kind, [file.name for file in outcome.files]) == ("ok", ["curve.csv", "moons.pt"])
    lab.write(outcome, tmp_path / "recorded.json")
    assert (tmp_path / "recorded.json").read_bytes() == lab.RECORDED.read_bytes()
    assert lab.read(tmp_path / "nothing.json") is None


def test_recorded_points_are_what_the_names_of_the_samples_promise() -> None:
    runs = Recording.read(RECORDED).runs
    graded = {(run.homework, run.sample) for run in runs if run.stage == "grade"}
    for run in runs:
        if run.stage == "smoke" and (run.homework, run.sample) in graded:
            continue  # it counts for nothing
        share = run.outcome.points / run.outcome.max_points
        quality = run.sample.split("-")[0]
        assert {"correct": share == 1, "partial": 0 < share < 1, "broken": share <= 0.2}[quality], run.sample


def test_a_recording_is_kept_and_read_back(tmp_path: Path) -> None:
    whole = Recording.read(RECORDED)
    whole.write(tmp_path / "recorded.json")
    assert (tmp_path / "recorded.json").read_bytes() == RECORDED.read_bytes()
    assert Recording.read(tmp_path / "nothing.json").runs == ()


def test_every_homework_that_is_recorded_has_checks() -> None:
    practices = [load_manifest(EXAMPLE / slug).component("practice") for slug in SAMPLES]
    assert all(practice is not None and practice.checks for practice in practices)
