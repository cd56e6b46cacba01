from grading.models.homework import (
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
from grading.models.runs import GpuGrant, GpuSlot, GpuUse, OutputFile, QueueShare, Run, RunnerHost, RunResult

__all__ = [
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
    "QueueShare",
    "Run",
    "RunResult",
    "RunnerHost",
    "SectionDue",
    "Submission",
    "SubmissionFile",
]
