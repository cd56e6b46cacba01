"""The control: plain Celery, where the message is the work. It is told to keep a message until the task has ended (`acks_late`).

It is given what it can be given: messages are sent until the broker takes them, a task writes until the database takes it, and what was
taken and not acknowledged comes back soon (`unacked_restore_interval`; as installed, that alone takes 100 s). What it then loses or
doubles is the design's.

No Django here: its workers start with this module.
"""

import os
import threading
import time
import uuid
from concurrent.futures import Future, ThreadPoolExecutor

import psycopg
import redis
from celery import Celery
from kombu.exceptions import OperationalError

from tests.chaos.plan import HandIn, Plan

QUEUE = "control"
VISIBILITY_S = 3.0
CREATE = """CREATE TABLE IF NOT EXISTS control_result
    (execution uuid PRIMARY KEY, seed integer NOT NULL, job integer NOT NULL, sending text NOT NULL)"""

app = Celery("control", broker=os.environ["CONTROL_BROKER"])
app.conf.update(
    task_acks_late=True,
    task_ignore_result=True,
    task_default_queue=QUEUE,
    broker_connection_retry_on_startup=True,
    broker_connection_max_retries=None,
    broker_transport_options={"visibility_timeout": VISIBILITY_S, "unacked_restore_interval": 1, "unacked_restore_throttle": 1},
)


@app.task(name="control.judge")
def judge(seed: int, job: int, sending: str, nap_s: float) -> None:
    """Work, and write down that it was done, once for this execution."""
    execution = uuid.uuid4()
    time.sleep(nap_s)
    while True:
        try:
            with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as database:
                database.execute(
                    "INSERT INTO control_result VALUES (%s, %s, %s, %s) ON CONFLICT DO NOTHING", [execution, seed, job, sending]
                )
        except psycopg.OperationalError:
            time.sleep(0.2)
        else:
            return


class Control:
    """The jobs of one seed: one for each hand-in, at the same moment and of the same length."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._pool = ThreadPoolExecutor(2, thread_name_prefix="control")
        self._over = threading.Event()
        self._sent: list[Future[None]] = []
        self._broker = redis.Redis.from_url(os.environ["CONTROL_BROKER"], socket_timeout=1)
        with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as database:
            database.execute(CREATE)

    def begin(self, began: float) -> None:
        self._sent = [self._pool.submit(self._send, one, began) for one in self._plan.hand_ins]

    def unacknowledged(self) -> int:
        """How many messages the broker holds: in the queue, and taken but not acknowledged."""
        return int(self._broker.llen(QUEUE)) + int(self._broker.hlen("unacked"))

    @property
    def settled(self) -> bool:
        """Everything was sent, and the broker holds no work any more."""
        try:
            return all(one.done() for one in self._sent) and self.unacknowledged() == 0
        except redis.RedisError:
            return False

    def count(self) -> tuple[int, int, int]:
        """How many jobs were done, never done, and done more than once after one sending."""
        with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as database:
            found = database.execute("SELECT job, count(*) FROM control_result WHERE seed = %s GROUP BY job, sending", [self._plan.seed])
            times = found.fetchall()
        done = {job for job, _ in times}
        return len(done), len(self._plan.hand_ins) - len(done), len({job for job, executions in times if executions > 1})

    def stop(self) -> None:
        self._over.set()
        self._pool.shutdown(cancel_futures=True)
        self._broker.close()

    def _send(self, one: HandIn, began: float) -> None:
        self._over.wait(max(0.0, began + one.at - time.monotonic()))
        while not self._over.is_set():
            try:
                judge.apply_async((self._plan.seed, one.number, uuid.uuid4().hex, one.nap_s), retry=False)
            except (OperationalError, redis.RedisError, OSError):
                self._over.wait(0.3)
            else:
                return
