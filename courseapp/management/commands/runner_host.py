"""One per machine: owns the sandboxes, serves them to the workers, and looks into the database by itself.

What keeps a hand-in moving when the broker, the beat or every worker is gone: each RUN_POLL_SECONDS this process sweeps, rings again for
queues in which runs wait, and executes what has waited for longer than that.
"""

import fcntl
import logging
import os
import signal
import socket
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError, InterfaceError, close_old_connections, connection

from courseapp.management import workers
from grading import execution, jobs, slots, tasks
from grading.runner import server
from grading.runner.host import Host
from grading.runner.tiers import Refused

log = logging.getLogger(__name__)

LOOK_AGAIN_S = 15.0  # between two looks at GPUs that are not given out


class Command(BaseCommand):
    help = "Own this machine's sandboxes: serve the workers' runs, and execute what waits too long."
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--queues", default="cpu", help="comma-separated; what this machine can run")
        parser.add_argument(
            "--try-again",
            type=float,
            default=60.0,
            metavar="S",
            help="seconds until a sandbox that did not hold is tried again, and a driver that failed",
        )
        parser.add_argument("--jobs", type=int, default=1, help="runs that this process executes at once by itself, besides the workers'")

    def handle(self, *args: Any, **options: Any) -> None:
        queues = [name.strip() for name in options["queues"].split(",") if name.strip()]
        gpus, driver = workers.find_gpus()
        served = [*queues, *sorted({name for gpu in gpus for name in ("gpu", f"gpu.{gpu.kind}")})]
        path: Path = settings.RUNNER_SOCKET
        stop, ready, holds = threading.Event(), threading.Event(), threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stop.set())

        def give_way() -> None:
            """What started this process starts it again, and that one has the GPUs."""
            log.info("The driver of the GPUs answers now. This runner host ends, to be started again with them.")
            stop.set()

        with only_one(path.with_suffix(".pid")):
            host = Host(private=(settings.DATA_DIR, settings.BASE_DIR), gpus=gpus, locks=path.parent / "gpus")
            log.info("Runner host for %s: %s", ", ".join(served), in_words(host))
            if driver:
                log.error("No GPU is given out until the driver answers: %s", driver)
            threads = [
                threading.Thread(target=look_after, args=(host, served, stop, driver), name="look after"),
                threading.Thread(target=look_again, args=(host, stop), name="look again"),
                threading.Thread(target=try_again, args=(host, holds, stop, options["try_again"]), name="try again"),
            ]
            if driver:
                threads.append(
                    threading.Thread(target=workers.await_driver, args=(give_way, stop, options["try_again"]), name="await driver")
                )
            places = [(queue, "") for queue in queues for _ in range(options["jobs"])] + [("gpu", gpu.uuid) for gpu in gpus]
            threads += [threading.Thread(target=poll, args=(*place, (ready, holds), stop), name=" ".join(place)) for place in places]
            for thread in threads:
                thread.start()
            # Not waited for at the end: importing a runtime cannot be interrupted, and ends with this process.
            threading.Thread(target=warm_up, args=(host, served, holds, stop), name="warm up", daemon=True).start()
            try:
                server.serve(host, path, stop=stop, ready=ready)
            except OSError as error:
                raise CommandError(f"The runner host cannot answer on {path}: {error.strerror or error}.") from error
            finally:
                stop.set()
                ready.set()
                holds.set()
                for thread in threads:
                    thread.join()
                host.close()
        log.info("Runner host stopped.")


@contextmanager
def only_one(path: Path) -> Iterator[None]:
    """Hold the machine's lock, before anything of another host's is touched; the kernel lets go of it when this process ends."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with path.open("a+") as lock:
        lock.seek(0)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise CommandError(f"A runner host runs already on this machine (process {lock.read() or 'unknown'}): {path}") from None
        lock.truncate()
        lock.write(str(os.getpid()))
        lock.flush()
        yield


def in_words(host: Host) -> str:
    if isinstance(host.tier, Refused):
        return f"{host.tier.reason} {host.tier.fix}"
    return f"sandbox tier “{host.tier.name}”, memory by {host.memory_guard}"


def report(host: Host, served: list[str], driver: str = "") -> None:
    """Note what this machine has to give, and how it is."""
    name = socket.gethostname()
    if isinstance(host.tier, Refused):
        execution.report(name, served, tier="", refusal=in_words(host))
    else:
        problem = jobs.storage_problem()
        execution.report(name, served, tier=host.tier.name, memory_guard=host.memory_guard, refusal=problem)
    slots.report(name, host.devices.values(), in_use=host.in_use, faults=host.faults, driver=driver)


def try_again(host: Host, holds: threading.Event, stop: threading.Event, every_s: float) -> None:
    """Set `holds` once a sandbox does: at once, or when the machine allows it by now."""
    while isinstance(host.tier, Refused):
        if stop.wait(every_s):
            return
        if host.try_again():
            log.info("A sandbox holds now: %s", in_words(host))
    holds.set()


def look_again(host: Host, stop: threading.Event) -> None:
    """Give GPUs out again that are well by now. Apart from the reports: a driver that does not answer takes its time."""
    while not stop.wait(LOOK_AGAIN_S):
        host.look_again()


def look_after(host: Host, served: list[str], stop: threading.Event, driver: str) -> None:
    """Report, sweep and ring until told to stop."""
    while not stop.is_set():
        try:
            close_old_connections()
            report(host, served, driver)
            for queue in served:
                execution.sort_by_runtime(queue)
            for queue in execution.sweep():
                tasks.ring_soon(queue)
        except (DatabaseError, InterfaceError) as error:
            log.warning("The database does not answer: %s", error)
            connection.close()
        stop.wait(settings.RUN_POLL_SECONDS)
    connection.close()


def warm_up(host: Host, queues: list[str], holds: threading.Event, stop: threading.Event) -> None:
    """Import each runtime once it is installed, so that the first hand-in does not wait for it."""
    warm: set[Path] = set()
    holds.wait()
    while not stop.is_set():
        try:
            close_old_connections()
            cold = [runtime for runtime in execution.ready_runtimes(queues) if runtime.python not in warm]
        except (DatabaseError, InterfaceError):
            cold = []  # `look_after` says so
        connection.close()
        for runtime in cold:
            warm.add(runtime.python)
            if problem := host.warm(runtime):
                log.warning("The runtime “%s” cannot be imported: %s", runtime.name, problem)
        stop.wait(settings.RUN_POLL_SECONDS)


def poll(queue: str, slot: str, begin: Iterable[threading.Event], stop: threading.Event) -> None:
    """Execute what has waited in `queue`, or for a GPU slot, for longer than the workers need, one run after the other."""
    worker = f"{socket.gethostname()} runner host {os.getpid()}"
    for event in begin:
        event.wait()
    while not stop.is_set():
        try:
            close_old_connections()
            least = settings.RUN_POLL_SECONDS
            work = execution.work_once(queue, worker, slot=slot, min_age=least, ring=tasks.ring_soon, stopping=stop)
        except (DatabaseError, InterfaceError) as error:
            log.warning("Queue %s: the database does not answer: %s", queue, error)
            connection.close()
            work = execution.Work.IDLE
        if work is not execution.Work.DONE:
            stop.wait(settings.RUN_POLL_SECONDS)
    connection.close()
