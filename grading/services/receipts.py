"""Receipts: a text that says what was handed in and when, signed by this site.

The text is made for people and stays as it was signed. Whoever has it can have it checked, without an account and without our records:
the signature is an HMAC-SHA256 with a key derived from SECRET_KEY; SECRET_KEY_FALLBACKS keep older receipts valid when that is changed.
Runs of blanks, line ends, empty lines and marks of quoting do not matter to the signature, because mail programs change them.
"""

import hashlib
import re
import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal
from zoneinfo import ZoneInfo

from django.conf import settings
from django.core.files.uploadedfile import UploadedFile
from django.utils.crypto import constant_time_compare, salted_hmac

from courseapp.formats import moment
from grading.models import Submission, SubmissionFile
from grading.policy.late import Due
from grading.services import archives

SALT = "grading.receipts.v1"
TITLE = "Hand-in receipt"
ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
"""Crockford's base 32: without I, L, O and U, which are taken for digits or make words."""

MOST_LEFT_OUT = 50
"""Names of dropped files; an archive may hold thousands, and the text is stored, mailed and pasted."""

# Two patterns and not one over the whole text, which would look for an end from each of many beginnings.
_BEGINNING = re.compile(rf"^{TITLE} (?P<code>[0-9A-Z]{{4}}-[0-9A-Z]{{4}})$", re.MULTILINE)
_END = re.compile(r"^Signature (?P<signature>[0-9a-f]{64})$", re.MULTILINE)
_FILE = re.compile(r"^sha256 ([0-9a-f]{64}) (\d+) bytes? (.+)$", re.MULTILINE)


@dataclass(frozen=True)
class Verdict:
    """What became of checking a receipt, as the page shows it. `lines` are about the files that came with it."""

    genuine: bool
    tone: Literal["good", "warn", "bad"]
    title: str
    sentence: str
    code: str = ""
    lines: tuple[str, ...] = ()


def new_code() -> str:
    """Such as 7Q4K-2M9P: 40 random bits, easy to read aloud."""
    letters = "".join(secrets.choice(ALPHABET) for _ in range(8))
    return f"{letters[:4]}-{letters[4:]}"


def compose(submission: Submission, files: Iterable[SubmissionFile], *, due: Due, verdict: str) -> str:
    """The text to sign, one fact a line."""
    component, member = submission.component, submission.enrollment
    homework, course = component.homework, component.homework.course
    zone = course.zone
    ids = ", ".join(part for part in (member.username, member.institutional_id, member.email) if part)
    files = list(files)
    lines = [
        f"{TITLE} {submission.receipt_code}",
        "",
        _fact("Course", f"{course.code} {course.title}, {course.term}"),
        _fact("Homework", f"{homework.number}, {homework.title}"),
        _fact("Component", f"{component.kind}, {component.points.normalize():f} points"),
        _fact("Student", f"{member.display_name} ({ids})"),
        _fact("Hand-in", f"#{submission.number}"),
    ]
    if submission.on_behalf_reason:
        lines.append(
            _fact("Handed in", f"by {submission.handed_in_by.display_name} on the student's behalf: {submission.on_behalf_reason}")
        )
    lines += [_fact("Received", _time(submission.received_at, zone)), _fact("Complete", _time(submission.completed_at, zone))]
    if submission.stated_at:
        lines.append(_fact("Counted", f"{_time(submission.stated_at, zone)}, as stated by staff"))
    lines += [
        _fact("Due", f"{due}"),
        _fact("Lateness", verdict),
        _fact("Own work", "stated by the student" if submission.own_work else "not stated"),
        "",
        _fact("Files", f"{len(files)}"),
    ]
    lines += [f"  sha256 {file.sha256}  {file.size} {'byte' if file.size == 1 else 'bytes'}  {file.path}" for file in files]
    if submission.dropped:
        more = len(submission.dropped) - MOST_LEFT_OUT
        lines.append(_fact("Left out", ", ".join(submission.dropped[:MOST_LEFT_OUT]) + (f" and {more} more" if more > 0 else "")))
    return "\n".join(lines) + "\n"


def sign(text: str) -> str:
    return _signature(text, settings.SECRET_KEY)


def signing_keys() -> list[str]:
    """Today's key and the former ones."""
    return [str(settings.SECRET_KEY), *map(str, settings.SECRET_KEY_FALLBACKS)]


