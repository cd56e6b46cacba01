"""What happens in one seed, and when: the same for the site and for the control beside it."""

from dataclasses import dataclass
from enum import StrEnum
from random import Random

STUDENTS = 50
HAND_INS = 200
ARRIVE_S = 14.0  # within so many seconds all are handed in, so that most faults find work waiting
NAP_S = (0.05, 0.3)  # how long the work itself takes, without processor time
WRONG = 0.2  # the share of hand-ins that answer wrongly, so that a result under the wrong name is seen


class Kind(StrEnum):
    """What is done to whom. All but `PAUSE` are sudden ends, after which a supervisor starts the process again."""

    WORKER = "worker"
    HOST = "runner host"
    WARM = "warm process"
    BROKER = "Valkey"
    DATABASE = "PostgreSQL"
    PAUSE = "pause"


TIMES = {Kind.WORKER: 2, Kind.HOST: 1, Kind.WARM: 1, Kind.BROKER: 2, Kind.DATABASE: 2, Kind.PAUSE: 2}


@dataclass(frozen=True)
class Strike:
    """One fault, not before `at` seconds after the first result.

    `worker`: which of the two, where it is one. `down_s`: until a server is started again.
    """

    at: float
    kind: Kind
    worker: int
    down_s: float


@dataclass(frozen=True)
class HandIn:
    """Student `student` hands in at `at` seconds what works for `nap_s` seconds and is `right` or not."""

    number: int
    at: float
    student: int
    nap_s: float
    right: bool


@dataclass(frozen=True)
class Plan:
    """`keeps`: the broker writes what it holds to a file (AOF)."""

    seed: int
    keeps: bool
    strikes: tuple[Strike, ...]
    hand_ins: tuple[HandIn, ...]


def make(seed: int) -> Plan:
    """The same for the same seed. Every second seed has a broker that keeps nothing."""
    draw = Random(seed)
    kinds = [kind for kind, times in TIMES.items() for _ in range(times)]
    draw.shuffle(kinds)
    # The control has work only at first: a pause must find it there and have passed, then a broker's loss, after which there is none.
    for kind, place in ((Kind.PAUSE, 0), (Kind.BROKER, 4)):
        kinds.remove(kind)
        kinds.insert(place, kind)
    at, strikes = 0.5, []
    for kind in kinds:
        strikes.append(Strike(at, kind, draw.randrange(2), draw.uniform(0.3, 1.2)))
        at += draw.uniform(1.0, 2.4)
    students = [number % STUDENTS for number in range(HAND_INS)]
    draw.shuffle(students)
    moments = sorted(draw.uniform(0, ARRIVE_S) for _ in students)
    hand_ins = tuple(
        HandIn(number, moment, student, draw.uniform(*NAP_S), draw.random() >= WRONG)
        for number, (moment, student) in enumerate(zip(moments, students, strict=True))
    )
    return Plan(seed, seed % 2 == 0, tuple(strikes), hand_ins)
