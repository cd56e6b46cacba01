"""The homeworks of the example course, on hand-ins of ours and without a sandbox: what each gets, whatever the seed."""

import json
import os
import subprocess
from itertools import product
from pathlib import Path

import pytest

from grading.runner.manifest import ComponentSpec, load_manifest
from grading.runner.runtimes import Runtime

ROOT = Path(__file__).resolve().parents[2]
COURSE = ROOT / "examples" / "ds-ga-1008"
Report = dict[str, dict[str, tuple[int, int, str]]]

PAIRS = [f"{f}-{g}" for f, g in product(("relu", "sigmoid", "identity"), repeat=2)]
FORWARD = {f"forward-{pair}" for pair in PAIRS}
BACKWARD = {f"backward-{pair}" for pair in PAIRS}
BATCHED = {"batches", "single-output", "two-steps", "training-step", "inputs-unchanged"}
MSE = {"mse-value", "mse-gradient", "inputs-unchanged"}
BCE = {"bce-value", "bce-gradient", "training-step", "inputs-unchanged"}


def pairs_with(name: str, place: int) -> set[str]:
    return {pair for pair in PAIRS if pair.split("-")[place] == name}


IDENTITY = pairs_with("identity", 0) | pairs_with("identity", 1)
SIGMOID = pairs_with("sigmoid", 0) | pairs_with("sigmoid", 1)
NO_IDENTITY = {f"{way}-{pair}" for way in ("forward", "backward") for pair in IDENTITY} | {"single-output", "two-steps"}

# What each hand-in of the demo loses, and a sentence of the first message that its author reads.
LOST: dict[str, tuple[set[str], str]] = {
    "partial-no-identity": (NO_IDENTITY, "ValueError: what is identity"),
    "partial-identity-is-relu": (NO_IDENTITY, "It is what f = relu and g = relu would give; this net has f = relu and g = identity."),
    "partial-bias-row": (BACKWARD | BATCHED, "dJdb2: expected shape (3,), got (1, 3). Sum over the batch without keepdim"),
    "partial-no-batch-sum": (BACKWARD | BATCHED, "dJdb2: expected shape (3,), got (6, 3). Is the sum over the batch missing?"),
    "partial-batch-mean": (BACKWARD | BATCHED, "It is divided by the batch size: sum over the batch"),
    "partial-transposed-weights": (BACKWARD | BATCHED, "dJdW2: expected shape (3, 7), got (7, 3). It is transposed: weights are out × in"),
    "partial-forward-only": (BACKWARD | BATCHED, "It is still zero: does backward write to self.grads?"),
    "partial-sigmoid-slope": ({f"backward-{pair}" for pair in SIGMOID} | BATCHED - {"inputs-unchanged"}, "dJdb2: "),
    "partial-mse-sum": (MSE, "It is a sum where a mean over all elements is expected."),
    "partial-mse-half": (MSE, "It is half of what is expected: there is no factor ½ in this loss"),
    "partial-bce-sum": (BCE, "It is a mean over the batch where a mean over all elements is expected."),
    "partial-swapped-arguments": (BCE | {"mse-gradient"}, "The sign is turned over: the arguments are (y, ŷ)"),
    "partial-in-place": ({"inputs-unchanged"}, "dJdy_hat after backward: "),
    "partial-double": (FORWARD | BACKWARD | BATCHED, "y_hat: expected dtype float32, got float64. Keep to float32"),
    "partial-losses-only": (FORWARD | BACKWARD | BATCHED, "NotImplementedError: forward is yours to write"),
}
FIXED_WEIGHTS, VARIABLE_WEIGHTS = {"fixed-weights", "fixed-accuracy"}, {"variable-limits", "variable-accuracy"}
ROWS = {"fixed-rows", "fixed-causal", "variable-rows"}
VARIABLE = {f"variable-{name}" for name in ("shapes", "rows", "text", "training", "limits", "accuracy")}
LOST_RECURRENT: dict[str, tuple[set[str], str]] = {
    "partial-fixed-only": (VARIABLE, "NotImplementedError: VariableDelayGRUMemory is yours to write"),
    "partial-no-weights": (FIXED_WEIGHTS | VARIABLE_WEIGHTS, "gru_memory.safetensors was not handed in."),
    "partial-batch-first": (
        ROWS | FIXED_WEIGHTS | VARIABLE_WEIGHTS,
        "is answered differently alone than in a batch of 4. Is batch_first=True missing?",
    ),
    "partial-old-weights": (
        FIXED_WEIGHTS,
        "% of the characters are right; 99 % are asked for. They are right for delays that are one shorter.",
    ),
    "partial-future": (
        {"fixed-causal"} | FIXED_WEIGHTS,
        "The answers before character 5 change with it: the network looks into the future.",
    ),
}
TRAININGS = {"training-stripes", "training-places"}
LOST_TRANSFORMER: dict[str, tuple[set[str], str]] = {
    "partial-wrong-scale": (
        {"attention-values", "attention-heads"},
        "They are divided by the root of embed_dim. Divide the scores by the root of a head's size, embed_dim / num_heads = 8.",
    ),
    "partial-reshaped-patches": (
        {"patches-order"},
        "Another patch in row 0, column 1 changes tokens 0, 3, 6; expected: token 1 of 0 to 8. Does a reshape take pixels of",
    ),
    "partial-post-norm": ({"block-residual"}, "It gives zeros: is a sum with x missing, or the LayerNorm behind the sum"),
    "partial-shared-block": ({"vit-layers"}, "inner.0.weight are one and the same parameter. Make a new block for each layer"),
    "partial-no-positions": (
        {"vit-positions", "training-places"},
        "Two patches that change places change no logit. Are positions added to the tokens?",
    ),
    "partial-cuda-only": (TRAININGS, "Torch not compiled with CUDA enabled"),
}
LOST_WARMUP = {
    "partial-torch-std": {"standardize", "standardize-constant"},
    "partial-loops": {"one-hot", "one-hot-missing", "standardize-constant"},
}


