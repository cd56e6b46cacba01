"""Numbers, times and counts as a student reads them. Free of the process's locale, so a sentence is the same on every machine."""

from datetime import datetime
from decimal import ROUND_HALF_EVEN, Decimal
from zoneinfo import ZoneInfo

WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def clock(moment: datetime, zone: str) -> str:
    """An aware moment in the course's zone: "Sun 22 Oct 23:59 EDT"."""
    local = moment.astimezone(ZoneInfo(zone))
    name = local.tzname() or zone
    if name[0] in "+-":  # zones without letters, such as America/Sao_Paulo
        name = f"UTC{name}"
    return f"{WEEKDAYS[local.weekday()]} {local.day} {MONTHS[local.month - 1]} {local:%H:%M} {name}"


def number(value: Decimal) -> str:
    """As short as it can be, at most four places: 50, 4.5, 52.488."""
    text = f"{value.quantize(Decimal('0.0001'), rounding=ROUND_HALF_EVEN):f}".rstrip("0").rstrip(".")
    return "0" if text == "-0" else text.replace("-", "−")


def count(amount: int | Decimal, thing: str) -> str:
    """ "1 day", "2 days"."""
    return f"{number(Decimal(amount))} {thing}" if amount == 1 else f"{number(Decimal(amount))} {thing}s"
