"""Numbers and times as people read them: one place, so that pages, mails and messages agree."""

from datetime import datetime, timedelta
from decimal import ROUND_HALF_EVEN, Decimal
from itertools import pairwise
from zoneinfo import ZoneInfo

NONE = "–"


def fixed(value: Decimal | float | None, places: int = 2) -> str:
    """Rounded half-even, once, to exactly `places`; a true minus sign."""
    if value is None:
        return NONE
    exact = value if isinstance(value, Decimal) else Decimal(str(value))
    rounded = exact.quantize(Decimal(1).scaleb(-places), rounding=ROUND_HALF_EVEN)
    return f"{abs(rounded) if rounded == 0 else rounded:f}".replace("-", "−")


def points(value: Decimal | float | None, places: int = 2) -> str:
    """As `fixed`, without noise at the end: 36, 46.5, 0.25."""
    text = fixed(value, places)
    return text.rstrip("0").rstrip(".") if "." in text else text


def signed(value: Decimal | float | None, places: int = 2) -> str:
    """As `points`, with a plus sign above 0: +4, −2.5, 0."""
    text = points(value, places)
    return f"+{text}" if value is not None and value > 0 and text != "0" else text


def filesize(size: int | None) -> str:
    """412 kB; a MB has 1024 × 1024 bytes, as in the limits."""
    if size is None:
        return NONE
    if size < 1024:
        return f"{size} B"
    for unit, scale in (("kB", 1024), ("MB", 1024**2), ("GB", 1024**3)):
        value = size / scale
        if value < 999.5 or unit == "GB":
            return f"{value:.1f} {unit}".replace(".0 ", " ") if value < 9.95 else f"{value:.0f} {unit}"
    raise AssertionError


def duration(value: timedelta | float | None) -> str:
    """0.21 s, 2.1 s, 12 s, 2 min 5 s, 1 h 3 min, 2 d 4 h: two digits of a part of a minute, then two units at most."""
    if value is None:
        return NONE
    seconds = value.total_seconds() if isinstance(value, timedelta) else float(value)
    if seconds < 0:
        return "−" + duration(-seconds)
    if seconds < 9.95:
        return f"{seconds:.1f} s" if seconds >= 0.995 else f"{seconds:.2f} s"
    whole = round(seconds)
    steps = (("d", 86400), ("h", 3600), ("min", 60), ("s", 1))
    for (unit, scale), (smaller, small_scale) in pairwise(steps):
        if whole >= scale:
            rest = whole % scale // small_scale
            return f"{whole // scale} {unit} {rest} {smaller}" if rest else f"{whole // scale} {unit}"
    return f"{whole} s"


def moment(value: datetime, zone: ZoneInfo, *, seconds: bool = False, year: bool = False) -> str:
    """Sun 22 Oct 23:59 EDT, in the zone's own time."""
    local = value.astimezone(zone)
    date = f"{local:%a} {local.day} {local:%b %Y}" if year else f"{local:%a} {local.day} {local:%b}"
    return f"{date} {local:%H:%M:%S}" + f" {local:%Z}" if seconds else f"{date} {local:%H:%M} {local:%Z}"
