"""Hostile replies against the real checker: python -m tests.runner.fuzzing EXAMPLES [SEED], under the runtime's Python.

Everything is what a run uses, but the sandbox and the host: Checker, Stage, StudentLine and Control, over the descriptors
that it knows; a thread is the host, and one for each student process follows the plan that hypothesis draws. The checks compare with values
that no plan can know. So whatever is written, the checker ends by itself and in time, nobody gets a point, nothing is the assignment's
fault, and memory stays bounded. Prints what it did as JSON. Without a seed the same plans are drawn each time.
"""

import contextlib
import faulthandler
import fcntl
import json
import math
import os
import resource
import secrets
import socket
import struct
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from grading.runner import messages, student_line
from grading.runner.checker_main import Checker
from grading.runner.checks import Check, Student, Trial
from grading.runner.protocol import ITEM_SIZES, MAX_HEADER, MAX_PAYLOAD, ProtocolError, RawTensor, encode, pack_frame, receive_frame
from grading.runner.student_line import ARRIVALS, CONTROL, EXCEPTIONS, Control
from grading.runner.values import pack
from tests.runner.places import places

LIMITS = {"call_s": 0.04, "wall_s": 0.4}
AMPLE = {"call_s": 30.0, "wall_s": 60.0}  # for answers that have to come in time
SLOWEST_S = 30.0  # of one run; it may wait for the wall limit, and the machine may be busy
MOST_MEMORY_KB = 512 * 1024  # over what it is at the start: a reply may hold 64 MB, and is copied a few times
MOST_TEXT = 2000
FREE = 64  # descriptors from here on are nobody's

# What the checks expect, and no plan contains.
TENSOR = torch.randn(8, dtype=torch.float64, generator=torch.Generator().manual_seed(secrets.randbits(60)))
NUMBER = float(TENSOR[0])
TEXT = secrets.token_hex(16)


# The homework.


def call(student: Student, trial: Trial) -> None:
    trial.equal("y", student.call("mlp.f", torch.ones(3)), TENSOR)
    trial.equal("x", student.argument(0), torch.ones(3))


def attributes(student: Student, trial: Trial) -> None:
    net = student.new("mlp.Net", 3, width=4)
    student.set(net, "parameters", {"w": torch.zeros(2)})
    parameters = trial.mapping("parameters", student.get(net, "parameters"), "w")
    trial.close("w", trial.tensor("w", parameters["w"], shape=(None,)), TENSOR)


def losses(student: Student, trial: Trial) -> None:
    value, gradient = trial.pair("loss", student.call("mlp.loss", torch.ones(3)))
    trial.close("J", trial.number("J", value), NUMBER)
    trial.close("dJ", gradient, TENSOR)


def nested(student: Student, trial: Trial) -> None:
    answer = student.call("mlp.nested", {"a": [1, (2.0, None)]})
    trial.equal("nested", answer, {"a": [TENSOR, (NUMBER, None)], "b": TEXT})
    trial.equal("text", trial.text("text", trial.sequence("list", student.call("mlp.texts"))[0]), TEXT)


def numbers(student: Student, trial: Trial) -> None:
    trial.close("numbers", student.call("mlp.numbers"), {"a": [NUMBER, TENSOR], "b": (TENSOR[0],)})


def files(student: Student, trial: Trial) -> None:
    net = student.new("mlp.Net")
    student.load_state(net, "weights.pt")
    trial.close("weights", student.read("weights.pt"), {"w": TENSOR})


def large(student: Student, trial: Trial) -> None:
    """More than the socket holds, for a process that does not read."""
    trial.close("y", student.call("mlp.large", torch.zeros(2**18)), TENSOR)


CHECKS: dict[str, Check] = {check.__name__: check for check in (call, attributes, losses, nested, numbers, files, large)}
GROUPS = {"losses": True, "nested": "group", "numbers": "group"}
HIDDEN = {"nested", "files"}


# What a student's process may do when it is asked.


@dataclass(frozen=True)
class Turn:
    """`write` gives the bytes for a request's number; `then` is go on, close, or stop reading."""

    write: Callable[[int], bytes]
    then: str = "go on"
    pieces: int = 0


def frame(header: dict[str, Any], payload: bytes = b"") -> bytes:
    """As pack_frame, without its caps."""
    text = json.dumps(header).encode()
    return struct.pack("<II", len(text), len(payload)) + text + payload


