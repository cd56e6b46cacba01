"""Icons, numbers, times and pictures for templates. Everything is plain attributes and classes: no style has to be inline."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Protocol
from zoneinfo import ZoneInfo

from django import template
from django.conf import settings
from django.forms import BoundField
from django.template.context import Context
from django.utils import timezone
from django.utils.html import format_html, json_script
from django.utils.safestring import SafeString, mark_safe

from courseapp import formats
from courseapp.icons import ICONS
from courseapp.upload_box import UploadBox

register = template.Library()
register.filter("points", formats.points)
register.filter("fixed", formats.fixed)
register.filter("signed", formats.signed)
register.filter("filesize", formats.filesize)
register.filter("duration", formats.duration)


@register.simple_tag
def icon(name: str, label: str = "") -> SafeString:
    """An inline drawing; silent for screen readers unless it has a label. An unknown name draws a plain circle."""
    shape = mark_safe(ICONS.get(name, ICONS["open"]))  # noqa: S308  # constants
    said = format_html('role="img" aria-label="{}"', label) if label else mark_safe('aria-hidden="true"')
    return format_html(
        '<svg viewBox="0 0 16 16" width="16" height="16" fill="none" stroke="currentColor" stroke-width="1.4" '
        'stroke-linecap="round" stroke-linejoin="round" {}>{}</svg>',
        said,
        shape,
    )


def course_zone(context: Context) -> ZoneInfo:
    course = context.get("course")
    zone = getattr(course, "zone", None)
    return zone if isinstance(zone, ZoneInfo) else ZoneInfo("UTC")


@register.simple_tag(takes_context=True)
def when(context: Context, value: datetime | None, *, seconds: bool = False, plain: bool = False, zone: ZoneInfo | None = None) -> str:
    """A <time> in the course's zone. time.js adds how far away it is, and the reader's own clock; `plain` (in tables) only a title."""
    if value is None:
        return formats.NONE
    zone = zone or course_zone(context)
    local = value.astimezone(zone)
    far = abs(value - timezone.now()) > timedelta(days=180)
    return format_html(
        '<time datetime="{}"{}>{}</time>',
        local.isoformat(timespec="seconds"),
        mark_safe(" data-plain") if plain else "",
        formats.moment(value, zone, seconds=seconds, year=far),
    )


class Segment(Protocol):
    """What grading.policy.late.Segment has, seen from here."""

    kind: str
    credit: Decimal
    start: datetime | None
    end: datetime | None
    open: bool


WEIGHTS = {"before": 0.8, "on_time": 4.0, "late": 1.0, "closed": 1.0}  # as in theme.css


def share(segment: Segment, at: datetime) -> float:
    """How far through the segment `at` lies, 0 to 1."""
    if segment.start is None or segment.end is None:
        return 0.4
    return min(max((at - segment.start) / (segment.end - segment.start), 0.0), 1.0)


@register.inclusion_tag("components/_timeline.html", takes_context=True)
def timeline(context: Context, segments: Sequence[Segment], at: datetime | None = None, label: str = "you are here") -> dict[str, Any]:
    """The deadline as a bar: what the work is worth when, and one mark at `at` (now, or when it was handed in)."""
    zone = course_zone(context)
    if at is None or segments[0].end is None or at >= segments[0].end:
        segments = [segment for segment in segments if segment.kind != "before"]
    total = sum(WEIGHTS[segment.kind] for segment in segments)
    rows: list[dict[str, Any]] = []
    before, late_days = 0.0, 0
    placed = at is None
    for index, segment in enumerate(segments):
        late_days += segment.kind == "late"
        row: dict[str, Any] = {"kind": segment.kind, "credit": segment.credit, "depth": min(late_days, 5), "until": None}
        if segment.end is not None:  # people are told the last minute that counts, and the first after the release
            row["until"] = formats.moment(segment.end - timedelta(seconds=segment.kind != "before"), zone)
        last = index == len(segments) - 1
        if at is not None and not placed and (last or segment.end is None or at < segment.end):
            placed = True
            inside = share(segment, at)
            overall = (before + inside * WEIGHTS[segment.kind]) / total
            row["mark"] = f"{inside * 100:.1f}%"
            row["anchor"] = "start" if overall < 0.3 else "end" if overall > 0.7 else "middle"
        before += WEIGHTS[segment.kind]
        rows.append(row)
    return {"segments": rows, "label": label, "many": late_days > 5}


@register.inclusion_tag("components/_histogram.html")
def histogram(
    counts: Sequence[int], low: str = "0", high: str = "100", mine: int | None = None, label: str = "Histogram of scores"
) -> dict[str, Any]:
    """Counts per bin as bars; `mine` is the index of the reader's own bin."""
    most = max(counts, default=0) or 1
    width = 300 / max(len(counts), 1)
    bars = [
        {
            "x": f"{i * width + width * 0.1:.1f}",
            "y": f"{78 - 62 * count / most:.1f}",
            "width": f"{width * 0.8:.1f}",
            "height": f"{62 * count / most:.1f}",
            "middle": f"{(i + 0.5) * width:.1f}",
            "above": f"{74 - 62 * count / most:.1f}",
            "count": count,
            "mine": i == mine,
        }
        for i, count in enumerate(counts)
    ]
    said = f"{label}: " + ", ".join(str(count) for count in counts) + f", from {low} to {high}"
    return {"bars": bars, "low": low, "high": high, "said": said}


