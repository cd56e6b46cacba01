#!/usr/bin/env python3
"""Write deploy/seccomp-runner.json, the system call filter of the container that runs homework.

Docker's own profile refuses what the sandbox is built with. This one allows that and refuses otherwise what Docker refuses a container
without capabilities; it names every call that libseccomp knows on 64-bit x86 and ARM, and takes what it does not name for unknown (ENOSYS):
calls of newer kernels, and clone3, whose flags are behind a pointer (libraries fall back to clone).

    .venv/bin/python scripts/seccomp_profile.py
"""

import errno
import json
from pathlib import Path
from typing import Any

import pyseccomp

PROFILE = Path(__file__).resolve().parent.parent / "deploy" / "seccomp-runner.json"
ARCHITECTURES = {"SCMP_ARCH_X86_64": pyseccomp.Arch.X86_64, "SCMP_ARCH_AARCH64": pyseccomp.Arch.AARCH64}
HIGHEST = 600  # numbers of calls that are asked for
NAMESPACES = 0x7E020000  # every CLONE_NEW… flag

MOUNT, UTS, IPC, USER, PID, NET = 0x20000, 0x4000000, 0x8000000, 0x10000000, 0x20000000, 0x40000000
DETACH, EMPTY_PATH, CLONED = 2, 4, 1 | 0x80000 | 0x8000

EQUAL, MASKED = "SCMP_CMP_EQ", "SCMP_CMP_MASKED_EQ"

Condition = tuple[int, str, int, int]  # argument, comparison, value, second value
NEEDED: list[tuple[str, Condition | None, str]] = [
    ("unshare", (0, EQUAL, MOUNT | PID | IPC | NET | UTS | USER, 0), "launcher.main: the namespaces of a warm process"),
    ("unshare", (0, EQUAL, PID, 0), "zygote_main.fork_apart: a pid namespace for each job"),
    ("setns", (1, EQUAL, PID, 0), "zygote_main.fork_apart: and back into its own for the next one"),
    ("unshare", (0, EQUAL, NET | UTS, 0), "zygote_main.become_slot: a network of its own for each slot"),
    ("unshare", (0, EQUAL, MOUNT | IPC, 0), "zygote_main.cage: the job's other namespaces"),
    ("unshare", (0, EQUAL, MOUNT | USER, 0), "launcher.lock_mounts: the second user and mount namespace, which locks mount flags"),
    ("mount", None, "launcher.build_root: private mounts, tmpfs, /proc (flags and kinds are behind pointers, which no filter reads)"),
    ("open_tree", (2, EQUAL, CLONED, 0), "launcher.clone_tree: detached copies of what a sandbox sees"),
    ("mount_setattr", None, "launcher.set_attributes: read-only, nosuid, nodev"),
    ("move_mount", (4, EQUAL, EMPTY_PATH, 0), "launcher.attach: the copies into the new root"),
    ("pivot_root", None, "launcher.build_root: away from the container's files"),
    ("umount2", (1, EQUAL, DETACH, 0), "launcher.build_root: lets go of the old root"),
    ("sethostname", None, "zygote_main.become_slot: the sandbox's own name, in its own uts namespace"),
]
"""What `launcher.py` and `zygote_main.py` do that Docker's profile refuses, with the arguments that they do it with."""

REFUSED: dict[str, str] = {
    "other people's processes": "ptrace process_vm_readv process_vm_writev process_madvise pidfd_getfd kcmp",
    "other roots, mounts by other ways": "chroot umount fsopen fsconfig fsmount fspick name_to_handle_at open_by_handle_at",
    "the kernel itself": "bpf perf_event_open kexec_load kexec_file_load init_module finit_module delete_module create_module query_module"
    " get_kernel_syms reboot syslog swapon swapoff acct sysfs _sysctl nfsservctl lookup_dcookie uselib ustat userfaultfd",
    "rings that pass by filters": "io_uring_setup io_uring_enter io_uring_register",
    "keys, quotas, watching all files": "add_key request_key keyctl quotactl quotactl_fd fanotify_init",
    "the clock, the terminal, the domain name": "settimeofday clock_settime stime adjtimex clock_adjtime vhangup setdomainname",
    "hardware and other personalities": "iopl ioperm modify_ldt personality vm86 vm86old",
    "memory of other nodes": "mbind set_mempolicy get_mempolicy set_mempolicy_home_node migrate_pages move_pages",
}


def profile() -> dict[str, Any]:
    known = {name for arch in ARCHITECTURES.values() for number in range(HIGHEST) if (name := _name(arch, number))}
    refused = {name for names in REFUSED.values() for name in names.split()}
    conditional = {name for name, _, _ in NEEDED} | {"clone", "clone3"}
    rules: list[dict[str, Any]] = [_allow(sorted(known - refused - conditional))]
    rules += [_allow([name], condition, why) for name, condition, why in NEEDED]
    rules += [
        _allow(["clone"], (0, MASKED, NAMESPACES, 0), "processes and threads, without new namespaces"),
        *(_refuse(sorted(names.split()), errno.EPERM, why) for why, names in REFUSED.items()),
    ]
    return {
        "defaultAction": "SCMP_ACT_ERRNO",
        "defaultErrnoRet": errno.ENOSYS,
        "archMap": [{"architecture": name, "subArchitectures": []} for name in ARCHITECTURES],
        "syscalls": rules,
    }


def _name(arch: pyseccomp.Arch, number: int) -> str:
    try:
        found = pyseccomp.resolve_syscall(arch, number)
    except (ValueError, OSError):
        return ""
    return found.decode() if isinstance(found, bytes) else str(found)


def _allow(names: list[str], condition: Condition | None = None, why: str = "") -> dict[str, Any]:
    rule: dict[str, Any] = {"names": names, "action": "SCMP_ACT_ALLOW"}
    if condition:
        index, comparison, value, second = condition
        rule["args"] = [{"index": index, "value": value, "valueTwo": second, "op": comparison}]
    return rule | ({"comment": why} if why else {})


def _refuse(names: list[str], number: int, why: str) -> dict[str, Any]:
    return {"names": names, "action": "SCMP_ACT_ERRNO", "errnoRet": number, "comment": why}


if __name__ == "__main__":
    PROFILE.write_text(json.dumps(profile(), indent=1) + "\n")
