"""Try every GPU of this machine as runs do: `python -m grading.runner.gpu_check --runtime PYTHON`.

On each: a small training in the sandbox, whose memory comes back; a second job that looks for what the first one left in the GPU's
memory; and two that want more of it than they may, the second after it has undone PyTorch's limit. It needs neither Django nor a network,
and the runtime's interpreter may be any with torch.
"""

import argparse
import io
import json
import os
import sys
import tempfile
import time
import zipfile
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from decimal import Decimal
from pathlib import Path

from grading.runner import devices
from grading.runner.devices import Device, DeviceError
from grading.runner.host import Host
from grading.runner.job import Job
from grading.runner.limits import Limits
from grading.runner.manifest import CheckSpec
from grading.runner.outcome import Outcome
from grading.runner.runtimes import Runtime
from grading.runner.tiers import Refused

MARK = 1008.4711  # what the first job fills memory with
LIMITS = Limits(wall_s=180, cpu_s=180, call_s=120, memory_mb=8192)
_CHECKS = f"""
from grading.runner.checks import check


@check("train")
def train(student, trial):
    device, before, after, steps = trial.sequence("train", student.call("work.train", {MARK}), 4)
    trial.true(after < before, f"The loss went from {{before}} to {{after}} in {{steps}} steps.")


@check("search")
def search(student, trial):
    found = trial.number("search", student.call("work.search", {MARK}))
    trial.true(found == 0, f"{{found:.0f}} values of the job before were found.")


@check("limit")
def limit(student, trial):
    trial.true(student.call("work.limit") is None, "It got more memory than its limit.")


@check("undo")
def undo(student, trial):
    trial.true(student.call("work.undo") is None, "It kept more memory than its limit.")
"""
_WORK = """
import time

import torch

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
NAME = torch.cuda.get_device_name() if DEVICE.type == "cuda" else "cpu"
COUNT = 64 * 2**20 if DEVICE.type == "cuda" else 2**20  # numbers of four bytes


def train(mark):
    global kept
    net = torch.nn.Sequential(torch.nn.Linear(16, 64), torch.nn.ReLU(), torch.nn.Linear(64, 1)).to(DEVICE)
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-2)
    x = torch.randn(512, 16, device=DEVICE)
    y = x.sum(1, keepdim=True)
    losses = []
    for _ in range(100):
        loss = torch.nn.functional.mse_loss(net(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    kept = torch.full((COUNT,), mark, device=DEVICE)  # left as they are
    print(NAME, flush=True)
    return [NAME, losses[0], losses[-1], len(losses)]


def search(mark):
    print(NAME, flush=True)
    found = 0
    for _ in range(4):
        memory = torch.empty(COUNT, device=DEVICE)
        found += int((memory == torch.tensor(mark, dtype=memory.dtype, device=DEVICE)).sum())
    return found


def limit():
    print(NAME, flush=True)
    if DEVICE.type == "cpu":  # where nothing can run out
        raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 4.00 GiB.")
    return torch.empty(2**32, dtype=torch.uint8, device=DEVICE).sum().item()


def undo():
    global kept
    print(NAME, flush=True)
    torch.cuda.set_per_process_memory_fraction(1.0)
    kept = torch.ones(2**32, dtype=torch.uint8, device=DEVICE)
    torch.cuda.synchronize()
    time.sleep(15)
    return len(kept)
"""
_RAN_OUT = "Your code ran out of GPU memory: 4.00 GiB asked for, limit 1 GB."
_STOPPED = "Stopped: more GPU memory was in use than the limit of 1 GB."


@dataclass(frozen=True)
class Tried:
    """One slot. `device` is what the jobs' code saw; MB of the GPU's memory in use, None where nobody can tell."""

    uuid: str
    kind: str
    device: str
    held: bool
    what: str
    seconds: float
    used_before_mb: int | None
    used_after_mb: int | None


