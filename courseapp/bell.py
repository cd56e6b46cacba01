"""Ring Celery without waiting for it.

A bell only says "look at the database"; whatever it announces is already committed there. So it is sent by a thread of its own: with
the broker down, black-holed or unresolvable, the caller goes on at once, the bell is dropped with one line in the log, and the runner
host's poll finds the work. Equal bells that are not sent yet are one bell.
"""

import atexit
import logging
import os
import threading
import time

from celery import Celery
from kombu import Connection, Producer

from courseapp.celery import app

log = logging.getLogger(__name__)

CONNECT_SECONDS = 0.3
ANSWER_SECONDS = 1.0
LAST_WORDS_SECONDS = 0.3
HEARD_WITHIN_SECONDS = 10.0  # a later bell says nothing: the polls have looked, and whoever is busy looks again by itself


class Bell:
    """The bells of one process, sent in order by one thread, which starts with the first of them."""

    def __init__(self, celery: Celery) -> None:
        self._celery = celery
        self._changed = threading.Condition()
        self._waiting: dict[tuple[str, str, tuple[str, ...]], None] = {}
        self._sending = False
        self._thread: threading.Thread | None = None
        self._connection: Connection | None = None
        self._producer: Producer | None = None

    def ring(self, task: str, queue: str, *args: str) -> None:
        """Have `task` called with `args` by a worker of `queue`. Returns at once, whatever the broker does."""
        with self._changed:
            self._waiting[(task, queue, args)] = None
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="bell", daemon=True)
                self._thread.start()
            self._changed.notify_all()

    def drain(self, seconds: float) -> bool:
        """Wait until nothing waits to be sent, at most so long; whether that was reached."""
        end = time.monotonic() + seconds
        with self._changed:
            return self._changed.wait_for(lambda: not (self._waiting or self._sending), max(0.0, end - time.monotonic()))

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: bool(self._waiting))
                task, queue, args = bell = next(iter(self._waiting))
                del self._waiting[bell]  # before it is sent: what is announced from now on needs another one
                self._sending = True
            try:
                self._send(task, queue, args)
            except Exception as error:  # noqa: BLE001  # the database has the work: no failure of the broker may matter
                log.warning("The broker was not told of work in queue %s (%s); the next poll finds it.", queue, error)
                self._hang_up()
            with self._changed:
                self._sending = False
                self._changed.notify_all()

    def _send(self, task: str, queue: str, args: tuple[str, ...]) -> None:
        if self._producer is None:
            self._connection = self._celery.connection_for_write(
                transport_options={"socket_connect_timeout": CONNECT_SECONDS, "socket_timeout": ANSWER_SECONDS, "max_retries": 0}
            )
            self._producer = self._celery.amqp.Producer(self._connection, auto_declare=False)
        self._celery.send_task(
            task, args=args, queue=queue, producer=self._producer, retry=False, ignore_result=True, expires=HEARD_WITHIN_SECONDS
        )

    def _hang_up(self) -> None:
        connection, self._connection, self._producer = self._connection, None, None
        if connection is not None:
            try:
                connection.collect(socket_timeout=0.1)
            except Exception as error:  # noqa: BLE001  # a connection that is already broken
                log.debug("Closing the broker's connection: %s", error)


_bell = Bell(app)


def _after_fork() -> None:
    global _bell
    _bell = Bell(app)  # threads do not survive a fork, and a socket must not be shared


def _last_words() -> None:
    _bell.drain(LAST_WORDS_SECONDS)


os.register_at_fork(after_in_child=_after_fork)
atexit.register(_last_words)


def ring(task: str, queue: str, *args: str) -> None:
    """Have `task` called with `args` by a worker of `queue`, soon and at most once; never waits and never fails."""
    _bell.ring(task, queue, *args)


def drain(seconds: float) -> bool:
    """Wait until every bell of this process was sent or dropped, at most so long; whether that was reached."""
    return _bell.drain(seconds)
