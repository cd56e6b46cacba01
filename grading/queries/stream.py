"""The log and the curves of a run, while it goes and afterwards."""

from dataclasses import dataclass
from typing import Any

from django.db.models import F, Q, Subquery
from django.urls import reverse

from courseapp.models import Enrollment, JsonObject
from grading.models import Run, RunCurves, RunLog
from grading.queries.runs import result_of
from grading.runner.curves import LARGEST, MOST_CURVES, MOST_LINES, MOST_NAME

MOST_CHARACTERS = 16 * 1024  # of one answer: at most 64 KiB
MOST_PIECES = 100  # of one answer
MOST_OTHERS = 100
ROWS = 12  # of the table below a curve
WIDTH, HEIGHT, LEFT, BELOW = 640, 200, 56, 22  # of the picture, in its own units

LEFT_OUT = {
    "steps": "{n} because their step was not larger than the one before",
    "numbers": f"{{n}} because they are no finite numbers below {LARGEST:g}",
    "names": f"{{n}} because their name is longer than {MOST_NAME} characters or cannot be printed",
    "curves": f"{{n}} because a run has at most {MOST_CURVES} curves",
    "lines": f"all after {MOST_LINES:,} lines",
}


@dataclass(frozen=True)
class Log:
    """A part of a log. `after` is what to ask for next: how many characters were given so far."""

    text: str
    after: int
    more: bool


def claim_of(run: Run) -> int:
    """The token of the claim whose log and curves are shown: the newest. Stopping a run raised it once more, so that its holder lets go."""
    return run.token - (run.state in {Run.State.CANCELLED, Run.State.SUPERSEDED})


def log(run: Run, after: int = 0) -> Log:
    """From character `after` on, at most MOST_CHARACTERS of them. What another claim of the run printed is not shown."""
    result = result_of(run)
    if result is not None and result.output:
        text = result.output[after : after + MOST_CHARACTERS]
        return Log(text, after + len(text), after + len(text) < len(result.output))
    text = ""
    rows = RunLog.objects.filter(run=run, token=claim_of(run))
    first = rows.filter(seq__lte=after).order_by("-seq").values("seq")[:1]
    pieces = list(rows.filter(seq__gte=Subquery(first)).order_by("seq")[:MOST_PIECES])
    for piece in pieces:
        begin = after + len(text) - piece.seq
        if begin < 0:  # a piece before it is missing
            break
        text += piece.text[begin:]
        if len(text) > MOST_CHARACTERS:
            return Log(text[:MOST_CHARACTERS], after + MOST_CHARACTERS, more=True)
    return Log(text, after + len(text), more=bool(text) and len(pieces) == MOST_PIECES)


def tail(run: Run, characters: int) -> str:
    """The end of what a run without a result has printed."""
    pieces = RunLog.objects.filter(run=run, token=claim_of(run)).order_by("seq")
    last = pieces.last()
    if last is None:
        return ""
    begin = last.seq + len(last.text) - characters - MOST_CHARACTERS  # a piece is what came in half a second, no longer than this
    return "".join(pieces.filter(seq__gt=begin).values_list("text", flat=True))[-characters:]


def logged(run: Run) -> JsonObject:
    """What the newest claim of a run has logged, as `Curves.to_json`; empty when nothing."""
    return RunCurves.objects.filter(run=run, token=claim_of(run)).values_list("data", flat=True).first() or {}


def followed(run: Run, *, token: int, after: int, seen: str) -> dict[str, Any]:
    """What has come since a reader looked: what was printed, and the curves if they have changed."""
    claim = claim_of(run)
    part = log(run, after if token == claim else 0)
    data = logged(run)
    version = f"{claim}.{data.get('lines', 0)}"
    return {
        "run": run.pk,
        "token": claim,
        "open": run.is_open,
        "restarts": token != claim,
        "log": part.text,
        "after": part.after,
        "more": part.more,
        "seen": version,
        "curves": curves(data) if version != seen else None,
        "left_out": left_out(data),
    }


def curves(data: JsonObject) -> list[dict[str, Any]]:
    """Each curve: what is drawn, its sentence and its table."""
    return [
        {
            "name": name,
            "sentence": _sentence(curve),
            "rows": _rows(curve),
            **{part: curve[part] for part in ("steps", "means", "lows", "highs") if part in curve},
        }
        for name, curve in sorted(data.get("curves", {}).items(), key=lambda pair: pair[1]["place"])
    ]


def left_out(data: JsonObject) -> str:
    told = [LEFT_OUT[reason].format(n=number) for reason, number in data.get("left_out", {}).items()]
    return f"Not drawn: {'; '.join(told)}." if told else ""


