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
from grading.models.runs import OutputFile, Run, RunnerHost, RunResult

__all__ = [
    "Accommodation",
    "Bundle",
    "Check",
    "Component",
    "CoursePolicy",
    "Extension",
    "Homework",
    "OutputFile",
    "Run",
    "RunResult",
    "RunnerHost",
    "SectionDue",
    "Submission",
    "SubmissionFile",
]
