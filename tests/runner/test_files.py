"""Checkpoints and predictions that were handed in, in real sandboxes: what fits is read, anything else is a judged fail that says why."""

import json
import struct
import subprocess
from decimal import Decimal
from pathlib import Path

import pytest

from grading.runner.manifest import CheckSpec
from grading.runner.outcome import CheckResult
from grading.runner.runtimes import Runtime
from tests.runner import homework
from tests.runner.conftest import Judge

pytestmark = [pytest.mark.sandbox, pytest.mark.xdist_group("files")]

NET = """
import torch

open("/tmp/handin/predictions.npy", "wb").write(b"changed by the student's code")


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = torch.nn.Linear(2, 1)

    def forward(self, x):
        return self.fc(x)


class Plain:
    pass
"""

# Writes the checkpoints that only torch can write.
WRITER = """
import os, sys, zipfile
from pathlib import Path
import torch

folder = Path(sys.argv[1])
state = {"fc.weight": torch.tensor([[2.0, 3.0]]), "fc.bias": torch.tensor([1.0])}
torch.save(state, folder / "weights.pt")
torch.save(state, folder / "old.pth", _use_new_zipfile_serialization=False)
torch.save(torch.arange(6).reshape(2, 3), folder / "tensor.pt")
torch.save([1, 2], folder / "list.pt")

class Evil:
    def __reduce__(self):
        return (os.system, ("echo opened",))

torch.save(Evil(), folder / "evil.pt")
with zipfile.ZipFile(folder / "bomb.pt", "w", zipfile.ZIP_DEFLATED) as archive:
    archive.writestr("archive/data.pkl", bytes(300 * 2**20))
"""

CHECKS = """
import torch

from grading.runner.checks import Student, Trial, check


def loads(file, name="mlp.Net"):
    def run(student: Student, trial: Trial) -> None:
        net = student.new(name)
        student.load_state(net, file)
        x = torch.randn(4, 2, generator=trial.generator)
        y = trial.tensor("y", student.call(net, "forward", x), shape=(None, 1), dtype=torch.float32)
        trial.close("y", y, x @ torch.tensor([[2.0], [3.0]]) + 1)
    return run


def reads(file, expected):
    def run(student: Student, trial: Trial) -> None:
        trial.equal(file, student.read(file), expected)
    return run


for file in ("weights.safetensors", "weights.pt", "old.pth", "absent.pt", "evil.pt", "bomb.pt", "list.pt", "text.pt", "short.safetensors",
             "missing.safetensors", "extra.safetensors", "shape.safetensors"):
    check(f"load-{file}")(loads(file))
check("load-plain")(loads("weights.pt", "mlp.Plain"))
check("load-txt")(loads("notes.txt"))
numbers = torch.arange(6.0).reshape(2, 3)
check("read-predictions.npy")(reads("predictions.npy", numbers))
check("read-turned.npy")(reads("turned.npy", numbers))
check("read-bool.npy")(reads("bool.npy", torch.tensor([False, True, True])))
check("read-weights.safetensors")(
    reads("weights.safetensors", {"fc.weight": torch.tensor([[2.0, 3.0]]), "fc.bias": torch.tensor([1.0])})
)
check("read-tensor.pt")(reads("tensor.pt", torch.arange(6).reshape(2, 3)))
check("read-pickled.npy")(reads("pickled.npy", numbers))
check("read-absent.npy")(reads("absent.npy", numbers))
check("read-evil.pt")(reads("evil.pt", numbers))
"""


TWICE = """
import torch

from grading.runner.checks import check

check("twice")(lambda student, trial: trial.equal("y", student.call("mlp.twice", torch.ones(3)), 2 * torch.ones(3)))
"""


def npy(header: str, data: bytes) -> bytes:
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode() + data


def safetensors(**tensors: tuple[list[int], list[float]]) -> bytes:
    header, data = {}, b""
    for name, (shape, values) in tensors.items():
        begin = len(data)
        data += struct.pack(f"<{len(values)}f", *values)
        header[name.replace("_", ".")] = {"dtype": "F32", "shape": shape, "data_offsets": [begin, len(data)]}
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


