"""What a run shows while it works: its log in pieces, and its curves.

It is written beside the lease and never in its way: in statements of its own, each with little time, at most twice a second. What could
not be written is kept and tried again; whatever is lost of it, the run goes on and ends as it would have. Rows name the claim's token, so
an older holder may write on and nobody sees it.
"""

import logging
import threading
import time

from django.db import DatabaseError, InterfaceError, connection, transaction

from grading.models import Run, RunCurves, RunLog, RunResult
from grading.runner.outcome import Progress

log = logging.getLogger(__name__)

EVERY_S = 0.5
PAUSE_S = 2.0  # after a write that failed
PATIENCE_MS = 500  # of one write, on PostgreSQL
PIECE = 16 * 1024  # characters of one row, of at most four bytes each


class Stream:
    """Of one claim. `note` takes what came; `write` may be called as often as one likes, from any thread."""

    def __init__(self, run: Run, token: int) -> None:
        self._run, self._token = run, token
        self._lock = threading.Lock()
        self._printed = ""  # not yet cut into pieces
        self._pieces: list[RunLog] = []  # cut, and perhaps written: tried again as they are
        self._length = 0
        self._curves: dict[str, object] = {}
        self._written: dict[str, object] = {}
        self._next = 0.0
        self._failed = False

    def note(self, progress: Progress) -> None:
        with self._lock:
            self._printed += progress.output
            self._curves = dict(progress.curves)

    def write(self, *, last: bool = False) -> None:
        """Write what is new, if it is time. `last`: at once, and without the log, which the result will hold; `tidy` knows whether."""
        now = time.monotonic()
        with self._lock:
            if last or now >= self._next:
                self._write(now, with_log=not last)

    def _write(self, now: float, *, with_log: bool) -> None:
        curves = self._curves if self._curves.get("lines") and self._curves != self._written else {}
        if with_log and not self._pieces:
            self._cut()
        pieces = self._pieces if with_log else []
        if not (pieces or curves):
            return
        try:
            self._insert(pieces, curves)
        except (DatabaseError, InterfaceError) as error:
            self._failure(error)
            self._next = time.monotonic() + PAUSE_S
        else:
            self._failed, self._next = False, now + EVERY_S
            self._written = curves or self._written
            if with_log:
                self._pieces = []

    def tidy(self) -> None:
        """After the ending was written: drop what a result holds, and what earlier claims left.

        A run that was stopped has no result, and one that ended by our fault holds no log: its last words are written.
        """
        try:
            with transaction.atomic():
                _be_quick()
                RunLog.objects.filter(run=self._run, run__result__isnull=False).exclude(run__result__output="").delete()
                RunCurves.objects.filter(run=self._run, token__lt=self._token).delete()
            with self._lock:
                if self._printed or self._pieces:
                    self._last_words()
        except (DatabaseError, InterfaceError) as error:
            self._failure(error)

    def _last_words(self) -> None:
        if RunResult.objects.filter(run=self._run).exclude(output="").exists():
            self._printed, self._pieces = "", []
            return
        while self._printed or self._pieces:
            self._write(time.monotonic(), with_log=True)
            if self._failed:
                return

    def _cut(self) -> None:
        text, self._printed = self._printed, ""
        for at in range(0, len(text), PIECE):
            self._pieces.append(RunLog(run=self._run, token=self._token, seq=self._length + at, text=text[at : at + PIECE]))
        self._length += len(text)

    def _insert(self, pieces: list[RunLog], curves: dict[str, object]) -> None:
        with transaction.atomic():
            _be_quick()
            # A write whose answer was lost may be there already: it is then the same row.
            RunLog.objects.bulk_create(pieces, ignore_conflicts=True)
            if curves:
                row = RunCurves(run=self._run, token=self._token, data=curves)
                RunCurves.objects.bulk_create([row], update_conflicts=True, unique_fields=["run", "token"], update_fields=["data"])

    def _failure(self, error: Exception) -> None:
        if not self._failed:
            log.warning("Run %s: its log or curves cannot be written, and the run goes on: %s", self._run.pk, error)
        self._failed = True
        if not connection.in_atomic_block:
            connection.close()


def _be_quick() -> None:
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT set_config('statement_timeout', %s, true)", [str(PATIENCE_MS)])
