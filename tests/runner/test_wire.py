"""A job on its way to the host: what is sent arrives, and anything else is refused before it is looked at."""

import json
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grading.runner.job import Job, Script
from grading.runner.manifest import CheckSpec
from grading.runner.protocol import Frame, FrameBuffer, ProtocolError
from grading.runner.runtimes import Runtime
from grading.runner.wire import MAX_HEADER, MAX_PAYLOAD, pack_job, unpack_job
from tests.runner import homework
from tests.runner.places import places

RUNTIME = Runtime("torch", Path("/opt/runtime/bin/python"), "abc")
JOB = replace(
    homework.job({"mlp.py": b"x = 1\n", "weights.npy": b"\0\xff"}, RUNTIME, outputs=("*.png",), outputs_mb=3),
    bundle=b"the bundle",
    checks=(
        CheckSpec("a", "Ä", Decimal("2.50"), "visible", fresh="training"),
        CheckSpec("b", "B", Decimal(3), "after_due", fresh=True, seeds=5, tolerance=Decimal("0.6")),
    ),
)


LAB = replace(JOB, bundle=b"", checks=(), entry=(), script=Script("mlp.py", ("--lr", "0.1 Ä")))


def sent(job: Job = JOB) -> Frame:
    buffer = FrameBuffer(max_header=MAX_HEADER, max_payload=MAX_PAYLOAD)
    buffer.feed(pack_job(job))
    (frame,) = buffer
    return frame


def test_a_job_arrives_as_it_was_sent() -> None:
    assert unpack_job(sent()) == JOB
    assert unpack_job(sent(LAB)) == LAB


@pytest.mark.parametrize(
    "script", ["mlp.py", {}, {"path": "mlp.py"}, {"path": "/etc/passwd", "arguments": []}, {"path": "mlp.py", "arguments": [1]}]
)
def test_any_other_script_is_refused(script: Any) -> None:
    frame = sent(LAB)
    with pytest.raises(ProtocolError):
        unpack_job(Frame({**frame.header, "script": script}, frame.payload))
    with pytest.raises(ProtocolError):  # beside a bundle and checks
        unpack_job(Frame({**sent().header, "script": {"path": "mlp.py", "arguments": []}}, sent().payload))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("bundle", -1),
        ("bundle", 9),
        ("bundle", True),
        ("files", [["mlp.py", 6], ["mlp.py", 2]]),  # a name twice
        ("files", [["mlp.py", 100], ["b.py", -92]]),
        ("files", [["mlp.py", 8, 0]]),
        ("files", [["../mlp.py", 8]]),
        ("files", [["/etc/passwd", 8]]),
        ("files", [["a\0b", 8]]),
        ("files", [["\ud800", 8]]),
        ("files", {"mlp.py": 8}),
        ("seed", 2**64),
        ("seed", "1"),
        ("entry", "mlp.py"),
        ("outputs", [1]),
        ("outputs_mb", 2.5),
        ("runtime", None),
        ("runtime", {"name": "torch", "python": 1, "digest": ""}),
        ("limits", {}),
        ("checks", [{}]),
        ("checks", "ab"),
    ],
)
def test_any_other_header_is_refused(key: str, value: Any) -> None:
    frame = sent()
    with pytest.raises(ProtocolError):
        unpack_job(Frame({**frame.header, key: value}, frame.payload))
    with pytest.raises(ProtocolError):
        unpack_job(Frame({name: kept for name, kept in frame.header.items() if name != key}, frame.payload))


@pytest.mark.parametrize(
    ("table", "key", "value"),
    [
        ("limits", "wall_s", "60"),
        ("limits", "wall_s", float("nan")),
        ("limits", "memory_mb", 2.5),
        ("limits", "files", -1),
        ("check", "points", "many"),
        ("check", "points", "Infinity"),
        ("check", "points", 5),
        ("check", "visibility", "secret"),
        ("check", "visibility", []),
        ("check", "fresh", 1),
        ("check", "needs_gpu", None),
        ("check", "seeds", 0),
        ("check", "seeds", 21),
        ("check", "seeds", True),
        ("check", "tolerance", "NaN"),
    ],
)
def test_any_other_setting_is_refused(table: str, key: str, value: Any) -> None:
    header = json.loads(json.dumps(sent().header))
    (header["limits"] if table == "limits" else header["checks"][0])[key] = value
    with pytest.raises(ProtocolError):
        unpack_job(Frame(header, sent().payload))


odd = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5), st.sampled_from(["\ud800", "NaN", "sNaN", "1e999999999"])
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=5), inner, max_size=3)),
    max_leaves=5,
)


@given(st.lists(st.tuples(st.integers(0, 200), odd), min_size=1, max_size=3), st.binary(max_size=30))
def test_any_header_gives_a_job_or_a_protocol_error(changes: list[tuple[int, Any]], payload: bytes) -> None:
    frame = sent()
    header = json.loads(json.dumps(frame.header))
    for number, new in changes:
        setters = places(header)
        setters[number % len(setters)](new)
    for content in (frame.payload, memoryview(payload)):
        try:
            job = unpack_job(Frame(header, content))
        except ProtocolError:
            continue
        assert len(job.bundle) + sum(map(len, job.files.values())) == len(content)
        assert unpack_job(sent(job)) == job