def reply(value: Any, payload: bytes = b"") -> Callable[[int], bytes]:
    return lambda number: frame({"id": number, "value": value}, payload)


def sound(value: Any) -> Callable[[int], bytes]:
    payload: list[bytes | memoryview] = []
    data = encode(value, payload)
    return reply(data, b"".join(payload))


@st.composite
def raw_tensors(draw: st.DrawFn) -> RawTensor:
    dtype = draw(st.sampled_from(sorted(ITEM_SIZES)))
    shape = draw(st.sampled_from([(), (0,), (1,), (2,), (8,), (1, 8), (0, 2**30), (3, 3)]))
    size = math.prod(shape) * ITEM_SIZES[dtype]
    fill = draw(st.sampled_from([b"\0", b"\xff", b"\x7f\xc0", b"\x01"]))
    return RawTensor(dtype, shape, (fill * (size + 1))[:size])


texts = st.sampled_from(["", "a", "w", "raised", "memory", "load", "ValueError", "SystemExit", "\0", "\ud800", "é" * 3000, TEXT[:4]])
numbers_drawn = st.one_of(
    st.integers(-3, 9), st.sampled_from([2**31, 2**63, -(2**63), 10**400, 0.5, math.nan, math.inf, True, False, None])
)
json_values = st.recursive(
    st.one_of(numbers_drawn, texts),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(
            st.sampled_from(["tensor", "list", "tuple", "dict", "ref", "foreign", "id", "value", "problem"]), inner, max_size=3
        ),
    ),
    max_leaves=8,
)
plain_numbers = st.one_of(st.integers(-3, 9), st.floats(), st.booleans(), st.none())
values = st.recursive(
    st.one_of(plain_numbers, texts.filter(lambda text: text.isprintable()), raw_tensors()),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.lists(inner, max_size=2).map(tuple),
        st.dictionaries(st.sampled_from(["w", "a", "b", 1]), inner, max_size=3),
    ),
    max_leaves=4,
).filter(lambda value: _depth(value) <= 4)


def _depth(value: object) -> int:
    items = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else ()
    return 1 + max(map(_depth, items)) if items else 1 if isinstance(value, dict | list | tuple) else 0


@st.composite
def nearly_sound(draw: st.DrawFn) -> Callable[[int], bytes]:
    """A sound value with something else in one or two places of it, or with more or less payload."""
    payload: list[bytes | memoryview] = []
    header = {"value": encode(draw(values), payload)}
    for _ in range(draw(st.integers(0, 2))):
        setters = places(header)
        draw(st.sampled_from(setters))(
            draw(st.one_of(json_values, st.sampled_from([2**31, 2**62, [0, 2**62, 2**62], ["w", 1], [["w", 1]] * 2])))
        )
    data = b"".join(payload)
    data = draw(st.sampled_from([data, data, data, data[:-1], data + b"x"]))
    return lambda number: frame({"id": number, **header}, data)


def objects() -> st.SearchStrategy[Callable[[int], bytes]]:
    """References, as `new` wants them, sound and not."""
    return st.builds(lambda number, kind: reply({"ref": [number, kind]}), numbers_drawn, texts)


def problems() -> st.SearchStrategy[Callable[[int], bytes]]:
    kinds = st.one_of(st.sampled_from(["raised", "missing", "load", "large", "other"]), json_values)

    def problem(header: dict[str, Any]) -> Callable[[int], bytes]:
        return lambda number: frame({"id": number, **header})

    said = st.one_of(texts, texts, json_values)
    return st.fixed_dictionaries({"problem": kinds}, optional={"message": said, "builtin": said, "value": json_values}).map(problem)


