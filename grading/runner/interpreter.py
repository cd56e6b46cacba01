"""The Python that a sandbox runs, and the folders of the machine that it sees for that."""

import functools
import json
import subprocess
from dataclasses import dataclass
from pathlib import Path

CODE = "/opt/runner"  # where the sandbox finds this package
PACKAGE = Path(__file__).resolve().parent
_SYSTEM_TREES = ("/usr/lib", "/usr/lib32", "/usr/lib64", "/usr/libx32", "/usr/local/lib", "/usr/share/zoneinfo", "/etc/ld.so.cache")
LIBRARY_LINKS = ("/lib", "/lib32", "/lib64", "/libx32")


@dataclass(frozen=True)
class Interpreter:
    """A Python as a sandbox needs it: the real binary and the folders that it imports from."""

    binary: Path
    libraries: tuple[Path, ...]
    site: tuple[Path, ...]


@functools.lru_cache(maxsize=16)
def inspect_interpreter(python: Path) -> Interpreter:
    """Ask `python` where it lives. It is the runtime's own interpreter, so running it is as safe as having installed it."""
    program = "import json, os, sys; print(json.dumps([os.path.realpath(sys.executable), sys.path]))"
    answer = subprocess.run([python, "-I", "-c", program], capture_output=True, check=True, timeout=30, cwd="/", env={})
    binary, path = json.loads(answer.stdout)
    prefix = Path(binary).parents[1]
    libraries = tuple(folder for name in ("lib", "lib64") if (folder := prefix / name).is_dir() and not folder.is_symlink())
    site = tuple(Path(folder) for folder in path if Path(folder).name in ("site-packages", "dist-packages") and Path(folder).is_dir())
    return Interpreter(Path(binary), libraries, site)


@functools.lru_cache(maxsize=16)
def trees(interpreter: Interpreter) -> tuple[tuple[str, str], ...]:
    """(source, path inside) of all that a sandbox sees of the host, outermost first and none twice."""
    sources = [Path(path) for path in _SYSTEM_TREES if Path(path).exists()]
    sources += [Path(path) for path in LIBRARY_LINKS if Path(path).is_dir() and not Path(path).is_symlink()]
    sources += [interpreter.binary, *interpreter.libraries, *interpreter.site]
    kept: list[Path] = []
    for source in sorted(set(sources), key=lambda path: len(path.parts)):
        if not any(source.is_relative_to(other) for other in kept):
            kept.append(source)
    return (*((str(path), str(path)) for path in kept), (str(PACKAGE), f"{CODE}/grading/runner"))


@functools.lru_cache(maxsize=16)
def exposed(interpreter: Interpreter, private: tuple[Path, ...]) -> str:
    """A sentence about the first folder of `private` that lies in a tree that sandboxes see; empty when none does."""
    for folder in private:
        for source, _ in trees(interpreter):
            if folder.resolve().is_relative_to(Path(source).resolve()):
                return f"{folder} lies below {source}, which every hand-in can read. Move it elsewhere."
    return ""