@register.simple_tag(takes_context=True)
def today(context: Context) -> str:
    """Friday 3 November, where the course is."""
    local = datetime.now(UTC).astimezone(course_zone(context))
    return f"{local:%A} {local.day} {local:%B}"


@register.simple_tag
def upload_rules(box: UploadBox) -> SafeString:
    """The rules of an upload box as a JSON data block, which a script reads and no browser runs."""
    return json_script(box.rules, f"rules-{box.component}")


@register.simple_tag
def control(field: BoundField) -> SafeString:
    """A form field's input with our class, and without a placeholder that repeats the label."""
    kind = field.widget_type
    attributes: dict[str, Any] = {}
    if kind not in {"checkbox", "radioselect", "checkboxselectmultiple", "file", "clearablefile"}:
        attributes["class"] = " ".join(["field", *str(field.field.widget.attrs.get("class", "")).split()])
    if str(field.field.widget.attrs.get("placeholder", "")).startswith(str(field.label)):
        attributes["placeholder"] = False
    return field.as_widget(attrs=attributes)


@register.simple_tag
def npm_folder(package: str) -> str:
    """Where a package's files lie, for a library that builds their addresses itself."""
    return f"{settings.STATIC_URL}npm/{package}/"


@register.inclusion_tag("components/_by_hour.html")
def by_hour(
    labels: Sequence[str],
    values: Sequence[float | None],
    shown: Sequence[str],
    tops: Sequence[float | None] = (),
    *,
    highest: str = "",
    said: str,
) -> dict[str, Any]:
    """A value for each hour as bars, oldest first; `shown` is each in words. `tops`: a mark above each bar, such as the longest.

    `highest` is the highest of them all in words, with its unit: a line at its height is labelled so.
    """
    most = max((value for value in (*values, *tops) if value), default=0)
    highest, most = highest if most else "", most or 1
    width = 320 / max(len(values), 1)
    bars = [
        {
            "x": f"{i * width + width * 0.14:.1f}",
            "y": f"{100 - 84 * (value or 0) / most:.1f}",
            "width": f"{width * 0.72:.1f}",
            "height": f"{84 * (value or 0) / most:.1f}",
            "top": f"{100 - 84 * (tops[i] or 0) / most:.1f}" if tops and tops[i] else None,
            "right": f"{(i + 0.86) * width:.1f}",
            "title": f"{label}: {words}",
        }
        for i, (label, value, words) in enumerate(zip(labels, values, shown, strict=True))
    ]
    marks = [
        {"x": f"{(i + 0.5) * width if i else 0:.1f}", "label": label, "anchor": "middle" if i else "start"}
        for i, label in enumerate(labels)
        if i % 6 == 0
    ]
    listed = ", ".join(bar["title"] or "" for bar, value in zip(bars, values, strict=True) if value)
    return {"bars": bars, "marks": marks, "highest": highest, "said": f"{said}. {listed or 'nothing'}."}
