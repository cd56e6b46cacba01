"""The queue's simulation as one SVG without scripts, readable on light and on dark pages."""

from collections.abc import Sequence
from html import escape

from courseapp.management.simulation_report import NAMES, Report, headline
from grading.policy.simulation import FIFO, OURS

WIDTH, HEIGHT = 860, 600
_STYLE = """
text { font: 13px system-ui, sans-serif; fill: #1d1b18; font-variant-numeric: tabular-nums; }
.title { font-size: 16px; font-weight: 600; } .head { font-weight: 600; } .small { font-size: 12px; } .muted { fill: #67625a; }
.paper { fill: #fbfaf8; stroke: #e6e2da; } .grid { stroke: #e6e2da; } .axis { stroke: #cfc9be; }
.line { fill: none; stroke-width: 2.5; stroke-linejoin: round; }
.line.ours { stroke: #57068c; } .line.fifo { stroke: #8a5a00; stroke-dasharray: 7 4; }
text.ours { fill: #57068c; font-weight: 600; } text.fifo { fill: #8a5a00; font-weight: 600; }
.figure { font-size: 12px; paint-order: stroke; stroke: #fbfaf8; stroke-width: 5; }
.bar { fill: #9a9388; } .bar.ours { fill: #57068c; } .bar.fifo { fill: #8a5a00; }
.limit { stroke: #12703f; stroke-width: 1.5; stroke-dasharray: 3 3; } text.limit { fill: #12703f; stroke: none; }
@media (prefers-color-scheme: dark) {
  text { fill: #efedf2; } .muted { fill: #a5a0ad; }
  .paper { fill: #131216; stroke: #2e2c34; } .grid { stroke: #2e2c34; } .axis { stroke: #45424d; }
  .line.ours { stroke: #c79bf0; } .line.fifo { stroke: #efbe5c; } text.ours { fill: #c79bf0; } text.fifo { fill: #efbe5c; }
  .figure { stroke: #131216; }
  .bar { fill: #77727f; } .bar.ours { fill: #c79bf0; } .bar.fifo { fill: #efbe5c; }
  .limit { stroke: #6fd39c; } text.limit { fill: #6fd39c; }
}"""
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 830, 92, 290  # of the curves
_ROWS, _STEP = 386, 30  # of the bars: the first row's middle, and from one to the next


def draw(report: Report) -> str:
    ours, fifo = report.row(OURS.name), report.row(FIFO.name)
    said = (
        f"Half of the teams have an answer to their last upload within {ours.wait_p50_min:.0f} minutes, "
        f"first come, first served within {fifo.wait_p50_min:.0f}; "
        f"the longest wait for a first result is {ours.first_result_worst_min:.0f} and {fifo.first_result_worst_min:.0f} minutes."
    )
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" role="img">',
        f"<title>Waits in the queue: ours and first come, first served</title><desc>{escape(said)}</desc><style>{_STYLE}\n</style>",
        f'<rect class="paper" x="0.5" y="0.5" width="{WIDTH - 1}" height="{HEIGHT - 1}" rx="10"/>',
        _text(24, 34, headline(report.scenario), "title"),
        _text(24, 68, "Last uploads that have an answer after so many hours", "head"),
        *_curves(ours.last_waits_min, fifo.last_waits_min),
        *_names(report),
        _text(24, 352, "Minutes until the answer", "head"),
        *_bars(report, 224, "half of the last uploads", [row.wait_p50_min for row in report.rows], report.bars[0].limit),
        *_bars(report, 436, "95 % of the last uploads", [row.wait_p95_min for row in report.rows]),
        *_bars(report, 648, "first result, the worst", [row.first_result_worst_min for row in report.rows], report.bars[1].limit),
        "</svg>\n",
    ]
    return "\n".join(parts)


def _curves(ours: Sequence[float], fifo: Sequence[float]) -> list[str]:
    hours = max(1, -int(-max(*ours, *fifo) // 60))
    every = max(1, -(-hours // 12))  # hours between two marks

    def x(minutes: float) -> float:
        return _LEFT + (_RIGHT - _LEFT) * minutes / 60 / hours

    def y(share: float) -> float:
        return _BOTTOM - (_BOTTOM - _TOP) * share

    parts = []
    for percent in (0, 25, 50, 75, 100):
        at = y(percent / 100)
        parts.append(f'<path class="{"grid" if percent else "axis"}" d="M{_LEFT} {at:.1f}H{_RIGHT}"/>')
        parts.append(_text(_LEFT - 8, at + 4, f"{percent} %", "small muted", "end"))
    parts += [_text(x(60 * hour), _BOTTOM + 20, f"{hour} h", "small muted", "middle") for hour in range(0, hours + 1, every)]
    for name, waits in (("fifo", fifo), ("ours", ours)):
        path = " ".join(f"{x(at):.1f} {y(_share(waits, at)):.1f}" for at in range(0, 60 * hours + 1, 4))
        parts.append(f'<path class="line {name}" d="M{path}"/>')
    for name, waits, label, share in (("ours", ours, "ours", 0.6), ("fifo", fifo, "first come, first served", 0.3)):
        at = waits[int(share * (len(waits) - 1))]
        parts.append(_text(x(at) + 12, y(share) + 14, label, name))
    return parts


def _share(waits: Sequence[float], at: float) -> float:
    return sum(wait <= at for wait in waits) / len(waits)


def _names(report: Report) -> list[str]:
    return [
        _text(24, _ROWS + _STEP * number + 4, NAMES[row.policy], _kind(row.policy) or "small") for number, row in enumerate(report.rows)
    ]


def _bars(report: Report, left: float, head: str, values: Sequence[float], limit: float = 0.0) -> list[str]:
    """A bar per policy, with its figure, and the limit that ours has to keep below."""
    room = 146 / (max(*values, limit) or 1)
    parts = [_text(left, 352, head, "head")]
    middles = [_ROWS + _STEP * number for number in range(len(values))]
    for row, value, middle in zip(report.rows, values, middles, strict=True):
        width = max(value * room, 1)
        parts.append(f'<rect class="bar {_kind(row.policy)}" x="{left}" y="{middle - 8}" width="{width:.1f}" height="16" rx="3"/>')
    if limit:
        at, bottom = left + limit * room, middles[-1] + _STEP / 2
        parts.append(f'<path class="limit" d="M{at:.1f} {_ROWS - _STEP / 2:.1f}V{bottom:.1f}"/>')
        parts.append(_text(at, bottom + 16, f"bar for ours: {limit:g}", "small limit", "middle"))
    parts += [_text(left + value * room + 6, middle + 4, f"{value:.0f}", "figure") for value, middle in zip(values, middles, strict=True)]
    return parts


def _kind(policy: str) -> str:
    return policy if policy in {FIFO.name, OURS.name} else ""


def _text(x: float, y: float, words: str, kind: str = "", anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" class="{kind}" text-anchor="{anchor}">{escape(words)}</text>'