honest = st.one_of(values.map(sound), values.map(sound), objects(), st.just(reply(None)), st.just(reply({"dict": []})))
writes: st.SearchStrategy[Callable[[int], bytes]] = st.one_of(
    honest,
    honest,
    problems(),
    nearly_sound(),
    nearly_sound(),
    st.builds(reply, json_values, st.binary(max_size=16)),
    st.dictionaries(st.sampled_from(["id", "value", "problem", "message", "builtin"]), json_values, max_size=4).map(
        lambda header: lambda _number: frame(header)
    ),
    st.binary(max_size=64).map(lambda data: lambda _number: data),
    st.builds(
        lambda lengths, data: lambda _number: struct.pack("<II", *lengths) + data,
        st.tuples(*[st.integers(0, 2**32 - 1)] * 2),
        st.binary(max_size=16),
    ),
    st.sampled_from(
        [
            lambda number: frame({"id": number, "value": None}) * 2,  # two replies
            lambda number: frame({"id": number, "value": None}) + b"x",  # and a byte more
            lambda number: frame({"id": number + 1, "value": None}),
            lambda number: frame({"id": float(number), "value": None}),
            lambda number: frame({"id": number, "value": None})[:-1],
            lambda number: frame({"id": number, "value": "x" * (MAX_HEADER - 100)}),
            lambda number: frame({"id": number, "value": "x" * MAX_HEADER}),
            lambda number: frame({"id": number, "value": {"tensor": ["uint8", [MAX_PAYLOAD]]}}, bytes(MAX_PAYLOAD)),
            lambda number: frame({"id": number, "value": {"tensor": ["float64", [8]]}}, bytes(64)),
            lambda number: struct.pack("<II", 60000, 0) + b"[" * 60000,
            lambda number: b"%s" % struct.pack("<II", 40012, 0) + b'{"id":%d,"message":' % 0 + b"[" * 40000,
            lambda number: deep({"id": number, "problem": "raised", "builtin": ""}, "message"),
            lambda number: deep({"id": number}, "value"),
            lambda _number: b"",
        ]
    ),
)


def deep(header: dict[str, Any], name: str) -> bytes:
    """A value as deep as the parser of JSON allows, or nearly."""
    text = json.dumps({**header, name: 0}).encode().replace(b'"%s": 0' % name.encode(), b'"%s": ' % name.encode() + b"[" * 940 + b"]" * 940)
    return struct.pack("<II", len(text), 0) + text


turns = st.builds(Turn, writes, st.sampled_from(["go on"] * 12 + ["close", "stop reading"]), st.sampled_from([0, 0, 0, 0, 3, 1]))
boots = st.one_of(*[st.just(Turn(lambda number: frame({"id": 0, "ready": True})))] * 5, turns)
loads = st.one_of(*[st.just(Turn(reply({"dict": []})))] * 5, turns)


@dataclass
class Plan:
    """What the student processes of one run do, in the order in which they are asked."""

    boots: list[Turn]
    loads: list[Turn]
    calls: list[Turn]


plans = st.builds(Plan, st.lists(boots, max_size=3), st.lists(loads, max_size=3), st.lists(turns, min_size=3, max_size=24))
BOOTED, LOADED, ANSWERED = Turn(lambda number: frame({"id": 0, "ready": True})), Turn(reply({"dict": []})), Turn(reply(None))


def follow(connection: socket.socket, plan: Plan, lock: threading.Lock) -> None:
    """A student's process. What the plan does not say is done as it should be, with None for an answer."""

    def take(of: list[Turn], default: Turn) -> Turn:
        with lock:
            return of.pop(0) if of else default

    with connection, contextlib.suppress(OSError, ProtocolError):
        connection.setblocking(False)
        if not perform(connection, take(plan.boots, BOOTED), 0):
            return
        while True:
            asked = receive_frame(connection, time.monotonic() + 10).header
            of, default = (plan.loads, LOADED) if asked["op"] == "load" else (plan.calls, ANSWERED)
            if not perform(connection, take(of, default), asked["id"]):
                return


