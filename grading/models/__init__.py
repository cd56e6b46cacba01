from grading.models.homework import (
    GPU_MINUTES,
    Accommodation,
    Bundle,
    Check,
    Component,
    CoursePolicy,
    Extension,
    Homework,
    SectionDue,
    Submission,
    SubmissionFile,
)
from grading.models.queue import QueuePause, RunIncident
from grading.models.runs import GpuGrant, GpuSlot, GpuUse, OutputFile, QueueShare, Run, RunnerHost, RunResult

__all__ = [
    "GPU_MINUTES",
    "Accommodation",
    "Bundle",
    "Check",
    "Component",
    "CoursePolicy",
    "Extension",
    "GpuGrant",
    "GpuSlot",
    "GpuUse",
    "Homework",
    "OutputFile",
    "QueuePause",
    "QueueShare",
    "Run",
    "RunIncident",
    "RunResult",
    "RunnerHost",
    "SectionDue",
    "Submission",
    "SubmissionFile",
]
