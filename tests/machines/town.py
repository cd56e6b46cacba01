"""What happens: hand-ins are judged by two machines, and by one of them after the other was cut off."""

import json
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core.management import call_command
from django.db import connection
from django.test import Client

from courseapp.management import local_postgres
from courseapp.models import Role
from grading.models import Component, GpuSlot, Run, RunnerHost, RunResult
from grading.services import runs as services
from tests.grading import making
from tests.machines import places
from tests.machines.places import Machine
from tests.valkey import Valkey

AHEAD = 4  # hand-ins, every second one for a GPU, that wait while the machines are to be at work
SLOW = """
import time

def answer(x):
    time.sleep({seconds})
    return x + 1
"""
AT_LAST_S = 120.0  # on a machine that has other work, too


def main() -> None:
    folder = Path(sys.argv[1])
    places.lay_bridge()
    cluster = local_postgres.start(port=urlsplit(settings_url()).port, network=places.NETWORK)
    broker = Valkey(folder, port=urlsplit(settings.REDIS_URL).port, address=places.ADDRESS)
    machines: list[Machine] = []
    try:
        broker.start()
        call_command("migrate", interactive=False, verbosity=0)
        first = making.homework(folder / "cpu", hidden=False)
        second = making.homework(folder / "gpu", hidden=False, course=first.homework.course, queue="gpu", limits={"wall_s": 60})
        storage = settings.DATA_DIR / "uploads"
        told = {"DATABASE_URL": settings_url(), "REDIS_URL": settings.REDIS_URL, "RUNTIME_PYTHON": settings.RUNTIME_PYTHON}
        told |= {"RUN_LEASE_SECONDS": "2", "RUN_POLL_SECONDS": "1", "LOG_LEVEL": "INFO"}
        machines += [Machine(number, folder, storage, told) for number in (1, 2)]
        print(json.dumps(_live([first, second], machines), indent=1))
    except Exception:
        for machine in machines:
            print(machine.said(), file=sys.stderr)
        raise
    finally:
        for machine in machines:
            machine.cut()
        connection.close()
        broker.kill()
        cluster.stop()


def settings_url() -> str:
    database = connection.settings_dict
    return f"postgres://{database['USER']}@{database['HOST']}:{database['PORT']}/{database['NAME']}"


def _live(components: list[Component], machines: list[Machine]) -> dict[str, Any]:
    began = time.monotonic()
    first, second = machines
    _until(lambda: RunnerHost.objects.exclude(tier="").count() == GpuSlot.objects.count() == 2, AT_LAST_S, "both machines report")
    ready = time.monotonic() - began
    both = {"cpu", "gpu"}

    def busy(until: Callable[[], bool], seconds: float) -> Callable[[], bool]:
        """Hand in more for as long as that is not so."""

        def condition() -> bool:
            if until():
                return True
            if Run.objects.filter(state=Run.State.QUEUED).count() < AHEAD:
                _hand_in(components, AHEAD, seconds=seconds)
            return False

        return condition

    each_has_judged = busy(lambda: all(_queues(_judged_by(machine)) == both for machine in machines), 0.1)
    _until(each_has_judged, AT_LAST_S, "each machine has judged on both queues")
    judged = time.monotonic() - began
    page = _queue_page(components[0])
    first_holds_both = busy(lambda: _queues(_held_by(first)) == both and bool(_held_by(second)), 0.6)
    _until(first_holds_both, AT_LAST_S, "the first holds a run of each queue")
    first.cut()
    held = [run.pk for run in _held_by(first)]
    cut_at = time.monotonic()
    _until(lambda: not Run.objects.exclude(state=Run.State.DONE).exists(), AT_LAST_S, "everything is judged")
    runs = list(Run.objects.select_related("slot", "result"))
    return {
        "ready_s": round(ready, 1),
        "each_has_judged_s": round(judged, 1),
        "ended_after_cut_s": round(time.monotonic() - cut_at, 1),
        "hand_ins": len(runs),
        "results": RunResult.objects.count(),
        "points": sorted({str(run.result.points) for run in runs}),
        "judged_by": {machine.name: len(_judged_by(machine)) for machine in machines},
        "held_at_the_cut": len(held),
        "of_those_judged_by": sorted({_machine_of(run) for run in runs if run.pk in held}),
        "tried_again": sorted(run.pk for run in runs if run.attempts) == sorted(held),
        "slots": {slot.uuid: slot.host for slot in GpuSlot.objects.all()},
        "slots_of_others_used": [run.pk for run in runs if run.slot and run.slot.host != _machine_of(run)],
        "gpu_runs_by": sorted({_machine_of(run) for run in runs if run.queue == "gpu"}),
        "sandbox_hosts": sorted({run.result.provenance["host"] for run in runs}),
        "queue_page": sorted(set(re.findall(r"(?:fake-)?worker-\d(?:-0)?", page))),
    }


def _hand_in(components: list[Component], many: int, *, seconds: float) -> None:
    """By a student each: nobody has two runs at once while somebody else waits."""
    for number in range(many):
        name = f"student{Run.objects.count()}"
        services.enqueue(submission=making.submission(components[number % 2], name, SLOW.format(seconds=seconds)))


def _machine_of(run: Run) -> str:
    return run.worker.split()[0]


def _queues(runs: list[Run]) -> set[str]:
    return {run.queue for run in runs}


def _held_by(machine: Machine) -> list[Run]:
    return list(Run.objects.filter(state=Run.State.RUNNING, worker__startswith=f"{machine.name} "))


def _judged_by(machine: Machine) -> list[Run]:
    return list(Run.objects.filter(state=Run.State.DONE, worker__startswith=f"{machine.name} "))


def _queue_page(component: Component) -> str:
    staff = making.person(component.homework.course, "tom", Role.TA)
    assert staff.user is not None
    client = Client()
    client.force_login(staff.user)
    answer = client.get(f"/c/{staff.course.slug}/queue/")
    assert answer.status_code == 200, answer.status_code
    return answer.content.decode()


def _until(condition: Callable[[], object], seconds: float, what: str) -> None:
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            states = list(Run.objects.values_list("state", "queue", "worker", "note"))
            raise RuntimeError(f"After {seconds:.0f} s still not: {what}. {states}")
        time.sleep(0.05)