def run(python: Path, gpus: tuple[Device, ...]) -> tuple[str, list[Tried]]:
    """(the sandbox's tier, or why there is none; what came of each slot)"""
    with tempfile.TemporaryDirectory() as folder, closing(Host(gpus=gpus, locks=Path(folder) / "locks")) as host:
        if isinstance(host.tier, Refused):
            return f"{host.tier.reason} {host.tier.fix}", []
        return host.tier.name, [_try(host, Runtime("torch", python, ""), gpu) for gpu in gpus]


def _try(host: Host, runtime: Runtime, gpu: Device) -> Tried:
    began, before = time.monotonic(), _used(gpu)
    train, search, limit = (host.run(_job(runtime, gpu, check)) for check in ("train", "search", "limit"))
    faults = [f"{name}: {_why(outcome)}" for name, outcome in (("training", train), ("search", search)) if outcome.points != 1]
    told = [("limit of its memory", limit, _RAN_OUT)]
    if not gpu.stand_in and gpu.memory_mb > 6144:  # a fake one has no memory that could be watched
        told.append(("limit that the code undid", host.run(_job(runtime, gpu, "undo")), _STOPPED))
    faults += [f"{name}: {_why(outcome)}" for name, outcome, words in told if not outcome.message.startswith(words)]
    seen = train.output.strip() or "nothing"
    if not gpu.stand_in and seen == "cpu":
        faults.append("training: the code saw no GPU")
    if fault := host.faults.get(gpu.uuid):
        faults.append(f"afterwards: {fault}")
    what = "; ".join(faults) or "trained, memory came back, nothing of the first job was found by the second, limits held"
    return Tried(gpu.uuid, gpu.kind, seen, not faults, what, round(time.monotonic() - began, 1), before, _used(gpu))


def _used(gpu: Device) -> int | None:
    try:
        return devices.look(gpu, os.environ).used_mb
    except DeviceError:
        return None


def _why(outcome: Outcome) -> str:
    said = [*(check.message for check in outcome.checks), outcome.message, outcome.staff_message]
    return " ".join(text for text in said if text) or outcome.kind


def _job(runtime: Runtime, gpu: Device, check: str) -> Job:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("checks.py", _only(check))
    spec = CheckSpec(check, check, Decimal(1), "visible", needs_gpu=True)
    limits = replace(LIMITS, gpu_memory_mb=1024 if check in ("limit", "undo") else 0)
    return Job(buffer.getvalue(), {"work.py": _WORK.encode()}, (spec,), limits, runtime, 1, ("work.py",), device=gpu.uuid)


def _only(check: str) -> str:
    """The bundle of one job: a check that is bound but not asked for is a fault of the assignment."""
    head, *rest = _CHECKS.split("\n\n\n")
    return "\n\n\n".join([head, *(one for one in rest if f'"{check}"' in one)])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--runtime", type=Path, required=True, metavar="PYTHON", help="a Python that has torch")
    parser.add_argument("--json", action="store_true", help="one JSON document on standard output")
    options = parser.parse_args()
    try:
        gpus = devices.find(os.environ)
    except DeviceError as error:
        print(error, file=sys.stderr)
        return 1
    if not gpus:
        print("No GPU is listed: nvidia-smi is not there. GPU_SLOTS=fake:1 tries everything but CUDA.", file=sys.stderr)
        return 1
    tier, tried = run(options.runtime, gpus)
    if options.json:
        print(json.dumps({"tier": tier, "slots": [asdict(one) for one in tried]}, indent=1))
    else:
        print(f"Sandbox: {tier}")
        for one in tried:
            used = "" if one.used_after_mb is None else f", {one.used_before_mb} MB in use before and {one.used_after_mb} MB after"
            print(
                f"{'held    ' if one.held else 'NOT HELD'} {one.uuid} ({one.kind}, seen as {one.device}), {one.seconds} s{used}: {one.what}"
            )
    return 0 if tried and all(one.held for one in tried) else 1


if __name__ == "__main__":
    sys.exit(main())
