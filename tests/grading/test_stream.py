"""What a run shows while it works, and that losing it costs no run."""

import contextlib
import sys
import time
from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from django.conf import LazySettings
from django.db import connection
from django.test import Client
from django.urls import reverse
from pytest_django import DjangoAssertNumQueries

from courseapp import clock
from courseapp.models import Enrollment, Role
from grading import claims, execution
from grading.models import Component, Run, RunCurves, RunLog
from grading.queries import stream as queries
from grading.runner.curves import Curves, Lines
from grading.runner.outcome import Outcome, Progress
from grading.services import runs as services
from grading.stream import EVERY_S, PAUSE_S, PIECE, Stream
from tests.grading import making
from tests.grading.site import Site
from tests.patience import eventually

JUDGED = Outcome("ok", Decimal(4), Decimal(10), 1.5, output="first\nsecond\n")


def logged(*lines: str) -> dict[str, Any]:
    found = Curves()
    Lines(found).feed("".join(f"{line}\n" for line in lines).encode())
    return found.to_json()


LOSS = logged('{"step": 0, "loss": 2.5}', '{"step": 10, "loss": 0.5, "acc": 0.75}')


def progress(output: str = "", curves: dict[str, Any] | None = None) -> Progress:
    return Progress("visible", 0, 2, "answer(x) is x + 1", output, curves or {})


@pytest.fixture
def component(tmp_path: Path, settings: LazySettings) -> Component:
    settings.RUNTIME_PYTHON = sys.executable  # any interpreter is a runtime, and nothing is executed here
    return making.homework(tmp_path / "plus-one")


def claimed(component: Component, name: str = "ada") -> claims.Claimed:
    making.run(making.submission(component, name))
    found = claims.claim("cpu", "w")
    assert found is not None
    return found


def write(to: Stream, *parts: Progress) -> None:
    for part in parts:
        to.note(part)
    time.sleep(EVERY_S)
    to.write()


def signed_in(reader: Enrollment) -> Client:
    client = Client()
    assert reader.user is not None
    client.force_login(reader.user)
    return client


def address(run: Run) -> str:
    return reverse("run-stream", args=[run.submission.component.homework.course.slug, run.pk])


def page(run: Run) -> str:
    return reverse("submission", args=[run.submission.component.homework.course.slug, run.submission_id])


@pytest.mark.django_db
def test_a_reader_goes_on_where_it_stopped_also_after_the_end(component: Component) -> None:
    one = claimed(component)
    client, stream = signed_in(one.run.submission.enrollment), Stream(one.run, one.token)
    write(stream, progress("first\n", LOSS))
    first = client.get(address(one.run)).json()
    assert [first[name] for name in ("log", "after", "more", "open", "token")] == ["first\n", 6, False, True, 1]
    assert [(curve["name"], curve["steps"], curve["means"]) for curve in first["curves"]] == [
        ("loss", [0, 10], [2.5, 0.5]),
        ("acc", [10], [0.75]),
    ]
    place: dict[str, Any] = {name: first[name] for name in ("token", "after", "seen")}
    nothing = client.get(address(one.run), place).json()
    assert (nothing["log"], nothing["after"], nothing["curves"]) == ("", 6, None)
    write(stream, progress("sec", LOSS))
    second = client.get(address(one.run), place).json()
    assert (second["log"], second["after"]) == ("sec", 9)
    stream.write(last=True)
    execution.finish(one.run, one.token, JUDGED)
    stream.tidy()
    assert not RunLog.objects.exists()
    place["after"] = second["after"]
    last = client.get(address(one.run), place).json()
    assert (last["log"], last["after"], last["open"], last["curves"]) == ("ond\n", 13, False, None)
    for after in ("x", "-1", "9" * 30):
        assert client.get(address(one.run), {"token": "1", "after": after}).json()["log"] == JUDGED.output
    assert client.get(address(one.run), {"token": 1, "after": 999}).json()["log"] == ""


@pytest.mark.django_db
def test_what_a_fenced_holder_writes_is_not_shown(component: Component) -> None:
    late = claimed(component)
    client, stream = signed_in(late.run.submission.enrollment), Stream(late.run, late.token)
    write(stream, progress("old\n", LOSS))
    assert client.get(address(late.run)).json()["log"] == "old\n"
    with clock.shifted(timedelta(hours=1)):
        execution.sweep()
    with clock.shifted(timedelta(hours=2)):
        current = claims.claim("cpu", "current")
    assert current is not None
    write(stream, progress("of the fenced\n", LOSS))
    new = Stream(current.run, current.token)
    write(new, progress("new\n", logged('{"acc": 1}')))
    seen = client.get(address(late.run), {"token": late.token, "after": 4}).json()
    assert (seen["restarts"], seen["log"], [curve["name"] for curve in seen["curves"]]) == (True, "new\n", ["acc"])
    text = client.get(page(late.run)).content.decode()
    assert ("new\n" in text, "of the fenced" in text) == (True, False)
    new.tidy()
    assert list(RunCurves.objects.values_list("token", flat=True)) == [current.token]