def practice(homework: str) -> ComponentSpec:
    found = load_manifest(COURSE / homework).component("practice")
    assert found is not None
    return found


def judged(runtime: Runtime, homework: str, seeds: int, names: list[str]) -> Report:
    """What the hand-ins get on each check: how often they passed, of how many seeds, and the first message."""
    (required,) = practice(homework).files_required
    files = [f"{COURSE}/demo/{homework}/{name}/{required}" for name in names]
    command = [str(runtime.python), "-m", "tests.runner.in_process", str(COURSE / homework), str(seeds), *files]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, env=os.environ | {"PYTHONDONTWRITEBYTECODE": "1"})
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout.splitlines()[-1])
    return {name: {check: tuple(row) for check, row in report[file].items()} for name, file in zip(names, files, strict=True)}


def named(homework: str, start: str) -> list[str]:
    return sorted(folder.name for folder in (COURSE / "demo" / homework).glob(f"{start}-*"))


@pytest.mark.sandbox
@pytest.mark.parametrize(
    ("homework", "names", "seeds"),
    [
        ("hw0-warmup", named("hw0-warmup", "correct"), 200),
        ("hw1-backprop", ["correct-plain", "correct-einsum", "correct-numpy"], 200),  # they round differently
        ("hw1-backprop", ["correct-classes", "correct-closures", "correct-loops", "correct-where"], 20),
        ("hw2-recurrent", named("hw2-recurrent", "correct"), 2),  # they train a little
        ("hw3-transformer", named("hw3-transformer", "correct"), 1),  # so do they
    ],
)
def test_correct_hand_ins_pass_every_check_on_every_seed(torch_runtime: Runtime, homework: str, names: list[str], seeds: int) -> None:
    report = judged(torch_runtime, homework, seeds, names)
    checks = {check.id for check in practice(homework).checks}
    failed = {(name, check): row for name, rows in report.items() for check, row in rows.items() if row[0] != seeds}
    assert failed == {}
    assert all(rows.keys() == checks for rows in report.values())


