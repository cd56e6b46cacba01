"""`python -m grading.runner.doctor --runtime PYTHON [--json]`: the doctor for a user who has the code and a runtime, and nothing else."""

import argparse
import functools
import os
import sys
from pathlib import Path

from grading.runner.doctor import command
from grading.runner.runtimes import Runtime


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m grading.runner.doctor", description="Attack the sandbox of this machine.")
    parser.add_argument("--runtime", type=Path, required=True, metavar="PYTHON", help="the interpreter of the runtime, with torch")
    command.add_arguments(parser)
    options = parser.parse_args()
    if not os.access(options.runtime, os.X_OK):
        parser.error(f"{options.runtime} is no program; give the path of the runtime's Python.")
    runtime = Runtime("torch", options.runtime.absolute(), "")
    say = functools.partial(print, flush=True)
    log = functools.partial(print, flush=True, file=sys.stderr)
    try:
        return command.run(runtime, names=options.only, classes=options.classes, as_json=options.json, out=say, log=log)
    except command.UsageError as error:
        parser.error(str(error))


if __name__ == "__main__":
    sys.exit(main())
