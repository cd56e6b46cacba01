"""What people read when a run does not end as hoped: short, whose side it is, and what to do. Data, so that tests and pages share it."""

from typing import Any

HIDDEN = "in a hidden check"

HIDDEN_FAILED = "This hidden check did not pass."
SEEDS = "It passes with {passes} of {seeds} seeds."
HIDDEN_UNJUDGED = "Not judged, in a hidden check: {why}"
ASSIGNMENT_CHECK = "This check itself failed; that is not your code's doing. The course staff can see why."
ASSIGNMENT = "The checks of this homework could not run; that is not your code's doing. The course staff can see why."
SYSTEM = "The run failed on our side; it does not count as an attempt and will be tried again."
VACUOUS = "the check “{id}” ended without comparing anything"
TOO_MANY_ENDS = "Not tried: the code had to be stopped {count} times before."

MISSING_FILE = "{file} was not handed in."
MISSING_MODULE = "{file} imports the module `{module}`, which is not in this runtime."
SYNTAX = "{file} has a syntax error on line {line}: {what}"
IMPORT_FAILED = "{file} could not be imported: {what}"
CELL_SYNTAX = "{file} has a syntax error in {place}: {what}"
CELL_FAILED = "{file} could not be run: {what}"
CELL_DEEP = "it is nested too deeply"
NO_NAME = "{file} has no {kind} {name}."
NO_ATTRIBUTE = "{owner} objects have no {kind} {name}."
NO_REASON = "The code's process gave no reason."
TOO_LARGE = "The answer cannot be taken over: {what}."

# A notebook that cannot be read: what is wrong, and what is accepted.
_SAVED = "Hand in the notebook as Jupyter or Colab saves it."
NOTEBOOK_LARGE = "{file} has {size} MB; notebooks of up to {most} MB are read. Clear its outputs and save it again."
NOTEBOOK_PARTS = "{file} has too many parts to be read. Clear its outputs and save it again."
NOTEBOOK_LONG = "{file} has {size} characters of code; up to {most} are read. Keep data in files of their own."
NOTEBOOK_DEEP = f"{{file}} is nested too deeply to be read. {_SAVED}"
NOTEBOOK_CONFLICT = (
    "{file} has unresolved merge conflicts (first “<<<<<<<” in line {line}), so it is not valid JSON. "
    "Resolve them until Jupyter opens it again."
)
NOTEBOOK_NOT_JSON = f"{{file}} is not valid JSON{{where}}, so no program can open it. {_SAVED}"
NOTEBOOK_NO_CELLS = f"{{file}} is JSON, but not a notebook: it has no cells. {_SAVED}"
NOTEBOOK_NO_CODE = "{file} has no code cells, or only empty ones, so there is nothing to run."
NOTEBOOK_LANGUAGE = "{file} is a notebook in {language}; accepted are notebooks in Python."
PRELUDE_FAILED = "{prelude} of this homework failed before {file} was run: {what}. That is not your code's doing; tell the course staff."

# What of a notebook was not run.
NOTEBOOK_DEFINITIONS = "In {file} the imports, functions, classes and constants were run. These lines were not:"
NOTEBOOK_RUN_ALL = "In {file} every cell was run. These lines were not, because only Jupyter understands them:"
NOTEBOOK_GIVEN = "this homework sets it"
LEFT_OUT = " It is set in {place}, which was not run{why}."

OUTPUT_NAME = "{file} was not kept: this homework asks for {accepted}."
OUTPUT_ODD = '{file} was not kept: accepted are names of at most 100 printing characters, without / \\ : * ? " < > | and not hidden.'
OUTPUT_FOLDER = "What was written into the folder {folder} was not kept: only files beside it are."
OUTPUT_SIZE = "{file} was not kept: with it the files would take more than {limit}."
OUTPUT_TWICE = "{file} was kept once: another process of this run wrote a file of that name before."
OUTPUT_NUMBER = "{file} was not kept: at most {most} files are."
OUTPUT_BROKEN = "The rest was not kept: something other than files was written to their connection."
OUTPUT_LOST = "The files were not handed over: {why}"

SCRIPT_RAISED = "{file} ended with an exception: {what}"
SCRIPT_MEMORY = "{file} asked for more memory than there was. Look for a tensor or a list that grows."
SCRIPT_GPU_MEMORY = "{file} ran out of GPU memory{gpu}. Use a smaller batch or model, and keep no tensors of earlier steps."
SCRIPT_EXIT = "{file} ended with exit status {status}."
SCRIPT_SIGNAL = "{file} crashed ({signal})."
SCRIPT_GONE = "{file} ended without saying why."
SCRIPT_LOST = "What it had written went with it."


def seconds(value: float) -> str:
    return f"{value:g} s"


def megabytes(value: int) -> str:
    return f"{value / 1024:g} GB" if value >= 1024 else f"{value} MB"


def gpu(asked: str, limit_mb: int) -> str:
    """ ": 2.00 GiB asked for, limit 4 GB", as far as either is known."""
    parts = [f"{asked} asked for" if asked else "", f"limit {megabytes(limit_mb)}" if limit_mb else ""]
    told = ", ".join(part for part in parts if part)
    return f": {told}" if told else ""


_ENDED = {
    "exit": "The process ended by itself{status} before it answered. Take out os._exit, exit and the like.",
    "signal": "The process crashed{status} before it answered.",
    "memory": "Stopped at the memory limit of {memory}. Look for a tensor or a list that grows.",
    "gpu_memory": "Your code ran out of GPU memory{gpu}. Use a smaller batch or model, and keep no tensors of earlier steps.",
    "gpu_limit": "Stopped: more GPU memory was in use than the limit of {gpu_limit}. Use a smaller batch or model.",
    "call": "Stopped: no answer after {call}. Look for an endless or a very slow loop.",
    "load": "Stopped after {wall} of wall time, while the hand-in was loaded. Do less outside of functions.",
    "wall": "Stopped after {wall} of wall time.",
    "cpu": "Stopped after {cpu} of CPU time.",
    "processes": "Stopped: more than {swarm} processes or threads wanted to run at once. Start fewer workers.",
    "forks": "Stopped: processes that it started kept starting others. Start workers from one process only.",
    "output": "Stopped after printing more than {flood}.",
    "protocol": "Stopped: something other than an answer was written to the checker's connection.",
}


def ended(reason: str, details: dict[str, Any]) -> str:
    """Why a student process had to end.

    Reasons: exit, signal, memory, gpu_memory, gpu_limit, call, load, wall, cpu, processes, forks, output, protocol.
    """
    return _ENDED[reason].format(**details)
