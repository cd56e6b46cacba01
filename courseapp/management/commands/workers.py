"""`manage.py workers`: the runner host and the workers of what this machine can serve, in the foreground."""

import os
import signal
import threading
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from courseapp.management import workers
from courseapp.management.supervisor import Child, Supervisor
from grading.runner.devices import Device


class Command(BaseCommand):
    help = "Judge on this machine: a runner host, a worker for the processors and one for each GPU. Ctrl-C stops them."
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--cpu", type=int, default=os.cpu_count() or 1, metavar="N", help="runs on processors at once; 0 for none")
        parser.add_argument("--only-gpu", action="store_true", help="only the workers of GPUs, beside a runner host that runs already")
        parser.add_argument(
            "--try-again", type=float, default=60.0, metavar="S", help="seconds between two questions to a GPU driver that fails"
        )
        parser.add_argument("--system", action="store_true", help="also sweep, mail and tidy up (one machine of a site does)")

    def handle(self, *args: Any, cpu: int, system: bool, only_gpu: bool, try_again: float, **options: Any) -> None:
        if cpu < 0:
            raise CommandError(f"--cpu {cpu} is not possible; accepted: 0 or more.", returncode=2)
        gpus, driver = workers.find_gpus()
        if driver:
            self.stdout.write(f"No GPU is given out until the driver answers: {driver}")
        children = workers.gpu_workers(gpus)
        if not only_gpu:
            children.insert(0, workers.runner_host("--queues", "cpu" if cpu else "", "--try-again", str(try_again)))
            children += [workers.cpu_worker(cpu)] if cpu else []
            children += [workers.system_worker(), workers.beat()] if system else []
        if not children and not driver:
            raise CommandError("No GPU is listed on this machine, so there is no worker to start.")
        self._list(gpus)
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        supervisor = Supervisor(settings.DATA_DIR / "log", os.environ, self.stdout.write)
        try:
            for child in children:
                supervisor.add(child)
            names = ", ".join(child.name for child in children) or "nothing"
            self.stdout.write(f"At work: {names}. The logs: {supervisor.logs}")
            with suppress(KeyboardInterrupt):
                if driver:
                    for child in self._later_gpus(supervisor, try_again):
                        supervisor.add(child)
                supervisor.watch(lambda: False)
        finally:
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, signal.SIG_IGN)
            self.stdout.write("Stopping.")
            supervisor.stop()

    def _later_gpus(self, supervisor: Supervisor, every_s: float) -> list[Child]:
        """The workers of GPUs whose driver fails, once it answers. The runner host finds that out by itself."""
        answers = threading.Event()
        threading.Thread(target=workers.await_driver, args=(answers.set, threading.Event(), every_s), daemon=True).start()
        supervisor.watch(answers.is_set)
        gpus, _ = workers.find_gpus()
        self._list(gpus)
        return workers.gpu_workers(gpus)

    def _list(self, gpus: Iterable[Device]) -> None:
        for gpu in gpus:
            size = f", {gpu.memory_mb} MB" if gpu.memory_mb else ""
            self.stdout.write(f"GPU {gpu.uuid}: {gpu.kind}{size}.{f' Not given out: {gpu.fault}' if gpu.fault else ''}")
