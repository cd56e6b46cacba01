"""What a page says to the upload box: `components/_upload.html` draws it, `upload.js` checks by it before anything is sent."""

from dataclasses import dataclass


@dataclass(frozen=True)
class LateCost:
    """What handing in now would cost. The form sends `days` back as `confirm_late` when the student agrees."""

    days: int
    percent: str  # "10 %"
    sentence: str  # "Handed in now it is 1 day late and loses 5 of 50 points."


@dataclass(frozen=True)
class UploadBox:
    action: str
    component: str  # "theory" or "practice": names the box on a page that has two
    required: tuple[str, ...]
    allowed: tuple[str, ...]  # patterns such as "*.py" beyond the required names; "*.zip" where a zip is taken
    max_file_bytes: int
    max_total_bytes: int
    max_files: int
    own_work: str  # the statement that the student agrees to
    on_time: str  # "On time until Sun 22 Oct 23:59 EDT."
    late: LateCost | None = None
    again: bool = False  # something was handed in before

    @property
    def accept(self) -> str:
        """For the file picker: the endings of all names that are taken."""
        names = (*self.required, *self.allowed)
        endings = {f".{name.rsplit('.', 1)[1]}" for name in names if "." in name and "*" not in name.rsplit(".", 1)[1]}
        return "" if any("." not in name for name in names) else ",".join(sorted(endings))

    @property
    def wanted(self) -> tuple[str, ...]:
        """The names and patterns that are taken, but for the zip, which is said in words."""
        return tuple(name for name in dict.fromkeys((*self.required, *self.allowed)) if name != "*.zip")

    @property
    def takes_zip(self) -> bool:
        return "*.zip" in self.allowed

    @property
    def rules(self) -> dict[str, object]:
        """The JSON block that upload.js reads."""
        return {
            "required": list(self.required),
            "allowed": list(self.allowed),
            "maxFileBytes": self.max_file_bytes,
            "maxTotalBytes": self.max_total_bytes,
            "maxFiles": self.max_files,
            "late": None if self.late is None else {"days": self.late.days, "percent": self.late.percent, "sentence": self.late.sentence},
        }
