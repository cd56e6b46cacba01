"""In which order waiting runs are claimed, and when each can be expected to start.

Plain functions of what waits: whoever claims, shows a place in the queue, or simulates a term asks the same ones. Times are seconds since
any fixed moment; an account is a student or a team.
"""

import bisect
import heapq
import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum

HALF_LIFE_S = 86_400.0  # of the time that an account has used
NOTHING_USED = -math.inf


class Purpose(IntEnum):
    """Why a run waits, from what goes first to what goes last."""

    HAND_IN = 0
    LAB = 1
    RERUN = 2  # asked for by staff: students go first
    SUPERSEDED = 3  # its owner has handed in something newer; judged all the same, since the best judged hand-in may count


@dataclass(frozen=True)
class Waiting:
    """A run that may be claimed. `since`: when it was queued; `kind`: of the GPU that it needs, where not any will do."""

    id: int
    account: int
    purpose: Purpose
    since: float
    kind: str = ""

    @property
    def counts(self) -> bool:
        """Whether its account is held to have a slot while it runs, and to have used the time."""
        return self.purpose < Purpose.RERUN


@dataclass(frozen=True)
class Account:
    """`level`: what it has used, as `charged` reckons it. `running`: its hand-ins and lab runs that hold a slot now."""

    level: float = NOTHING_USED
    running: int = 0


@dataclass(frozen=True)
class Rules:
    """Which rules hold; all of them, but in a simulation that shows what each is for."""

    fair_share: bool = True
    one_at_a_time: bool = True


ALL = Rules()


@dataclass(frozen=True)
class Slot:
    """A place to run in: free at once, or in so many seconds, of the account that has it by a run that counts. `kind`: of its GPU."""

    free_in_s: float = 0.0
    account: int | None = None
    kind: str = ""

    def serves(self, kind: str) -> bool:
        return kind in {"", self.kind}


Key = tuple[int, bool, int, float, float, int]


def charged(level: float, seconds: float, at: float) -> float:
    """The level after `seconds` of use at the moment `at`.

    Use decays with HALF_LIFE_S. The level is the binary logarithm of all use, each weighted by how late it was: it does not change by
    itself, so levels of different moments are in the order that the decayed sums would be in at any later one.
    """
    if seconds <= 0:
        return level
    added = math.log2(seconds) + at / HALF_LIFE_S
    high, low = max(level, added), min(level, added)
    return high + math.log2(1 + 2 ** (low - high))


def used(level: float, at: float) -> float:
    """What is left of an account's use at the moment `at`, in seconds."""
    return 0.0 if level == NOTHING_USED else 2 ** (level - at / HALF_LIFE_S)


def key(run: Waiting, account: Account, rules: Rules = ALL) -> Key:
    """The run with the smallest key is claimed.

    Students' own work goes before reruns and what was superseded. Then come those who have no slot before those who have one, so that a
    second slot is given out only when nobody else has use for it; hand-ins before lab runs; those who have used less; who waits longer.
    What does not count goes by age alone: it changes nobody's use, so one account's would all come after all of another's.
    """
    yields = run.purpose if run.purpose >= Purpose.RERUN else 0
    holds = rules.one_at_a_time and account.running > 0
    return (yields, holds, run.purpose, account.level if rules.fair_share and run.counts else 0.0, run.since, run.id)


def in_order(waiting: Iterable[Waiting], accounts: Mapping[int, Account]) -> list[Waiting]:
    """The one to claim now first, and after each the one to claim if that cannot be had."""
    return sorted(waiting, key=lambda run: key(run, accounts[run.account]))


class Line:
    """What waits, in the order in which it is claimed as accounts take slots and give them back."""

    def __init__(self, waiting: Iterable[Waiting], accounts: Mapping[int, Account], rules: Rules = ALL) -> None:
        self._rules = rules
        self._accounts: defaultdict[int, Account] = defaultdict(Account, accounts)
        self._own: defaultdict[int, list[Waiting]] = defaultdict(list)
        for run in waiting:
            self._own[run.account].append(run)
        self._heads: list[tuple[Key, Waiting]] = []
        for account, runs in self._own.items():
            runs.sort(key=_own_key, reverse=True)
            self._offer(account)

    def _offer(self, account: int) -> None:
        if self._own[account]:
            head = self._own[account][-1]
            heapq.heappush(self._heads, (key(head, self._accounts[account], self._rules), head))

    def first(self) -> tuple[Key, Waiting] | None:
        """The run to claim now, with its key."""
        while self._heads:
            offered, run = self._heads[0]
            runs = self._own[run.account]
            if runs and runs[-1] == run and offered == key(run, self._accounts[run.account], self._rules):
                return offered, run
            heapq.heappop(self._heads)  # what was offered before its account changed
        return None

    def take(self) -> Waiting | None:
        """Claim the first one: if it counts, its account has a slot more."""
        first = self.first()
        if first is None:
            return None
        _, run = first
        self._own[run.account].pop()
        self._change(run.account, running=int(run.counts))
        return run

    def hold(self, account: int) -> None:
        """An account has a slot more, by a run that counts."""
        self._change(account, running=1)

    def add(self, run: Waiting) -> None:
        runs = self._own[run.account]
        bisect.insort(runs, run, key=lambda other: tuple(-part for part in _own_key(other)))
        self._offer(run.account)

    def remove(self, run: Waiting) -> None:
        """It waits no longer, or waits for another purpose and is added again. ValueError: it does not wait."""
        self._own[run.account].remove(run)
        self._offer(run.account)

    def give_back(self, account: int, *, seconds: float, at: float) -> None:
        """An account's run that counts has ended after `seconds`, at the moment `at`."""
        self._change(account, running=-1, seconds=seconds, at=at)

    def _change(self, account: int, *, running: int, seconds: float = 0.0, at: float = 0.0) -> None:
        before = self._accounts[account]
        self._accounts[account] = Account(charged(before.level, seconds, at), max(before.running + running, 0))
        self._offer(account)


def expected(
    waiting: Iterable[Waiting], accounts: Mapping[int, Account], slots: Sequence[Slot], length_s: float, *, now: float
) -> Iterator[tuple[Waiting, float]]:
    """(run, seconds until it starts) in order, if every run takes `length_s` and nothing new comes. Without what no slot serves."""
    runs: defaultdict[str, list[Waiting]] = defaultdict(list)
    for one in waiting:
        runs[one.kind].append(one)
    lines = {kind: Line(of_kind, accounts) for kind, of_kind in runs.items()}
    events = [(slot.free_in_s, number, slot.account) for number, slot in enumerate(slots)]
    heapq.heapify(events)
    while events:
        at, number, account = heapq.heappop(events)
        if account is not None:
            for line in lines.values():
                line.give_back(account, seconds=length_s, at=now + at)
        heads = [first for kind, line in lines.items() if slots[number].serves(kind) and (first := line.first())]
        if not heads:
            continue  # nor will it have any later: nothing new comes
        _, run = min(heads)
        for kind, line in lines.items():
            if kind == run.kind:
                line.take()
            elif run.counts:
                line.hold(run.account)
        yield run, at
        heapq.heappush(events, (at + length_s, number, run.account if run.counts else None))


def _own_key(run: Waiting) -> tuple[int, float, int]:
    """The order among runs of one account, which is that of `key`."""
    return (int(run.purpose), run.since, run.id)