@pytest.mark.django_db
def test_what_a_run_had_printed_before_it_was_stopped_stays(component: Component) -> None:
    one = claimed(component)
    client, stream = signed_in(one.run.submission.enrollment), Stream(one.run, one.token)
    write(stream, progress("first\n", LOSS))
    place = {name: value for name, value in client.get(address(one.run)).json().items() if name in {"token", "after", "seen"}}
    assert services.cancel(run=one.run, by=one.run.submission.enrollment)
    write(stream, progress("last\n", LOSS))  # its holder had not noticed yet
    seen = client.get(address(one.run), place).json()
    assert (seen["restarts"], seen["log"], seen["curves"], seen["open"]) == (False, "last\n", None, False)
    assert [curve["name"] for curve in client.get(address(one.run)).json()["curves"]] == ["loss", "acc"]


@pytest.mark.django_db
def test_a_stopped_run_says_so_on_its_page_and_can_be_compared(component: Component) -> None:
    one, another = claimed(component), claimed(component)
    for each in (one, another):
        write(Stream(each.run, each.token), progress("epoch 7\n", LOSS))
    execution.finish(another.run, another.token, JUDGED)
    ada = one.run.submission.enrollment
    assert services.cancel(run=one.run, by=ada)
    seen = signed_in(ada).get(page(one.run))
    text = seen.content.decode()
    assert '<h2 id="stopped-title">The run was stopped</h2>' in text
    assert f"Cancelled by {ada.display_name}. It gave no result." in text
    assert '<pre class="output" tabindex="0">epoch 7\n</pre>' in text
    assert "Make this one count" not in text
    assert [other["pk"] for other in seen.context["others"]] == [another.run.pk]
    assert [other["pk"] for other in signed_in(ada).get(page(another.run)).context["others"]] == [one.run.pk]
    assert "stopped-title" not in signed_in(ada).get(page(another.run)).content.decode()


@pytest.mark.django_db
def test_the_last_words_of_a_run_without_a_result_stay(component: Component) -> None:
    one = claimed(component)
    stream = Stream(one.run, one.token)
    write(stream, progress("first\n"))
    assert services.cancel(run=one.run, by=one.run.submission.enrollment)
    stream.note(progress("last\n", LOSS))
    stream.write(last=True)
    assert not execution.finish(one.run, one.token, JUDGED)
    stream.tidy()
    one.run.refresh_from_db()
    assert (queries.tail(one.run, 100), queries.log(one.run).text, queries.logged(one.run)) == ("first\nlast\n", "first\nlast\n", LOSS)
    ended = claimed(component, "bob")
    kept = Stream(ended.run, ended.token)
    kept.note(progress("first\n"))
    kept.write(last=True)
    execution.finish(ended.run, ended.token, JUDGED)
    kept.tidy()
    kept.write()
    assert not RunLog.objects.filter(run=ended.run).exists()


@pytest.mark.django_db
def test_many_short_pieces_are_shown_whole(component: Component) -> None:
    one = claimed(component)
    lines = [f"line {n:04}\n" for n in range(250)]
    rows = [RunLog(run=one.run, token=one.token, seq=10 * n, text=line) for n, line in enumerate(lines)]
    RunLog.objects.bulk_create(rows)
    one.run.refresh_from_db()
    assert queries.tail(one.run, 64 * 1024) == "".join(lines)
    assert queries.tail(one.run, 25) == "".join(lines)[-25:]
    found, after, more = "", 0, True
    while more:
        part = queries.log(one.run, after)
        found, after, more = found + part.text, part.after, part.more
    assert found == "".join(lines)


