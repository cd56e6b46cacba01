"""What this machine allows: a trial sandbox is built, and every wall of it looked at. Where one is missing, nothing runs."""

import contextlib
import errno
import os
import re
import select
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from grading.runner import cgroups
from grading.runner.interpreter import inspect_interpreter
from grading.runner.limits import Limits
from grading.runner.sandbox import Factory, Sandbox
from grading.runner.zygote import LaunchError, WarmUpError

TRIALS = 3
OLDEST_KERNEL = (5, 14)  # mount_setattr, and a count of processes per user namespace


@dataclass(frozen=True)
class Tier:
    """How runs are caged here. `why_not_better` is empty for the best tier, else says what would lift it."""

    name: str
    why_not_better: str = ""


@dataclass(frozen=True)
class Refused:
    """No tier holds, so nothing runs: why, and what an administrator can do about it. `passing`: another trial may well succeed."""

    reason: str
    fix: str
    passing: bool = False


def probe() -> tuple[Tier | Refused, Factory | None]:
    """Build a sandbox with this process's own Python and look whether every wall stands.

    A trial that was cut short says nothing about the machine and is made again: a process of it was killed, or the machine was busy.
    """
    for _ in range(TRIALS - 1):
        tier, factory = _probe()
        if isinstance(tier, Tier) or not tier.passing:
            return tier, factory
        if factory is not None:
            factory.close()
    return _probe()


def _probe() -> tuple[Tier | Refused, Factory | None]:
    if not sys.platform.startswith("linux"):
        return Refused("The sandbox needs Linux.", "Run the runner host on Linux x86-64."), None
    release = os.uname().release
    if tuple(int(number) for number in re.findall(r"\d+", release)[:2]) < OLDEST_KERNEL:
        return Refused(f"Linux {release} is too old for the sandbox.", "Use Linux 5.14 or newer."), None
    try:
        found = cgroups.find()
        if found:
            cgroups.remove_leftovers(found)
        factory = Factory(found)
    except (RuntimeError, OSError) as error:
        return Refused(f"The system call filter cannot be built: {error}.", "Install libseccomp: apt-get install libseccomp2"), None
    with tempfile.TemporaryFile() as output:
        try:
            sandbox = factory.start(
                "probe_main",
                {},
                interpreter=inspect_interpreter(Path(sys.executable)),
                limits=Limits(cpu_s=10),
                memory_mb=256,
                stdout=output.fileno(),
                stderr=output.fileno(),
                fds=[],
                modules=(),
            )
        except LaunchError as error:
            refused = explain(error)
        except (OSError, subprocess.SubprocessError, WarmUpError) as error:
            problem = str(error).rstrip(".")
            refused = Refused(f"No process could be started: {problem}.", "Look at the limits of this user: ulimit -a", passing=True)
        else:
            try:
                tier = _judge(sandbox, output.fileno())
            finally:
                sandbox.close()
                factory.cool()
            return tier, factory
    factory.close()
    return refused, None


def _judge(sandbox: Sandbox, output: int) -> Tier | Refused:
    while not sandbox.ended:
        if not select.select([sandbox], [], [], 20)[0]:
            return Refused("A trial sandbox did not answer within 20 s.", "Look at the machine's load and try again.", passing=True)
        sandbox.poll()
    if sandbox.error:
        return explain(sandbox.error)
    said = os.pread(output, 2000, 0).decode(errors="replace").strip()
    if sandbox.exit is None or sandbox.exit.status != 0:
        killed = not said
        return Refused(f"A trial sandbox failed: {said or sandbox.exit}.", "Report this with the kernel's version.", passing=killed)
    return Tier("namespaces")


def explain(error: LaunchError) -> Refused:
    """What a refused step means for whoever runs the machine."""
    reason = f"A sandbox could not be built ({error})."
    if error.number == errno.ENOSYS:
        return Refused(reason, "Use Linux 5.14 or newer, and allow its mount calls to this process.")
    if error.step in ("unshare", "uid_map") or error.number in (errno.EPERM, errno.EACCES, errno.ENOSPC, errno.EUSERS):
        for path, wanted, command in (
            ("/proc/sys/kernel/apparmor_restrict_unprivileged_userns", "0", "sysctl -w kernel.apparmor_restrict_unprivileged_userns=0"),
            ("/proc/sys/kernel/unprivileged_userns_clone", "1", "sysctl -w kernel.unprivileged_userns_clone=1"),
        ):
            with contextlib.suppress(OSError):
                if Path(path).read_text().strip() != wanted:
                    return Refused(reason, f"As root: {command}")
        with contextlib.suppress(OSError):
            if Path("/proc/sys/user/max_user_namespaces").read_text().strip() == "0":
                return Refused(reason, "As root: sysctl -w user.max_user_namespaces=15000")
        return Refused(
            reason,
            "Allow user namespaces to this process. In a container: start it with --security-opt seccomp=deploy/seccomp-runner.json "
            "--security-opt apparmor=unconfined --security-opt systempaths=unconfined.",
        )
    return Refused(reason, "Report this with the kernel's version.")
