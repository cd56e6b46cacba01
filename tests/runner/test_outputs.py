"""Files that a run leaves behind: those that were asked for are kept, whatever else comes through the pipe is dropped with its reason."""

import hashlib
import json
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grading.runner.manifest import CheckSpec
from grading.runner.outcome import Outcome
from grading.runner.outputs import MAX_DROPPED, MAX_FILES, MEGABYTE, READ_BYTES, Collector, Intake, ScriptCollector, is_plain
from grading.runner.protocol import pack_frame
from grading.runner.runtimes import Runtime
from tests.runner.conftest import Judge
from tests.runner.homework import job

ASKED = ("*.png", "predictions.npy")
BROKEN = "The rest was not kept: something other than files was written to their connection."


def file(name: str, content: bytes = b"x", **more: object) -> bytes:
    return pack_frame({"name": name, "size": len(content), **more}, content)


def taken(*frames: bytes, limit: int = MEGABYTE) -> Collector:
    collector = Collector(ASKED, limit, {"handed-in.png": b"as it was"})
    intake = Intake(collector)
    stream = b"".join(frames)
    for at in range(0, len(stream), READ_BYTES):
        intake.feed(stream[at : at + READ_BYTES])
    return collector


def test_what_was_asked_for_is_kept() -> None:
    collector = taken(file("loss curve.png", b"curve"), file("predictions.npy", b""), file("handed-in.png", b"as it was"))
    kept = {name: (kept.content, kept.size, kept.sha256) for name, kept in collector.files.items()}
    assert kept == {
        "loss curve.png": (b"curve", 5, hashlib.sha256(b"curve").hexdigest()),
        "predictions.npy": (b"", 0, hashlib.sha256(b"").hexdigest()),
    }
    assert collector.dropped == []


@pytest.mark.parametrize(
    ("frames", "kept", "why"),
    [
        ([file("notes.txt")], [], "“notes.txt” was not kept: this homework asks for *.png, predictions.npy."),
        ([file("../../etc/x.png")], [], "“../../etc/x.png” was not kept: this homework asks for *.png, predictions.npy."),
        ([file("a\nb\u202e.png")], [], "“a\ufffdb\ufffd.png” was not kept: this homework asks for *.png, predictions.npy."),
        (
            [file("a.png", bytes(60)), file("b.png", bytes(60))],
            ["a.png"],
            "b.png was not kept: with it the files would take more than 0 MB.",
        ),
        ([file("a.png", b"", skipped=True)], [], "a.png was not kept: with it the files would take more than 0 MB."),
        (
            [file("a.png"), file("a.png", b"y")],
            ["a.png"],
            "a.png was kept once: another process of this run wrote a file of that name before.",
        ),
        ([pack_frame({"name": "a.png", "size": 9}, b"x"), file("b.png")], [], BROKEN),
        ([pack_frame({"name": "a.png", "size": True}, b"x")], [], BROKEN),
        ([pack_frame({"name": 5, "size": 1}, b"x")], [], BROKEN),
        ([file("a.png"), b"these are no lengths"], ["a.png"], BROKEN),
        ([file("a.png"), file("b.png", bytes(101))], ["a.png"], BROKEN),  # a payload that cannot fit is not waited for
    ],
)
def test_anything_else_is_dropped_with_its_reason(frames: list[bytes], kept: list[str], why: str) -> None:
    collector = taken(*frames, limit=100)
    assert (list(collector.files), collector.dropped) == (kept, [why])


def test_numbers_are_capped() -> None:
    collector = taken(*(file(f"{number}.png") for number in range(60)))
    assert len(collector.files) == MAX_FILES
    assert len(collector.dropped) == MAX_DROPPED
    assert collector.dropped[0] == f"{MAX_FILES}.png was not kept: at most {MAX_FILES} files are."


def test_a_flood_of_refused_names_ends() -> None:
    collector = taken(file("no", bytes(1000)) * 3000, file("a.png"))
    assert (list(collector.files), collector.dropped[-1]) == ([], BROKEN)


@pytest.mark.parametrize("name", ["a.png", "Verlust über Epochen (1).png", "图.png", "a" * 100])
def test_a_plain_name(name: str) -> None:
    assert is_plain(name)


@pytest.mark.parametrize(
    "name",
    [
        "",
        ".",
        "..",
        ".hidden.png",
        "a/b.png",
        "a\\b.png",
        "a\0.png",
        "a\n.png",
        " a.png",
        "a.png ",
        "a" * 101,
        "\ud800.png",
        "e\u0301.png",
        "C:x",
    ],
)
def test_no_plain_name(name: str) -> None:
    assert not is_plain(name)


