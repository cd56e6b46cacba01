"""Which file of one folder is which of another, by path and content."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Generic, Literal, Protocol, TypeVar

Kind = Literal["changed", "renamed", "added", "removed", "same"]
ORDER: tuple[Kind, ...] = ("changed", "added", "renamed", "removed", "same")


class Hashed(Protocol):
    @property
    def sha256(self) -> str: ...


F = TypeVar("F", bound=Hashed)


@dataclass(frozen=True)
class Pair(Generic[F]):
    """`old` is None for an added file, `new` for a removed one."""

    kind: Kind
    path: str
    old_path: str
    old: F | None
    new: F | None


def pair_files(old: Mapping[str, F], new: Mapping[str, F]) -> list[Pair[F]]:
    """By path; a file that lies elsewhere with the very same content was renamed. What changed comes first, what is the same last."""
    found = [
        Pair("same" if file.sha256 == new[path].sha256 else "changed", path, path, file, new[path])
        for path, file in old.items()
        if path in new
    ]
    gone: dict[str, list[str]] = {}
    for path in sorted(old.keys() - new.keys(), reverse=True):
        gone.setdefault(old[path].sha256, []).append(path)
    for path in sorted(new.keys() - old.keys()):
        file = new[path]
        if former := gone.get(file.sha256):
            before = former.pop()
            found.append(Pair("renamed", path, before, old[before], file))
        else:
            found.append(Pair("added", path, path, None, file))
    found += [Pair("removed", path, path, old[path], None) for paths in gone.values() for path in paths]
    return sorted(found, key=lambda pair: (ORDER.index(pair.kind), pair.path))
