"""The parts of the memory watch that need no sandbox; the rest is in test_attacks.py."""

import os
from pathlib import Path

from grading.runner.memory import CgroupFiles, find_cgroup


def cgroup(tmp_path: Path, own: str, files: dict[str, str]) -> CgroupFiles | None:
    """A tree as the kernel shows it; plain folders, so a made group has none of the kernel's own files."""
    for name, text in files.items():
        path = tmp_path / "fs" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (tmp_path / "fs").mkdir(exist_ok=True)
    (tmp_path / "own").write_text(own)
    return find_cgroup(tmp_path / "fs", tmp_path / "own")


def test_a_group_that_is_not_there_is_not_used(tmp_path: Path) -> None:
    assert cgroup(tmp_path, "4:memory:/jobs\n0::/jobs\n", {}) is None


def test_version_two_without_a_subtree_of_ones_own_is_not_used(tmp_path: Path) -> None:
    assert cgroup(tmp_path, "0::/jobs\n", {}) is None


def test_a_host_in_a_delegated_unit_makes_its_groups_beside_itself(tmp_path: Path) -> None:
    files = {"system.slice/runner.service/cgroup.subtree_control": "", "system.slice/cgroup.subtree_control": "memory"}
    found = cgroup(tmp_path, "0::/system.slice/runner.service/host\n", files)
    unit = tmp_path / "fs" / "system.slice" / "runner.service"
    assert found is not None
    assert (found.version, found.group) == (2, unit)
    assert (unit / "cgroup.subtree_control").read_text() == "+memory"


def test_limits_and_events_of_version_two(tmp_path: Path) -> None:
    group = tmp_path / "jobs"
    group.mkdir()
    files = CgroupFiles(2, "memory.max", "memory.swap.max", "0", "memory.events", group)
    watch = files.make(1000)
    assert (watch.path / "memory.max").read_text() == "1000"
    (watch.path / "memory.events").write_text("low 0\noom 1\noom_kill 0\n")
    assert not watch.exceeded([])
    (watch.path / "memory.events").write_text("low 0\noom 1\noom_kill 1\n")
    assert watch.exceeded([])
    (watch.path / "cgroup.procs").touch()
    with watch.entry() as (entry,):
        os.write(entry, b"0")
    assert (watch.path / "cgroup.procs").read_text() == "0"