def perform(connection: socket.socket, turn: Turn, number: int) -> bool:
    connection.settimeout(2)
    data = turn.write(number)
    step = max(1, len(data) // turn.pieces) if turn.pieces else len(data) or 1
    for at in range(0, len(data), step):
        connection.sendall(data[at : at + step])
    if turn.then == "stop reading":
        time.sleep(0.1)
    connection.setblocking(False)
    return turn.then == "go on"


@dataclass
class Hosted:
    """The host of one run at a time."""

    control: socket.socket
    arrivals: socket.socket
    plan: Plan = field(default_factory=lambda: Plan([], [], []))
    results: dict[str, dict[str, Any]] = field(default_factory=dict)
    reasons: dict[str, int] = field(default_factory=dict)
    students: int = 0

    def serve(self) -> None:
        self.control.setblocking(False)
        lock = threading.Lock()
        while True:
            header = receive_frame(self.control, math.inf).header
            event = header["event"]
            if event == "student":
                ours, theirs = socket.socketpair()
                threading.Thread(target=follow, args=(theirs, self.plan, lock), daemon=True).start()
                self.students += 1
                self.control.sendall(pack_frame({"student": self.students}))
                socket.send_fds(self.arrivals, [b"s"], [ours.fileno()])
                ours.close()
            elif event == "ended":
                why = header["why"]
                self.reasons[why] = self.reasons.get(why, 0) + 1
                known = {"closed": "exit", "boot": "exit"}.get(why, why)
                ended = (
                    "" if why == "done" else messages.ended(known, dict.fromkeys(("status", "memory", "call", "wall", "cpu", "flood"), ""))
                )
                self.control.sendall(pack_frame({"message": ended}))
            elif event == "result":
                self.results[header["check"]] = header


def ours_at(place: int, kind: int) -> socket.socket:
    """Our end of a pair; the other is the descriptor that the checker knows."""
    with contextlib.ExitStack() as closed:
        ours, theirs = (closed.enter_context(end) for end in socket.socketpair(socket.AF_UNIX, kind))
        kept, given = (fcntl.fcntl(end, fcntl.F_DUPFD, FREE) for end in (ours, theirs))
    os.dup2(given, place)
    os.close(given)
    return socket.socket(fileno=kept)


def judged(control: Control, hosted: Hosted, plan: Plan, limits: dict[str, float]) -> dict[str, dict[str, Any]]:
    hosted.plan, hosted.results = plan, {}
    job = {
        "checks": [
            {"id": name, "visibility": "hidden" if name in HIDDEN else "visible", "fresh": GROUPS.get(name, False), "seeds": 1}
            for name in CHECKS
        ],
        "limits": limits,
        "seed": 1,
        "smoke": False,
        "entry": ["mlp.py"],
        "files": [("mlp.py", 4), ("weights.pt", 4)],
        "mode": "definitions",
        "prelude": ["", 0],
        "outputs": {"patterns": ["*.png"], "limit": 1000},
    }
    faulthandler.dump_traceback_later(60, exit=True)
    began = time.monotonic()
    Checker(control, job, b"codedata", b"", dict(CHECKS)).run()
    faulthandler.cancel_dump_traceback_later()
    took = time.monotonic() - began
    while len(hosted.results) < len(CHECKS):  # the last ones are on their way
        time.sleep(0.001)
    assert took < SLOWEST_S, took
    return hosted.results


def honest_plan() -> Plan:
    """That of a student who knows what is expected, for the first check of all."""
    answers = iter([TENSOR, torch.ones(3)])

    def write(number: int) -> bytes:
        data, payload = pack(next(answers))
        return frame({"id": number, "value": data}, payload)

    return Plan([], [], [Turn(write), Turn(write)])


def main(examples: int, drawn_by: int | None) -> dict[str, Any]:
    torch.set_num_threads(1)
    hosted = Hosted(ours_at(CONTROL, socket.SOCK_STREAM), ours_at(ARRIVALS, socket.SOCK_SEQPACKET))
    threading.Thread(target=hosted.serve, daemon=True).start()
    control = Control()
    passed = [name for name, result in judged(control, hosted, honest_plan(), AMPLE).items() if result["passed"]]
    assert passed == ["call"], passed  # the harness does not refuse what is right
    student_line.BOOT_S = 0.05
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    count = 0

    @settings(max_examples=examples, derandomize=drawn_by is None, database=None, deadline=None, suppress_health_check=list(HealthCheck))
    @given(plans)
    def holds(plan: Plan) -> None:
        nonlocal count
        count += 1
        results = judged(control, hosted, plan, LIMITS)
        for name, result in results.items():
            assert result["passed"] is False, (name, result)
            assert result["assignment"] is False, (name, result)
            assert result["message"] or not result["judged"], (name, result)
            assert len(result["message"]) <= MOST_TEXT, (name, result)
            if name in HIDDEN and result["judged"]:
                assert result["message"].startswith((messages.HIDDEN_FAILED, *(f"{kind}, " for kind in EXCEPTIONS))), result

    began = time.monotonic()
    (seed(drawn_by)(holds) if drawn_by is not None else holds)()
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < MOST_MEMORY_KB, grown
    return {"runs": count, "seconds": round(time.monotonic() - began, 1), "grown_mb": grown // 1024, "ended": hosted.reasons}


def drawn(argv: list[str]) -> Iterator[int]:
    yield from map(int, argv)


if __name__ == "__main__":
    number, *more = drawn(sys.argv[1:])
    print(json.dumps(main(number, more[0] if more else None)))
