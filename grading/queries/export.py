"""Everything that the site keeps of one person, as far as that person may see it: what a page does not show, this does not either."""

import json
from collections.abc import Iterable, Iterator
from typing import Any

from allauth.account.models import EmailAddress
from allauth.usersessions.models import UserSession
from django.core.serializers.json import DjangoJSONEncoder
from django.db.models import Q

from courseapp import blobs
from courseapp.models import Enrollment, OutboxMail, User
from grading.models import GpuGrant, GpuUse, LabRun, Submission, SubmissionFile
from grading.policy.score import ComponentScore
from grading.queries import stream
from grading.queries.due import due_for
from grading.queries.provenance import How
from grading.queries.results import ResultCard
from grading.queries.runs import result_of
from grading.queries.submission import live

CHUNK = 2**18
MOST_LOG = 2**20  # characters

Entry = tuple[str, Iterable[bytes]]
"""A path in the zip file, and its content in pieces."""

README = """Everything that the course site keeps of you, as of the moment you asked.

profile.json        your account: names, addresses, identities, devices, API tokens (not the tokens themselves)
mail.json           mail that the site sent to you, at addresses that you confirmed, and still keeps
courses/COURSE/     one folder for each course: course.json says what you are there
  HOMEWORK-KIND-N/  one folder for each hand-in: hand-in.json, your files, what their run left behind (outputs/), receipt.txt
  gpu.json          GPU time that your runs took, and minutes that staff granted you, with the reasons
  lab-N/            one folder for each lab run: lab-run.json, the files it was given, what it wrote (outputs/)

Scores, points set by hand with their reasons, checks, outputs and curves are in hand-in.json as far as the site shows them to you
today; of a course that you left it shows none.
Anybody can check receipt.txt on the site, under “receipts”.
"""


def entries(user: User) -> Iterator[Entry]:
    """Read while they are written: a few rows and one piece of a file are in memory at a time."""
    yield "README.txt", [README.encode()]
    yield "profile.json", [_json(_profile(user))]
    yield "mail.json", [_json(_mail(user))]
    places = Enrollment.objects.filter(user=user).select_related("course", "section", "user")
    for place in places.order_by("course__starts_on", "course__slug"):
        folder = f"courses/{place.course.slug}"
        yield f"{folder}/course.json", [_json(_place(place))]
        if gpu := _gpu(place):
            yield f"{folder}/gpu.json", [_json(gpu)]
        for submission in _submissions(place):
            yield from _hand_in(place, submission, folder)
        for lab in _labs(place):
            yield from _lab_run(lab, f"{folder}/lab-{lab.number}")


def _profile(user: User) -> dict[str, Any]:
    addresses = EmailAddress.objects.filter(user=user).order_by("pk")
    return {
        "email": user.email,
        "username": user.username,
        "first_name": user.first_name,
        "last_name": user.last_name,
        "institutional_id": user.institutional_id,
        "joined": user.date_joined,
        "last_sign_in": user.last_login,
        "addresses": list(addresses.values("email", "verified", "primary")),
        "identities": list(user.identities.order_by("pk").values("kind", "value", "provider", "created_at")),
        "devices": list(UserSession.objects.filter(user=user).order_by("pk").values("created_at", "last_seen_at", "ip", "user_agent")),
        "api_tokens": list(user.api_tokens.values("name", "prefix", "scopes", "created_at", "expires_at", "last_used_at", "revoked_at")),
    }


def _mail(user: User) -> list[dict[str, Any]]:
    """To the account's own address and to those that were confirmed: any other may be a classmate's, written down by somebody else."""
    mine = Q(to__iexact=user.email)
    for address in EmailAddress.objects.filter(user=user, verified=True).values_list("email", flat=True):
        mine |= Q(to__iexact=address)
    rows = OutboxMail.objects.filter(mine).order_by("pk").values("to", "subject", "body", "created_at", "sent_at")
    return [dict(row) for row in rows]


def _place(place: Enrollment) -> dict[str, Any]:
    course = place.course
    return {
        "course": course.slug,
        "code": course.code,
        "title": course.title,
        "term": course.term,
        "role": place.role,
        "track": place.track,
        "section": place.section.name if place.section else "",
        "state": place.state,
        "since": place.created_at,
        "listed_as": {name: getattr(place, name) for name in ("email", "username", "institutional_id", "first_name", "last_name")},
    }


def _gpu(place: Enrollment) -> dict[str, Any]:
    """Empty of who has used none and was granted none."""
    uses = GpuUse.objects.filter(enrollment=place).order_by("pk").values("run", "week", "reserved_s", "charged_s")
    grants = GpuGrant.objects.filter(enrollment=place).order_by("pk").values("week", "minutes", "reason", "created_at")
    return {"uses": list(uses), "grants": list(grants)} if uses or grants else {}


def _submissions(place: Enrollment) -> Iterator[Submission]:
    found = Submission.objects.filter(enrollment=place).select_related(
        "component__homework__course__policy", "component__homework__bundle", "enrollment__section", "enrollment__course"
    )
    return found.order_by("component__homework__number", "component__kind", "number").iterator(chunk_size=50)


