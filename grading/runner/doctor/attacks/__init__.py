"""The battery: attacks by class, in the order in which they are made."""

from collections.abc import Mapping

from grading.runner.doctor.attack import Attack
from grading.runner.doctor.attacks import (
    answers,
    exits,
    files,
    frames,
    imports,
    kernel,
    leaks,
    leftovers,
    memory,
    output,
    pickles,
    processes,
    searches,
)

BATTERY: Mapping[str, tuple[Attack, ...]] = {
    module.__name__.rpartition(".")[2]: module.ATTACKS
    for module in (answers, frames, exits, leaks, searches, pickles, imports, leftovers, kernel, files, output, memory, processes)
}