FILES = {
    "mlp.py": NET.encode(),
    "weights.safetensors": safetensors(fc_weight=([1, 2], [2, 3]), fc_bias=([1], [1])),
    "missing.safetensors": safetensors(fc_weight=([1, 2], [2, 3])),
    "extra.safetensors": safetensors(fc_weight=([1, 2], [2, 3]), fc_bias=([1], [1]), fc2_bias=([1], [1])),
    "shape.safetensors": safetensors(fc_weight=([2, 1], [2, 3]), fc_bias=([1], [1])),
    "short.safetensors": safetensors(fc_bias=([1], [1]))[:-1],
    "text.pt": b"these are no weights",
    "predictions.npy": npy("{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }", struct.pack("<6f", 0, 1, 2, 3, 4, 5)),
    "turned.npy": npy("{'descr': '<f4', 'fortran_order': True, 'shape': (2, 3), }", struct.pack("<6f", 0, 3, 1, 4, 2, 5)),
    "bool.npy": npy("{'descr': '|b1', 'fortran_order': False, 'shape': (3,), }", b"\x00\x01\x07"),
    "pickled.npy": npy("{'descr': '|O', 'fortran_order': False, 'shape': (1,), }", b"cos\nsystem\n(S'echo opened'\ntR."),
    "notes.txt": b"",
}
NOT_TORCH = 'is not a checkpoint that torch.load reads with weights_only ({}). Save tensors only: torch.save(net.state_dict(), "{}").'
SAID = {
    "load-weights.safetensors": "",
    "load-weights.pt": "",
    "load-old.pth": "",
    "load-absent.pt": "absent.pt was not handed in.",
    "load-evil.pt": "evil.pt " + NOT_TORCH.format("UnpicklingError", "evil.pt"),
    "load-bomb.pt": "bomb.pt unpacks to 300 MB; at most 256 MB are loaded.",
    "load-list.pt": "list.pt holds a list; a state dict is accepted, as net.state_dict() gives it.",
    "load-text.pt": "text.pt " + NOT_TORCH.format("IndexError", "text.pt"),
    "load-short.safetensors": "short.safetensors cannot be read: the bytes of 'fc.bias' do not follow those before them.",
    "load-missing.safetensors": "missing.safetensors has no fc.bias, which Net needs; it has fc.weight.",
    "load-extra.safetensors": "extra.safetensors has fc2.bias, which Net has not; accepted: fc.weight, fc.bias.",
    "load-shape.safetensors": "shape.safetensors: fc.weight has the shape (2, 1); Net accepts (1, 2).",
    "load-plain": "Plain is not a torch.nn.Module, so weights.pt cannot be loaded into it.",
    "read-predictions.npy": "",
    "read-turned.npy": "",
    "read-bool.npy": "",
    "read-weights.safetensors": "",
    "read-tensor.pt": "",
    "read-pickled.npy": "pickled.npy cannot be read: it holds Python objects; accepted: bool, uint8, int8, int16, int32, int64, float16, "
    "float32, float64, complex64, complex128, little endian.",
    "read-absent.npy": "absent.npy was not handed in.",
    "read-evil.pt": "evil.pt " + NOT_TORCH.format("UnpicklingError", "evil.pt"),
}


@pytest.fixture(scope="module")
def files(torch_runtime: Runtime, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder: Path = tmp_path_factory.mktemp("checkpoints")
    subprocess.run([str(torch_runtime.python), "-c", WRITER, str(folder)], check=True)
    return FILES | {path.name: path.read_bytes() for path in folder.iterdir()}


def test_what_was_handed_in_is_read_and_anything_else_is_a_judged_fail(
    files: dict[str, bytes], judge_here: Judge, runtime: Runtime
) -> None:
    specs = tuple(CheckSpec(check, check, Decimal(1), "visible") for check in [*SAID, "load-txt"])
    outcome = judge_here(homework.job(files, runtime, checks=CHECKS, specs=specs))
    results = {check.id: check for check in outcome.checks}
    instructors = results.pop("load-txt")
    assert {check: said(result) for check, result in results.items()} == {
        check: ("passed" if not message else "failed", message) for check, message in SAID.items()
    }
    assert "opened" not in outcome.output
    # A format that the instructor asks for and that is not read is the assignment's failure, and nobody's grade.
    assert (outcome.kind, instructors.judged) == ("assignment", False)
    assert "'notes.txt' is not read; accepted: .safetensors, .pt, .pth" in instructors.staff_message


def test_a_hand_in_larger_than_an_answer_may_be_is_loaded(judge_here: Judge, runtime: Runtime) -> None:
    files = {"mlp.py": homework.CORRECT.encode(), "one.bin": bytes(35 * 2**20), "two.bin": bytes(35 * 2**20)}
    outcome = judge_here(homework.job(files, runtime, specs=homework.SPECS[:1], checks=TWICE))
    assert (outcome.kind, outcome.points, outcome.message) == ("ok", Decimal(2), "")


def said(result: CheckResult) -> tuple[str, str]:
    assert result.judged, result
    return "passed" if result.passed else "failed", result.message
