"""What nearly every job does first, done in the warm process a few times before anything is forked from it.

First calls are slow: libraries build tables, the interpreter specialises bytecode, and each write of that kind to a page that is shared
costs a fork a copy of it. None of it may leave anything behind that a job could see: no thread, no module, no file, no seed that is used.
No gradient is taken: its engine does not live on in a fork.
"""

import importlib.util
import io
import math
import socket
import sys
import tempfile
import traceback
import zipfile
from pathlib import Path
from typing import Any

import torch

from grading.runner import values
from grading.runner.checks import Failed, Trial
from grading.runner.protocol import pack_frame, receive_frame, send_frame

ROUNDS = 10  # after eight the interpreter has specialised what is called
_CODE = "import math\n\n\ndef twice(x):\n    return 2 * x\n\n\nclass Failing:\n    def call(self, x):\n        raise ValueError(x)\n"


def rehearse() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs, tempfile.TemporaryDirectory() as folder:
        ours.setblocking(False)
        theirs.setblocking(False)
        for seed in range(ROUNDS):
            module = _load(Path(folder))
            trial = Trial(seed=seed, check_id="rehearsal")
            x = torch.randn(6, 3, generator=trial.generator)
            data, payload = values.pack({"args": [x], "kwargs": {"y": {"b": [1, 2.0, "three", None]}}}, depth=-2)
            send_frame(ours, pack_frame({"id": seed, "op": "call", "request": data}, payload), math.inf)
            frame = receive_frame(theirs, math.inf)
            (answer,) = values.unpack(frame.header["request"], frame.payload, depth=-2)["args"]
            weight = torch.rand(3, 4, generator=trial.generator)
            trial.close(
                "y", module.twice(answer) @ weight, torch.relu(2 * x @ weight) + torch.sigmoid(x).sum() * 0 - torch.relu(-2 * x @ weight)
            )
            trial.equal("x", answer, x)
            try:
                trial.close("x", answer + 1, x)
            except Failed as failed:
                str(failed)
            try:
                module.Failing().call("text")
            except ValueError as error:
                traceback.extract_tb(error.__traceback__)


def _load(folder: Path) -> Any:
    """As a bundle is unpacked and a module of it imported."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("rehearsed.py", _CODE)
    with zipfile.ZipFile(buffer) as archive:
        archive.extractall(folder)
    spec = importlib.util.spec_from_file_location("rehearsed", folder / "rehearsed.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["rehearsed"] = module
    spec.loader.exec_module(module)
    del sys.modules["rehearsed"]
    return module