def _hand_in(place: Enrollment, submission: Submission, folder: str) -> Iterator[Entry]:
    component = submission.component
    inside = f"{folder}/{component.homework.slug}-{component.kind}-{submission.number}"
    files = list(submission.files.all())
    seen = live(place, submission) if place.state == Enrollment.State.ACTIVE else None  # what the page shows, by the same gate
    yield f"{inside}/hand-in.json", [_json(_facts(submission, files, seen))]
    yield f"{inside}/receipt.txt", [submission.receipt_document.encode()]
    kept = [(f"files/{file.path}", file.sha256) for file in files]
    kept += [(f"outputs/{row['path']}", row["sha256"]) for row in (seen["output_files"] if seen else [])]
    yield from _kept(kept, inside)


def _kept(files: Iterable[tuple[str, str]], inside: str) -> Iterator[Entry]:
    """`files`: paths, and the digests of their content."""
    for path, sha256 in files:
        if blobs.exists(sha256):
            yield f"{inside}/{path}", _content(sha256)
        else:
            yield f"{inside}/{path}.missing.txt", [f"The site has lost {path.partition('/')[2]} ({sha256}).\n".encode()]


def _labs(place: Enrollment) -> Iterator[LabRun]:
    found = LabRun.objects.filter(enrollment=place).select_related("component__homework", "run__result")
    return found.order_by("number").iterator(chunk_size=50)


def _lab_run(lab: LabRun, inside: str) -> Iterator[Entry]:
    """All of it: nothing of a lab run is kept back from whose it is."""
    files, result = list(lab.files.all()), result_of(lab.run)
    written = list(result.files.all()) if result else []
    facts = {
        "number": lab.number,
        "script": lab.script,
        "arguments": lab.arguments,
        "homework": lab.component.homework.title,
        "component": lab.component.kind,
        "run": _run(lab.run),
        "curves": stream.logged(lab.run),
        "log": "" if result and result.output else stream.tail(lab.run, MOST_LOG),
        "result": {"outcome": result.kind, "message": result.message, "seconds": result.seconds, "output": result.output}
        if result
        else None,
        "files": [{"path": file.path, "size": file.size, "sha256": file.sha256} for file in files],
    }
    yield f"{inside}/lab-run.json", [_json(facts)]
    yield from _kept(
        [*((f"files/{row.path}", row.sha256) for row in files), *((f"outputs/{row.name}", row.sha256) for row in written)], inside
    )


def _facts(submission: Submission, files: list[SubmissionFile], seen: dict[str, Any] | None) -> dict[str, Any]:
    component = submission.component
    facts: dict[str, Any] = {
        "homework": component.homework.title,
        "component": component.kind,
        "number": submission.number,
        "receipt": submission.receipt_code,
        "state": submission.state,
        "received_at": submission.received_at,
        "completed_at": submission.completed_at,
        "own_work": submission.own_work,
        "days_late_when_it_came": submission.days_late,
        "refusal": submission.refusal,
        "chosen": submission.chosen,
        "left_out": submission.dropped,
        "on_behalf_reason": submission.on_behalf_reason,
        "due": str(due_for(component, submission.enrollment).due),
        "files": [{"path": file.path, "size": file.size, "sha256": file.sha256} for file in files],
    }
    if seen is None:
        return facts
    return facts | {
        "run": _run(seen["run"]),
        "result": _result(seen["card"], seen["how"], earlier=seen["earlier"]),
        "score": _score(seen["score"]),
        "note": seen["score_note"],
        "points_by_hand": _by_hand(submission) if seen["score_seen"] else [],
        "curves": stream.logged(curves_of) if (curves_of := seen["result"].run if seen["result"] else seen["run"]) else {},
    }


def _by_hand(submission: Submission) -> list[dict[str, Any]]:
    """Oldest first; the last one holds, and without points it took back the one before."""
    rows = submission.points_by_hand.select_related("set_by")
    return [{"points": row.points, "reason": row.reason, "set_by": row.set_by.display_name, "at": row.created_at} for row in rows]


def _run(run: Any) -> dict[str, Any] | None:
    return {"state": run.state, "queued_at": run.created_at, "finished_at": run.ended_at} if run else None


def _result(card: ResultCard | None, how: How | None, *, earlier: bool) -> dict[str, Any] | None:
    if card is None or how is None:
        return None
    checks = [
        {"title": row.title, "outcome": row.word, "points": row.points, "out_of": row.out_of, "message": row.why} for row in card.rows
    ]
    run = {"took": how.took, "autograder_digest": how.autograder_digest, **how.values}
    told = {"outcome": card.outcome, "message": card.message.strip(), "checks": checks, "output": card.output}
    return told | {"graded_by_an_earlier_version": earlier, "how_it_was_run": run}


def _score(score: ComponentScore | None) -> dict[str, Any] | None:
    if score is None:
        return None
    lines = [{"item": line.item, "points": line.points, "out_of": line.out_of, "why": line.why} for line in score.lines]
    return {"points": score.final, "out_of": score.possible, "lines": lines}


def _content(sha256: str) -> Iterator[bytes]:
    with blobs.open(sha256) as content:
        while chunk := content.read(CHUNK):
            yield chunk


def _json(value: object) -> bytes:
    return json.dumps(value, cls=DjangoJSONEncoder, ensure_ascii=False, indent=1).encode()
