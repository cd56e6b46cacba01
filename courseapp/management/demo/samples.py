"""The sample hand-ins of the example course: demo/<homework>/<name>/<files>; a name says how good it is (correct, partial, broken)."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Quality = Literal["correct", "partial", "broken"]


@dataclass(frozen=True)
class Sample:
    homework: str
    name: str
    files: Mapping[str, bytes]

    @property
    def digests(self) -> dict[str, str]:
        return {path: hashlib.sha256(content).hexdigest() for path, content in self.files.items()}

    @property
    def seed(self) -> int:
        """Drawn from the files themselves, so that recording them again gives the same inputs."""
        return int(hashlib.sha256(repr(sorted(self.digests.items())).encode()).hexdigest()[:12], 16)


def read_samples(folder: Path) -> dict[str, dict[str, Sample]]:
    """By homework and name. `folder` is the course's demo/."""
    found: dict[str, dict[str, Sample]] = {}
    for place in sorted(path for path in folder.glob("*/*") if path.is_dir()):
        files = {path.name: path.read_bytes() for path in sorted(place.iterdir()) if path.is_file()}
        found.setdefault(place.parent.name, {})[place.name] = Sample(place.parent.name, place.name, files)
    return found


def of_quality(samples: Mapping[str, Sample], quality: Quality) -> list[Sample]:
    return [sample for name, sample in samples.items() if name.startswith(f"{quality}-")]
