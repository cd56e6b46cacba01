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
from grading.models.runs import Run, RunResult

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
    "SectionDue",
    "Submission",
    "SubmissionFile",
]
