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
from grading.models.runs import Run, RunnerHost, RunResult

__all__ = [
    "Accommodation",
    "Bundle",
    "Check",
    "Component",
    "CoursePolicy",
    "Extension",
    "Homework",
    "Run",
    "RunResult",
    "RunnerHost",
    "SectionDue",
    "Submission",
    "SubmissionFile",
]