@given(
    st.one_of(
        st.binary(max_size=300),
        st.lists(
            st.one_of(
                st.binary(max_size=20),
                st.builds(
                    lambda header, payload: pack_frame(header, payload),
                    st.dictionaries(
                        st.sampled_from(["name", "size", "skipped", "ended"]),
                        st.one_of(
                            st.sampled_from(["a.png", "../a.png", "\ud800"]),
                            st.integers(0, 9),
                            st.booleans(),
                            st.none(),
                            st.lists(st.none()),
                        ),
                    ),
                    st.binary(max_size=9),
                ),
            ),
            max_size=6,
        ).map(b"".join),
    ),
    st.integers(1, 40),
    st.sampled_from([Collector, ScriptCollector]),
)
def test_any_stream_gives_plain_files_within_the_limit(stream: bytes, step: int, kind: type[Collector]) -> None:
    collector = kind(ASKED, 20, {})
    intake = Intake(collector)
    for at in range(0, len(stream), step):
        intake.feed(stream[at : at + step])
    assert sum(kept.size for kept in collector.files.values()) <= 20
    assert all(is_plain(name) and name.endswith(".png") for name in collector.files)
    assert all(kept.size == len(kept.content) for kept in collector.files.values())


def test_an_outcome_takes_its_files_along() -> None:
    files = tuple(taken(file("a.png", b"one"), file("b.png", b"three")).files.values())
    outcome = Outcome("ok", Decimal(1), Decimal(1), 0.5, files=files, files_dropped=("c.png was not kept.",))
    data = json.loads(json.dumps(outcome.to_json()))
    assert Outcome.from_json(data, outcome.payload) == outcome
    for payload in (b"", outcome.payload[:-1], outcome.payload + b"x"):
        with pytest.raises(ValueError, match="not in its payload"):
            Outcome.from_json(data, payload)


WRITES = """
import numpy, os, torch
os.makedirs("folder.png", exist_ok=True)
open("folder.png/inside.png", "wb").write(b"in a folder")
os.symlink("/proc/self/environ", "link.png")
open("large.png", "wb").write(bytes(2 * 1024 * 1024))
open("notes.txt", "w").write("not asked for")

def twice(x):
    numpy.save("predictions.npy", x.numpy())
    open("loss.png", "wb").write(b"\\x89PNG")
    return 2 * x
"""

# Answers all is well, and before that writes to the files' connection what a hidden stage or another student would like to see there.
WRITES_FRAMES = """
import os
def frame(header, payload):
    return len(header).to_bytes(4, "little") + len(payload).to_bytes(4, "little") + header + payload

def twice(x):
    try:
        for name in (b"../up.png", b"/tmp/abs.png", b"own.png"):
            os.write(5, frame(b'{"name": "' + name + b'", "size": 4}', b"mine"))
        if len(x) != 4:
            print("HIDDEN")
        os.write(5, b"\\xff" * 100)
    except OSError:
        pass
    return 2 * x
"""

CHECKS = """
import torch
from grading.runner.checks import check

def run(size):
    def twice(student, trial):
        x = torch.randn(size, 3, generator=trial.generator)
        trial.close("y", student.call("mlp.twice", x), 2 * x)
    return twice

check("shown")(run(4))
check("again")(run(4))
check("hidden")(run(5))
"""

SPECS = (
    CheckSpec("shown", "Shown", Decimal(1), "visible"),
    CheckSpec("again", "Again", Decimal(1), "visible", fresh=True),
    CheckSpec("hidden", "Hidden", Decimal(1), "hidden"),
)


@pytest.mark.sandbox
def test_the_visible_checks_process_hands_over_what_it_left_behind(judge: Judge, runtime: Runtime) -> None:
    files = {"mlp.py": WRITES.encode(), "handed-in.png": b"as it was"}
    outcome = judge(job(files, runtime, checks=CHECKS, specs=SPECS, outputs=ASKED, outputs_mb=1))
    assert (outcome.kind, outcome.points) == ("ok", Decimal(3))
    kept = {kept.name: kept.content for kept in outcome.files}
    assert kept.keys() == {"loss.png", "predictions.npy"}
    assert kept["loss.png"] == b"\x89PNG"
    assert kept["predictions.npy"][:6] == b"\x93NUMPY"
    assert outcome.files_dropped == (
        "large.png was not kept: with it the files would take more than 1 MB.",
        "predictions.npy was kept once: another process of this run wrote a file of that name before.",
    )


@pytest.mark.sandbox
def test_frames_of_the_codes_own_bring_nothing_else_out(judge_here: Judge, runtime: Runtime) -> None:
    outcome = judge_here(job(WRITES_FRAMES, runtime, checks=CHECKS, specs=SPECS, outputs=ASKED))
    assert (outcome.kind, outcome.points, outcome.output) == ("ok", Decimal(3), "")
    assert {kept.name: kept.content for kept in outcome.files} == {"own.png": b"mine"}
    assert outcome.files_dropped == (
        "“../up.png” was not kept: this homework asks for *.png, predictions.npy.",
        "“/tmp/abs.png” was not kept: this homework asks for *.png, predictions.npy.",
        BROKEN,
    )
