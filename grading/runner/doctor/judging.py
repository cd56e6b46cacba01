"""Whether an attack was held: everything that this rests on is in a Record, and nothing else is asked."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

NEIGHBOUR_FACTOR = 3.0
MEMORY_FACTOR = 1.25
OWN_FAILURES = ("assignment", "system")


@dataclass(frozen=True)
class Neighbour:
    """A healthy job that ran beside the attack."""

    seconds: float
    right: bool


@dataclass(frozen=True)
class Record:
    """What was seen of one attack.

    `made`: it did what it set out to. `kind`, `points`: how its run ended. `reached`: what its code says it got through to. `leaked`: the
    kinds of canaries in what the student is shown. `survivors`: processes of the job 1 s after its end. `alone_s`: a healthy job's time
    without anything beside it. `memory_mb`: what the machine lacked at worst during the attack, less the neighbour's part.
    """

    made: bool
    kind: str
    points: Decimal
    honest: Decimal
    reached: Sequence[str]
    leaked: Sequence[str]
    survivors: Sequence[str]
    neighbours: Sequence[Neighbour]
    alone_s: float
    memory_mb: float
    memory_limit_mb: float
    detail: str = ""

    @property
    def slowest_s(self) -> float:
        return max(neighbour.seconds for neighbour in self.neighbours)


@dataclass(frozen=True)
class Fault:
    """One way in which an attack was not held. `criterion`: made, score, reached, hidden, survivors, neighbour, memory."""

    criterion: str
    sentence: str


SHARED_WITH_THE_MACHINE = {"neighbour", "memory"}  # what else the machine does shows in these


def faults(record: Record) -> list[Fault]:
    """Why the attack does not count as held; none when it was."""
    found = []
    if not record.made:
        found.append(Fault("made", f"It did not get as far as its attack, so nothing is known: {record.detail or record.kind}."))
    if record.kind in OWN_FAILURES:
        found.append(Fault("score", f"Its run ended as a failure that is not the student's ({record.kind}): {record.detail}."))
    elif record.points != record.honest:
        found.append(Fault("score", f"It got {record.points} points; its answers are worth {record.honest}."))
    if record.reached:
        found.append(Fault("reached", f"It got through to {', '.join(record.reached)}."))
    if record.leaked:
        found.append(Fault("hidden", f"What the student is shown holds hidden values: {', '.join(record.leaked)}."))
    if record.survivors:
        found.append(
            Fault("survivors", f"{len(record.survivors)} of its processes lived 1 s after its end: {', '.join(record.survivors)}.")
        )
    if not all(neighbour.right for neighbour in record.neighbours):
        found.append(Fault("score", "A healthy job beside it did not get its points."))
    if record.slowest_s > NEIGHBOUR_FACTOR * record.alone_s:
        times = record.slowest_s / record.alone_s
        found.append(Fault("neighbour", f"A healthy job beside it took {record.slowest_s:.2f} s, {times:.1f} times what it takes alone."))
    if record.memory_mb > MEMORY_FACTOR * record.memory_limit_mb:
        taken = f"{record.memory_mb:.0f} MB of the machine's memory; its limit is {record.memory_limit_mb:.0f} MB"
        found.append(Fault("memory", f"It took {taken}."))
    return found