@pytest.mark.django_db
def test_pieces_are_small_and_so_are_answers(component: Component) -> None:
    one = claimed(component)
    text = "".join(f"{n}\N{GRINNING FACE}" for n in range(20_000))
    write(Stream(one.run, one.token), progress(text))
    sizes = [len(row.text.encode()) for row in RunLog.objects.all()]
    assert (max(sizes) <= 64 * 1024, len(sizes)) == (True, -(-len(text) // PIECE))
    one.run.refresh_from_db()
    found, after = "", 0
    while True:
        part = queries.log(one.run, after)
        assert len(part.text.encode()) <= 64 * 1024
        found, after = found + part.text, part.after
        if not part.more:
            break
    assert found == text
    assert queries.log(one.run, 12_345).text[:10] == text[12_345:12_355]
    assert queries.tail(one.run, 4000) == text[-4000:]
    RunLog.objects.filter(seq=PIECE).delete()
    assert queries.log(one.run, PIECE).text == ""  # what is missing is not passed over


@pytest.mark.django_db
def test_at_most_two_writes_a_second_and_none_when_nothing_is_new(
    component: Component, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    one = claimed(component)
    stream = Stream(one.run, one.token)
    write(stream, progress("a", LOSS))
    with django_assert_num_queries(0):
        stream.note(progress("b", LOSS))
        stream.write()
        stream.write()
    time.sleep(EVERY_S)
    stream.write()
    with django_assert_num_queries(0):
        time.sleep(EVERY_S)
        stream.write()
    assert [(row.seq, row.text) for row in RunLog.objects.all()] == [(0, "a"), (1, "b")]


@pytest.mark.django_db
def test_an_open_page_shows_log_and_curves_and_the_heartbeat_carries_neither(component: Component) -> None:
    one = claimed(component)
    write(Stream(one.run, one.token), progress("<b>hello</b>\n", LOSS))
    assert execution.heartbeat(one.run, one.token, progress("<b>hello</b>\n", LOSS))
    assert Run.objects.get().progress == {"stage": "visible", "done": 0, "total": 2, "check": "answer(x) is x + 1"}
    text = signed_in(one.run.submission.enrollment).get(page(one.run)).content.decode()
    assert "&lt;b&gt;hello&lt;/b&gt;" in text
    assert "2 values: first 2.5 at step 0, last 0.5 at step 10, lowest 0.5 at step 10, highest 2.5 at step 0." in text
    assert '<polyline points="56.0,6.0 636.0,178.0" />' in text


@pytest.mark.django_db
def test_curves_stay_and_are_drawn_beside_those_of_another_hand_in(component: Component, tmp_path: Path) -> None:
    course = component.homework.course
    runs: dict[str, list[Run]] = {}
    for name in ("ada", "bob", "ada"):
        one = claimed(component, name)
        write(Stream(one.run, one.token), progress(curves=LOSS))
        execution.finish(one.run, one.token, JUDGED)
        runs.setdefault(name, []).append(one.run)
    (first, second), (foreign,) = runs["ada"], runs["bob"]
    ada, staff = signed_in(first.submission.enrollment), signed_in(making.person(course, "tom", Role.TA))
    seen = ada.get(page(second))
    assert [other["pk"] for other in seen.context["others"]] == [first.pk]
    beside = ada.get(page(second), {"beside": first.pk})
    assert [bool(curve["beside"]) for curve in beside.context["curves"]] == [True, True]
    assert b'class="beside"' in beside.content
    by_staff = staff.get(page(second), {"beside": foreign.pk})
    assert [other["pk"] for other in by_staff.context["others"]] == [first.pk, foreign.pk]
    Run.objects.filter(pk=first.pk).update(stage=Run.Stage.SMOKE)  # two steps are nothing to compare with
    assert [other["pk"] for other in ada.get(page(second)).context["others"]] == []
    Run.objects.filter(pk=first.pk).update(stage=Run.Stage.GRADE)
    assert b'class="beside"' in by_staff.content
    for wanted in (str(foreign.pk), "999999", "x", "9" * 40):
        assert ada.get(page(second), {"beside": wanted}).status_code == 404
    assert [ada.get(address(foreign)).status_code, ada.get(address(first)).status_code] == [404, 200]
    other = making.submission(making.homework(tmp_path / "other", course=course), "ada")
    assert staff.get(page(second), {"beside": making.run(other).pk}).status_code == 404


@pytest.mark.django_db
def test_an_accepted_rerun_is_its_students_and_not_of_who_asked_for_it(component: Component) -> None:
    first = claimed(component, "ada").run
    ta = making.person(component.homework.course, "tom", Role.TA)
    making.run(first.submission, enrollment=ta, proposed=True, purpose=Run.Purpose.RERUN)
    one = claims.claim("cpu", "w")
    assert one is not None
    write(Stream(one.run, one.token), progress(curves=LOSS))
    execution.finish(one.run, one.token, JUDGED)
    ada, bob = signed_in(first.submission.enrollment), signed_in(making.person(component.homework.course, "bob"))
    tom = signed_in(ta)

    def seen() -> list[int]:
        return [reader.get(address(one.run)).status_code for reader in (ada, bob, tom)]

    assert seen() == [404, 404, 200]
    Run.objects.filter(pk=one.run.pk).update(proposed=False)
    assert seen() == [200, 404, 200]
    newer = claimed(component, "ada")
    write(Stream(newer.run, newer.token), progress(curves=LOSS))
    execution.finish(newer.run, newer.token, JUDGED)
    everybody = ada.get(page(newer.run)).context["others"]
    assert everybody == [{"pk": one.run.pk, "name": f"#1 · run {one.run.pk}"}]

    Enrollment.objects.filter(pk=ta.pk).update(role=Role.STUDENT)
    assert seen() == [200, 404, 404]
    own = claimed(component, "tom")
    write(Stream(own.run, own.token), progress(curves=LOSS))
    execution.finish(own.run, own.token, JUDGED)
    assert tom.get(page(own.run)).context["others"] == []


@contextlib.contextmanager
def stream_lost() -> Iterator[None]:
    """No row of a log or of curves can be written: on PostgreSQL somebody holds the tables, on SQLite they refuse."""
    tables = [RunLog._meta.db_table, RunCurves._meta.db_table]
    if connection.vendor == "postgresql":
        holder = connection.copy()
        try:
            holder.set_autocommit(False)
            with holder.cursor() as cursor:
                cursor.execute(f"LOCK TABLE {', '.join(tables)} IN ACCESS EXCLUSIVE MODE")
            yield
        finally:
            holder.close()
        return
    try:
        _execute(*(f"CREATE TRIGGER lost_{table} BEFORE INSERT ON {table} BEGIN SELECT RAISE(ABORT, 'disk full'); END" for table in tables))
        yield
    finally:
        _execute(*(f"DROP TRIGGER lost_{table}" for table in tables))


def _execute(*statements: str) -> None:
    with connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)


@pytest.mark.django_db(transaction=True)
def test_what_could_not_be_written_comes_later_and_whole(component: Component) -> None:
    one = claimed(component)
    stream = Stream(one.run, one.token)
    with stream_lost():
        began = time.monotonic()
        write(stream, progress("first\n", LOSS))
        assert time.monotonic() - began < EVERY_S + 2
    assert not RunLog.objects.exists()
    time.sleep(PAUSE_S)
    write(stream, progress("second\n", LOSS))
    write(stream)
    one.run.refresh_from_db()
    assert (queries.log(one.run).text, queries.logged(one.run)) == ("first\nsecond\n", LOSS)


PRINTS = """
import time

def answer(x):
    for step in range(4):
        print('{"step": %d, "loss": 0.5}' % step, flush=True)
        time.sleep(0.25)
    return x + 1
"""


@pytest.mark.sandbox
def test_a_run_whose_stream_is_lost_ends_as_it_would_have(site: Site, tmp_path: Path) -> None:
    site.host("--jobs", "0")
    site.worker()
    component = making.homework(tmp_path / "plus-one", hidden=False)
    with stream_lost():
        run = services.enqueue(submission=making.submission(component, "ada", answer=PRINTS))
        eventually(lambda: Run.objects.get(pk=run.pk).state == "done", "done")
    run.refresh_from_db()
    assert (run.attempts, run.token, run.result.kind, run.result.points) == (0, 1, "ok", Decimal(4))
    assert run.result.output == "".join(f'{{"step": {step}, "loss": 0.5}}\n' for step in range(4)) * 3
    assert "its log or curves cannot be written, and the run goes on" in site.said("worker")
    assert queries.logged(run) == {}
    other = services.enqueue(submission=making.submission(component, "bob", answer=PRINTS))
    seen: list[str] = []

    def follow() -> bool:
        row = Run.objects.get(pk=other.pk)
        seen.append(queries.log(row).text)
        return row.state == "done"

    eventually(follow, "done")
    other.refresh_from_db()
    lengths = [len(text) for text in seen if text]
    assert all(other.result.output.startswith(text) for text in seen)
    assert (lengths == sorted(lengths), len(set(lengths)) >= 4) == (True, True), lengths
    data = queries.logged(other)
    assert (data["lines"], data["left_out"], data["curves"]["loss"]["steps"]) == (12, {"steps": 8}, [0, 1, 2, 3])