def verify(text: str, signature: str, signed_with: Sequence[str] | None = None) -> bool:
    """Whether this site signed the text, with one of its keys or of those given."""
    return any(constant_time_compare(_signature(text, key), signature) for key in signed_with or signing_keys())


def document(submission: Submission) -> str:
    return submission.receipt_document


def judge(text: str, files: "Sequence[UploadedFile[Any]]" = ()) -> Verdict:
    """Check a receipt as somebody pasted it, and files against it. Nothing is looked up: the signature alone decides."""
    text = _canonical(text)
    beginning = _BEGINNING.search(text)
    end = _END.search(text, beginning.end()) if beginning else None
    if beginning is None or end is None:
        return Verdict(
            False,
            "bad",
            "This is not a whole receipt",
            f"A receipt begins with the line “{TITLE}” and its code, and ends with the line “Signature” and 64 digits. "
            "Paste both and everything between them.",
        )
    code, signed = beginning["code"], text[beginning.start() : end.start()]
    if not verify(signed, end["signature"]):
        return Verdict(
            False,
            "bad",
            "The signature does not hold",
            f"The text of receipt {code} is not the one that this site signed: something in it was changed, or another site signed it.",
            code,
        )
    listed = {path: sha256 for sha256, _, path in _FILE.findall(signed)}
    lines, all_equal = _compare(listed, files)
    if files and not all_equal:
        sentence = f"This site signed receipt {code}, but the files that you chose are not all the ones it names."
        return Verdict(True, "warn", "The receipt is genuine, the files differ", sentence, code, lines)
    sentence = f"This site signed receipt {code}, and nothing in its text has changed since."
    if files:
        sentence += " The files that you chose are the ones it names."
    return Verdict(True, "good", "The receipt is genuine", sentence, code, lines)


def _compare(listed: dict[str, str], files: "Sequence[UploadedFile[Any]]") -> tuple[tuple[str, ...], bool]:
    """A line for each file, and whether all of them are in the receipt as they are. Zip files are looked into."""
    lines: list[str] = []
    all_equal = True
    for name, sha256 in _digests(listed, files):
        equal = [path for path, digest in listed.items() if digest == sha256]
        if sha256 and equal:
            lines.append(f"{name} is {equal[0]} of the receipt, byte for byte.")
            continue
        all_equal = False
        if not sha256:
            lines.append(name)
        elif name in listed:
            lines.append(f"{name} differs from the {name} that was handed in.")
        else:
            lines.append(f"{name} is not in the receipt.")
    return tuple(lines), all_equal


def _digests(listed: dict[str, str], files: "Sequence[UploadedFile[Any]]") -> Iterable[tuple[str, str]]:
    """Name and SHA-256 of each file; for an archive that cannot be read, its sentence and nothing."""
    left = archives.DEFAULT.max_total  # for all archives together: small ones unpack to much more than was sent
    for file in files:
        name = " ".join((file.name or "file").split())
        digest = hashlib.sha256()
        for chunk in file.chunks():
            digest.update(chunk)
        if not name.lower().endswith(".zip") or digest.hexdigest() in listed.values():
            yield name, digest.hexdigest()
            continue
        file.seek(0)
        try:
            unpacked = archives.unpack(name, file, archives.Rules(max_total=left))  # type: ignore[arg-type]  # an uploaded file reads and seeks
        except archives.RefusedError as error:
            yield error.reason, ""
        else:
            left -= sum(map(len, unpacked.files.values()))
            for path, content in unpacked.files.items():
                yield " ".join(path.split()), hashlib.sha256(content).hexdigest()


def _fact(label: str, value: str) -> str:
    """A line that no value can break out of."""
    return f"{label:<10}  {' '.join(value.split())}"


def _time(value: datetime, zone: ZoneInfo) -> str:
    return f"{moment(value, zone, seconds=True, year=True)} ({value.astimezone(UTC):%Y-%m-%d %H:%M:%S.%f} UTC)"


def _canonical(text: str) -> str:
    lines = (" ".join(line.lstrip("> ").split()) for line in text.lstrip("\N{BOM}").replace("\r\n", "\n").replace("\r", "\n").split("\n"))
    return "\n".join(line for line in lines if line)


def _signature(text: str, key: str | bytes) -> str:
    return salted_hmac(SALT, _canonical(text), secret=key, algorithm="sha256").hexdigest()
