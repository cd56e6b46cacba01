"""The GPUs of this machine, as places where one run at a time can be.

They are what `nvidia-smi`, NVML's own program, lists: without a driver there is none, and none is missed. A GPU that is cut into MIG slices
is as many places as it has slices. `GPU_SLOTS=fake:2` makes two that are no hardware, so that everything but CUDA runs without any.
"""

import re
import shutil
import socket
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

STAND_IN = "fake"  # the kind
QUERY_S = 20.0
LEFT_MB = 512  # more than that in use where nothing runs is somebody's
MIG_UNSEEN = "MIG slices have not been seen on hardware: which of their device files a run may have is not known."
_FORMAT = ("--format=csv,noheader,nounits",)
_SHARED_NODES = ("/dev/nvidiactl", "/dev/nvidia-uvm", "/dev/nvidia-uvm-tools")
_GPU = re.compile(r"^GPU (\d+): (.+) \(UUID: (GPU-[0-9a-f-]+)\)$")
_SLICE = re.compile(r"^\s+MIG (\S+)\s+Device\s+\d+: \(UUID: (MIG-[0-9A-Za-z/-]+)\)$")
_MAKERS = {"nvidia", "tesla", "geforce", "quadro", "titan", "graphics"}
_FAKE = re.compile(r"fake:([1-9]\d?)")


class DeviceError(Exception):
    """GPU_SLOTS cannot be followed, or the driver's program fails. The text is a sentence for whoever runs the machine."""


class DriverError(DeviceError):
    """The driver's program fails, or does not answer."""


@dataclass(frozen=True)
class Device:
    """One place. `nodes` are the device files that a run there may open; `fault` says why it is not given out."""

    uuid: str
    kind: str
    memory_mb: int = 0
    nodes: tuple[str, ...] = ()
    fault: str = ""

    @property
    def stand_in(self) -> bool:
        """No hardware: runs there go on the processor."""
        return self.kind == STAND_IN

    @property
    def environment(self) -> dict[str, str]:
        return {"CUDA_VISIBLE_DEVICES": self.uuid, "PYTORCH_NVML_BASED_CUDA_CHECK": "1"}


def find(environ: Mapping[str, str]) -> tuple[Device, ...]:
    """What this machine has. Raises DeviceError; DriverError where only the driver is to blame."""
    wanted = environ.get("GPU_SLOTS", "").strip()
    if match := _FAKE.fullmatch(wanted):
        return tuple(Device(f"fake-{socket.gethostname()}-{number}", STAND_IN) for number in range(int(match[1])))
    if wanted:
        raise DeviceError(f"GPU_SLOTS={wanted} is not known; accepted: fake:<1 to 99>, or nothing for the GPUs that are there.")
    program = shutil.which("nvidia-smi", path=environ.get("PATH"))
    return tuple(_found(_ask(program, "-L"), _ask(program, *_query("uuid,memory.total,pci.bus_id")))) if program else ()


@dataclass(frozen=True)
class State:
    """How a GPU is now; None where nobody can tell. `errors`: of its memory, not corrected, since the driver has had it."""

    used_mb: int | None = None
    errors: int | None = None


def look(device: Device, environ: Mapping[str, str]) -> State:
    """Raises DeviceError when the driver does not answer, or has the GPU no more."""
    program = shutil.which("nvidia-smi", path=environ.get("PATH"))
    if not program or not device.uuid.startswith("GPU-"):
        return State()
    asked = _query("uuid,memory.used,ecc.errors.uncorrected.volatile.total")
    # Of this one alone: one that is lost makes the program fail for all.
    found = [row[1:] for row in _rows(_ask(program, *asked, f"--id={device.uuid}")) if row[0] == device.uuid and len(row) == 3]
    if not found:
        raise DeviceError(f"The driver lists the GPU {device.uuid} no more.")
    return State(*(int(cell) if cell.isdigit() else None for cell in found[0]))


def used_by_process(device: Device, environ: Mapping[str, str]) -> dict[int, int]:
    """MB of its memory by process, of those of which the driver tells it. Raises DeviceError."""
    program = shutil.which("nvidia-smi", path=environ.get("PATH"))
    if not program or not device.uuid.startswith("GPU-"):
        return {}
    rows = _rows(_ask(program, "--query-compute-apps=gpu_uuid,pid,used_memory", *_FORMAT))
    return {int(row[1]): int(row[2]) for row in rows if len(row) == 3 and row[0] == device.uuid and row[1].isdigit() and row[2].isdigit()}


def parse(listing: str) -> Iterator[tuple[str, str, str]]:
    """(UUID, kind, UUID of the whole GPU) of each place in what `nvidia-smi -L` prints."""
    whole: tuple[str, str] | None = None
    sliced = False
    for line in listing.splitlines():
        if match := _GPU.match(line):
            if whole and not sliced:
                yield whole[0], whole[1], whole[0]
            whole, sliced = (match[3], kind_of(match[2])), False
        elif (match := _SLICE.match(line)) and whole:
            sliced = True
            yield match[2], f"{whole[1]}-{match[1].lower().replace('.', '-')}", whole[0]
    if whole and not sliced:
        yield whole[0], whole[1], whole[0]


def kind_of(name: str) -> str:
    """a100 of “NVIDIA A100-SXM4-40GB”, t4 of “Tesla T4”, rtx3090 of “NVIDIA GeForce RTX 3090”: the model, without maker and size."""
    words = [word for word in re.split(r"[^0-9a-z]+", name.lower()) if word and word not in _MAKERS]
    model = ""
    for word in words:
        model += word
        if any(letter.isdigit() for letter in word):
            break
    return model or "unknown"


def _found(listing: str, table: str) -> Iterator[Device]:
    known = {row[0]: row[1:] for row in _rows(table) if len(row) == 3}
    for uuid, kind, whole in parse(listing):
        memory, bus = known.get(whole, ("", ""))
        if uuid != whole:
            size = re.search(r"-(\d+)gb", kind)
            yield Device(uuid, kind, int(size[1]) * 1024 if size else 0, fault=MIG_UNSEEN)
        else:
            yield Device(uuid, kind, int(memory) if memory.isdigit() else 0, tuple(_nodes(bus)))


def _nodes(bus: str) -> Iterable[str]:
    """The device files of the GPU at this PCI address; what is not there is left out."""
    address = bus.lower().removeprefix("0000")
    try:
        told = Path(f"/proc/driver/nvidia/gpus/{address}/information").read_text()
    except OSError:
        told = ""
    minor = re.search(r"^Device Minor:\s*(\d+)$", told, re.MULTILINE)
    own = [f"/dev/nvidia{minor[1]}"] if minor else []
    return [node for node in (*own, *_SHARED_NODES) if Path(node).exists()]


def _query(fields: str) -> tuple[str, ...]:
    return f"--query-gpu={fields}", *_FORMAT


def _rows(table: str) -> list[list[str]]:
    return [[cell.strip() for cell in line.split(",")] for line in table.splitlines() if line.strip()]


def _ask(program: str, *arguments: str) -> str:
    try:
        said = subprocess.run([program, *arguments], capture_output=True, text=True, check=False, timeout=QUERY_S)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise DriverError(f"{program} {' '.join(arguments)} does not answer: {error}.") from error
    if said.returncode:
        why = (said.stdout + said.stderr).strip()[:300]
        raise DriverError(f"{program} {' '.join(arguments)} ended with status {said.returncode}: {why}")
    return said.stdout
