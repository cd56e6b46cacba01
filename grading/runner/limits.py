"""What one run of a student's code may use."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """The caps of one run. Seconds, megabytes (2**20 bytes) and counts; `call_s` is the time for one call into the student's code.

    `wall_s` counts the time that the checker waits for the student's code, over all its processes; `cpu_s`, `memory_mb`, `tmp_mb`
    (for /tmp and again for /dev/shm), `files` and `processes` hold for each student process and all that it starts.
    """

    wall_s: float = 60
    cpu_s: float = 60
    call_s: float = 10
    memory_mb: int = 2048
    tmp_mb: int = 64
    files: int = 4096
    processes: int = 64
    output_kb: int = 64
    file_mb: int = 64
    threads: int = 1
    gpu_memory_mb: int = 0  # of each process of the student's; 0 is all that the GPU has
