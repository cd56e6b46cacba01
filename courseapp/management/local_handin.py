"""A hand-in as it lies on the instructor's disk: a folder, a zip, or one file."""

from pathlib import Path

from grading.runner.manifest import ComponentSpec
from grading.services.archives import MB, BadNameError, RefusedError, Rules, clean_name, is_dropped, unpack


def read_hand_in(path: Path, component: ComponentSpec) -> dict[str, bytes]:
    """The files by their paths inside the hand-in, under the caps of `component`. RefusedError when they would not be taken.

    A single file stands for the one required file, whatever its name is.
    """
    rules = Rules(component.max_file_mb * MB, component.max_total_mb * MB, component.max_files)
    if path.is_dir():
        return _folder(path, rules)
    if path.suffix.lower() == ".zip":
        with path.open("rb") as archive:
            return unpack(path.name, archive, rules).files
    required = component.files_required
    return _read({required[0] if len(required) == 1 and Path(required[0]).suffix == path.suffix else path.name: path}, rules)


def _folder(folder: Path, rules: Rules) -> dict[str, bytes]:
    found = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_file() and not path.is_symlink() and not is_dropped(name) and not name.startswith("."):
            try:
                found[clean_name(name)] = path
            except BadNameError as bad:
                raise RefusedError(f"“{name}” {bad}.", name) from None
    return _read(found, rules)


def _read(found: dict[str, Path], rules: Rules) -> dict[str, bytes]:
    if len(found) > rules.max_files:
        raise RefusedError(f"There are {len(found)} files; accepted are {rules.max_files}.")
    total = 0
    for name, path in found.items():
        size = path.stat().st_size
        total += size
        if size > rules.max_file:
            raise RefusedError(f"“{name}” has {size // MB} MB; accepted are {rules.max_file // MB} MB.", name)
        if total > rules.max_total:
            raise RefusedError(f"The files have more than {rules.max_total // MB} MB together.")
    return {name: path.read_bytes() for name, path in found.items()}