@pytest.mark.sandbox
@pytest.mark.parametrize(
    ("homework", "expected", "seeds"),
    [("hw1-backprop", LOST, 5), ("hw2-recurrent", LOST_RECURRENT, 1), ("hw3-transformer", LOST_TRANSFORMER, 1)],
)
def test_partial_hand_ins_lose_what_is_wrong_and_read_why(
    torch_runtime: Runtime, homework: str, expected: dict[str, tuple[set[str], str]], seeds: int
) -> None:
    assert named(homework, "partial") == sorted(expected)
    report = judged(torch_runtime, homework, seeds, list(expected))
    for name, rows in report.items():
        lost, sentence = expected[name]
        assert {check for check, (passed, *_) in rows.items() if passed == 0} == lost, name
        assert {check for check, (passed, *_) in rows.items() if passed == seeds} == rows.keys() - lost, name
        assert any(sentence in message for _, _, message in rows.values()), name


@pytest.mark.sandbox
def test_partial_warm_ups_lose_what_is_wrong(torch_runtime: Runtime) -> None:
    assert named("hw0-warmup", "partial") == sorted(LOST_WARMUP)
    report = judged(torch_runtime, "hw0-warmup", 5, list(LOST_WARMUP))
    assert {name: {check for check, (passed, *_) in rows.items() if passed < 5} for name, rows in report.items()} == LOST_WARMUP


@pytest.mark.sandbox
@pytest.mark.parametrize("homework", ["hw0-warmup", "hw1-backprop", "hw2-recurrent", "hw3-transformer"])
def test_the_untouched_starter_earns_nothing(torch_runtime: Runtime, homework: str) -> None:
    (required,) = practice(homework).files_required
    assert (COURSE / "demo" / homework / "broken-untouched" / required).read_text() == (
        COURSE / homework / "starter" / required
    ).read_text()
    (rows,) = judged(torch_runtime, homework, 3, ["broken-untouched"]).values()
    assert {passed for passed, _, _ in rows.values()} == {0}


def test_points_and_visibility_of_homework_1() -> None:
    """A homework whose visible checks would do for full points, or whose hidden ones test the same again, is not worth hiding."""
    checks = {check.id: check for check in practice("hw1-backprop").checks}
    assert sum(check.points for check in checks.values()) == 50
    visible = {check.id for check in checks.values() if check.visibility == "visible"}
    assert sum(checks[name].points for name in visible) == 21
    assert not {f"forward-identity-{g}" for g in ("relu", "sigmoid", "identity")} & visible
    assert {check.id for check in checks.values() if check.visibility == "after_due"} == {"batches"}


def test_points_and_visibility_of_homework_2() -> None:
    checks = {check.id: check for check in practice("hw2-recurrent").checks}
    assert sum(check.points for check in checks.values()) == 50
    assert sum(check.points for name, check in checks.items() if name.startswith("fixed-")) == 30
    assert {name for name, check in checks.items() if check.visibility == "hidden"} == {"fixed-accuracy", "variable-accuracy"}


def test_points_and_visibility_of_homework_3() -> None:
    """What needs a GPU is few points: most of the code is right or wrong on any processor."""
    component = practice("hw3-transformer")
    checks = {check.id: check for check in component.checks}
    assert component.queue == "gpu"
    assert sum(check.points for check in checks.values()) == 50
    assert {name for name, check in checks.items() if check.needs_gpu} == TRAININGS
    assert sum(checks[name].points for name in TRAININGS) == 9
    hidden = {name for name, check in checks.items() if check.visibility == "hidden"}
    assert hidden == {"attention-heads", "vit-positions", "training-places"}


@pytest.mark.parametrize("homework", ["hw0-warmup", "hw1-backprop", "hw2-recurrent", "hw3-transformer"])
def test_every_file_a_student_needs_is_in_the_starter(homework: str) -> None:
    manifest = load_manifest(COURSE / homework)
    names = {path.name for path in (manifest.folder / "starter").iterdir()}
    component = manifest.component("practice")
    assert component is not None
    assert set(component.files_required) <= names