def section(reader: Enrollment, run: Run | None, beside: Run | None) -> dict[str, Any]:
    """The curves of the page of a hand-in or a lab run: those of its run, with those of `beside` in the same pictures."""
    if run is None:
        return {"curves": [], "others": []}
    slug, data = reader.course.slug, logged(run)
    found, other = curves(data), {curve["name"]: curve for curve in curves(logged(beside))} if beside else {}
    for curve in found:
        curve["beside"] = other.get(curve["name"])
        curve["picture"] = picture(curve, curve["beside"])
    return {
        "curves": found,
        "curves_run": run,
        "curves_url": reverse("run-stream", args=[slug, run.pk]),
        "left_out": left_out(data),
        "others": _others(reader, run),
        "beside": beside,
        "beside_url": reverse("run-stream", args=[slug, beside.pk]) if beside else "",
    }


def _others(reader: Enrollment, run: Run) -> list[dict[str, Any]]:
    """Runs of the component that have curves: those of the run's own student first, then, for staff, the newest of everybody else.

    No smoke checks: their two steps are no curve to compare with.
    """
    newest = Q(token=F("run__token")) | Q(token=F("run__token") - 1, run__state__in=[Run.State.CANCELLED, Run.State.SUPERSEDED])
    rows = RunCurves.objects.filter(newest, run__component=run.component_id, run__proposed=False).exclude(run=run)
    rows = rows.exclude(run__stage=Run.Stage.SMOKE)
    if not reader.is_staff:
        rows = rows.filter(Run.owned_by(reader, "run__"))
    whole = rows.defer("data", "run__submission__receipt_text", "run__submission__receipt_signature")
    found = whole.select_related("run__submission__enrollment", "run__lab__enrollment").order_by("-run_id")[:MOST_OTHERS]
    own = run.owner_id
    ordered = sorted(found, key=lambda row: row.run.owner_id != own)
    return [{"pk": row.run_id, "name": _name(row.run, own)} for row in ordered]


def _name(run: Run, own: int) -> str:
    person = "" if run.owner_id == own else f" of {run.owner.display_name}"
    return f"{f'lab run #{run.lab.number}' if run.lab else f'#{run.submission.number}'}{person} · run {run.pk}"


def _sentence(curve: JsonObject) -> str:
    count, per = curve["count"], curve["per"]
    ends = [f"{word} {_value(curve[word][1])} at step {_step(curve[word][0])}" for word in ("first", "last", "lowest", "highest")]
    if count == 1:
        return f"1 value: {_value(curve['first'][1])} at step {_step(curve['first'][0])}."
    thinned = f" Each point is the mean of {per} values; the band goes from the lowest to the highest." if per > 1 else ""
    return f"{count:,} values: {', '.join(ends)}.{thinned}"


def _rows(curve: JsonObject) -> list[list[str]]:
    """Step and value of a few points, evenly chosen, with the first and the last."""
    many = len(curve["steps"])
    chosen = range(many) if many <= ROWS else sorted({round(at * (many - 1) / (ROWS - 1)) for at in range(ROWS)})
    return [[_step(curve["steps"][at]), _value(curve["means"][at])] for at in chosen]


def picture(curve: JsonObject, beside: JsonObject | None) -> dict[str, Any]:
    """Lines of an SVG of WIDTH × HEIGHT, and what stands at its axes."""
    both = [one for one in (curve, beside) if one]
    values = [value for one in both for name in ("means", "lows", "highs") for value in one.get(name, [])]
    steps = [step for one in both for step in one["steps"]]
    x, y = _scale(min(steps), max(steps), LEFT, WIDTH - 4), _scale(min(values), max(values), HEIGHT - BELOW, 6)

    def line(one: JsonObject, name: str) -> list[str]:
        return [f"{x(step):.1f},{y(value):.1f}" for step, value in zip(one["steps"], one[name], strict=True)]

    return {
        "line": " ".join(line(curve, "means")),
        "beside": " ".join(line(beside, "means")) if beside else "",
        "band": " ".join(line(curve, "lows") + line(curve, "highs")[::-1]) if "lows" in curve else "",
        "low": f"{min(values):.3g}",
        "high": f"{max(values):.3g}",
        "begin": _step(min(steps)),
        "end": _step(max(steps)),
    }


def _scale(low: float, high: float, begin: float, end: float) -> Any:
    wide = high - low
    return lambda value: begin + (end - begin) * ((value - low) / wide if wide else 0.5)


def _value(value: float) -> str:
    return f"{value:.4g}"


def _step(step: float) -> str:
    return f"{step:,.6g}" if step != int(step) or abs(step) >= 2**53 else f"{int(step)}"
