"""Where control groups are made and what is written to them, on trees as the kernel shows them; the real ones are in test_slots.py."""

import os
from pathlib import Path

from grading.runner.cgroups import Cgroups, Group, find


def found_in(tmp_path: Path, own: str, files: dict[str, str]) -> Cgroups | None:
    """Plain folders, so a group that is made has none of the kernel's own files, and every write to them works."""
    for name, text in files.items():
        path = tmp_path / "fs" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (tmp_path / "fs").mkdir(exist_ok=True)
    (tmp_path / "own").write_text(own)
    return find(tmp_path / "fs", tmp_path / "own")


def emptied(group: Group) -> dict[str, str]:
    """What was written to a made-up group, by file; the files are removed, as the kernel's go with their folder."""
    written = {}
    for place in sorted(set(group._places.values())):
        for path in place.iterdir():
            written[path.name] = path.read_text()
            path.unlink()
    return written


def test_a_group_that_is_not_there_is_not_used(tmp_path: Path) -> None:
    assert found_in(tmp_path, "4:memory:/jobs\n0::/jobs\n", {}) is None


def test_version_two_without_a_subtree_of_ones_own_is_not_used(tmp_path: Path) -> None:
    assert found_in(tmp_path, "0::/jobs\n", {}) is None


def test_a_host_in_a_delegated_unit_makes_its_groups_beside_itself(tmp_path: Path) -> None:
    unit = tmp_path / "fs" / "system.slice" / "runner.service"
    own = "system.slice/runner.service/cgroup.subtree_control"
    found = found_in(
        tmp_path, "0::/system.slice/runner.service/host\n", {own: "memory pids cpu", "system.slice/cgroup.subtree_control": ""}
    )
    assert found is not None
    assert found.version == 2
    assert {folder.parent for folder in found.folders.values()} == {unit}
    assert sorted(found.folders) == ["cpu", "cpuacct", "memory", "pids"]


def test_only_the_controllers_that_work_are_used(tmp_path: Path) -> None:
    found = found_in(tmp_path, "4:memory:/jobs\n3:pids:/elsewhere\n2:cpu,cpuacct:/jobs\n", {"memory/jobs/x": "", "cpuacct/jobs/x": ""})
    assert found is not None
    assert (found.version, sorted(found.folders)) == (1, ["cpuacct", "memory"])


def test_limits_and_counts_of_version_two(tmp_path: Path) -> None:
    group = Group(Cgroups(2, dict.fromkeys(("memory", "pids", "cpu", "cpuacct"), tmp_path)))
    place = group._places["memory"]
    (place / "memory.swap.max").touch()
    group.limit(1000, 64)
    (place / "memory.events").write_text("low 0\noom 1\noom_kill 3\n")
    (place / "cpu.stat").write_text("usage_usec 2500000\nuser_usec 1\n")
    assert (group.kills(), group.cpu_s()) == (3, 2.5)
    (place / "cgroup.procs").touch()
    with group.entry() as (entry,):
        os.write(entry, b"0")
    written = emptied(group)
    assert {name: written[name] for name in ("memory.max", "memory.swap.max", "pids.max", "cgroup.procs")} == {
        "memory.max": "1000",
        "memory.swap.max": "0",
        "pids.max": "65",
        "cgroup.procs": "0",
    }
    group.close()
    assert not place.exists()


def test_limits_and_counts_of_version_one(tmp_path: Path) -> None:
    """Four folders; memory with swap is raised before memory alone, and lowered after it, or the kernel refuses."""
    folders = {name: tmp_path / name for name in ("memory", "pids", "cpu", "cpuacct")}
    for folder in folders.values():
        folder.mkdir()
    group = Group(Cgroups(1, folders))
    memory = group._places["memory"]
    (memory / "memory.memsw.limit_in_bytes").touch()
    group.limit(1000, 16)
    (memory / "memory.oom_control").write_text("oom_kill_disable 0\nunder_oom 0\noom_kill 1\n")
    (group._places["cpuacct"] / "cpuacct.usage").write_text("1500000000\n")
    assert (group.kills(), group.cpu_s()) == (1, 1.5)
    group.stand_back()
    assert (group._places["cpu"] / "cpu.shares").read_text() == "2"
    group.limit(4000, 16)
    assert emptied(group) == {
        "memory.limit_in_bytes": "4000",
        "memory.memsw.limit_in_bytes": "4000",
        "memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 1\n",
        "cpuacct.usage": "1500000000\n",
        "pids.max": "17",
        "cpu.shares": "1024",
    }
    group.close()
    assert not memory.exists()
