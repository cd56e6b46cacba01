"""What is left of somebody's GPU minutes of a week. Seconds, but where a name says minutes."""

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Spent:
    """What ended runs have taken, and what is set aside for those at work: the most that each may take."""

    charged_s: int = 0
    reserved_s: int = 0


@dataclass(frozen=True)
class Left:
    """`now_s`: what may be reserved now. `at_most_s`: what may be when those at work have ended, if they take none of what is set aside."""

    now_s: int
    at_most_s: int

    def serves(self, seconds: int) -> bool:
        return seconds <= self.now_s

    def may_serve(self, seconds: int) -> bool:
        """Whether waiting within the week can be enough."""
        return seconds <= self.at_most_s


def charged(seconds: float) -> int:
    """What a run of so many seconds has taken: 0 is for runs that failed by our fault alone. A clock that was set back costs nothing."""
    return max(1, math.ceil(seconds))


def whole(seconds: float) -> int:
    """Minutes, begun ones counted."""
    return math.ceil(seconds / 60)


def left(every_week_minutes: int, granted_minutes: int, spent: Spent) -> Left:
    """Of the course's minutes and what staff granted for this week."""
    at_most = (every_week_minutes + granted_minutes) * 60 - spent.charged_s
    return Left(now_s=at_most - spent.reserved_s, at_most_s=at_most)
