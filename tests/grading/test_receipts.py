import secrets
import time
import zipfile
from datetime import UTC, datetime
from io import BytesIO

import pytest
from django.conf import LazySettings
from django.core.files.uploadedfile import SimpleUploadedFile

from grading.models import Submission
from grading.policy.late import Due
from grading.services import receipts
from tests.factories import EnrollmentFactory, HomeworkFactory, SubmissionFactory, UserFactory, component

pytestmark = pytest.mark.django_db

MLP, NOTES = b"x = 1\n", b"n"


@pytest.fixture
def submission() -> Submission:
    practice = component(HomeworkFactory.create(), "practice")
    student = EnrollmentFactory.create(
        course=practice.homework.course, first_name="Ada", last_name="Lovelace", username="al1815", email="ada@example.edu"
    )
    made = SubmissionFactory.create(
        component=practice,
        enrollment=student,
        received_at=datetime(2023, 10, 23, 3, 51, 7, 123456, tzinfo=UTC),
        completed_at=datetime(2023, 10, 23, 3, 51, 8, 5, tzinfo=UTC),
        receipt_code="7Q4K-2M9P",
        dropped=[".DS_Store"],
        files={"mlp.py": MLP, "a note.md": NOTES},
    )
    made.receipt_text = receipts.compose(made, made.files.all(), due=Due.parse("2023-10-22 23:59", "America/New_York"), verdict="on time")
    made.receipt_signature = receipts.sign(made.receipt_text)
    made.save()
    return made


def upload(name: str, content: bytes) -> SimpleUploadedFile:
    return SimpleUploadedFile(name, content)


def test_the_text_says_everything_a_line_each(submission: Submission) -> None:
    files = {row.path: row.sha256 for row in submission.files.all()}
    assert submission.receipt_text == (
        "Hand-in receipt 7Q4K-2M9P\n"
        "\n"
        "Course      DS-GA 1008 Deep Learning, Fall 2023\n"
        "Homework    1, Backpropagation\n"
        "Component   practice, 50 points\n"
        "Student     Ada Lovelace (al1815, ada@example.edu)\n"
        "Hand-in     #1\n"
        "Received    Sun 22 Oct 2023 23:51:07 EDT (2023-10-23 03:51:07.123456 UTC)\n"
        "Complete    Sun 22 Oct 2023 23:51:08 EDT (2023-10-23 03:51:08.000005 UTC)\n"
        "Due         Sun 22 Oct 23:59 EDT\n"
        "Lateness    on time\n"
        "Own work    stated by the student\n"
        "\n"
        "Files       2\n"
        f"  sha256 {files['a note.md']}  1 byte  a note.md\n"
        f"  sha256 {files['mlp.py']}  6 bytes  mlp.py\n"
        "Left out    .DS_Store\n"
    )


def test_on_behalf_is_said_with_who_why_and_the_stated_time(submission: Submission) -> None:
    submission.handed_in_by = UserFactory.create(first_name="Tomás", last_name="Rey")
    submission.on_behalf_reason = "Sent by mail:\nthe site was down."
    submission.stated_at = datetime(2023, 10, 23, 2, 0, tzinfo=UTC)
    submission.own_work = False
    text = receipts.compose(submission, [], due=Due.parse("2023-10-22 23:59", "America/New_York"), verdict="on time")
    assert "Handed in   by Tomás Rey on the student's behalf: Sent by mail: the site was down.\n" in text
    assert "Counted     Sun 22 Oct 2023 22:00:00 EDT (2023-10-23 02:00:00.000000 UTC), as stated by staff\n" in text
    assert "Own work    not stated\n" in text


def test_no_name_can_add_a_line(submission: Submission) -> None:
    submission.enrollment.first_name = "Ada\nLateness    on time"
    text = receipts.compose(submission, [], due=Due.parse("2023-10-22 23:59", "America/New_York"), verdict="4 days late")
    assert text.count("\nLateness ") == 1


def test_codes_are_readable_and_do_not_repeat() -> None:
    codes = {receipts.new_code() for _ in range(1000)}
    assert len(codes) == 1000
    assert {len(code) for code in codes} == {9}
    assert set("".join(codes)) <= set(receipts.ALPHABET) | {"-"}


def test_a_signature_holds_for_its_text_alone(submission: Submission) -> None:
    text, signature = submission.receipt_text, submission.receipt_signature
    assert receipts.verify(text, signature)
    assert not receipts.verify(text.replace("23:51:07", "23:11:07"), signature)
    assert not receipts.verify(text, "0" * 64)
    assert not receipts.verify(text, "")


def test_a_former_key_still_vouches_when_it_is_named(submission: Submission, settings: LazySettings) -> None:
    text, signature, former = submission.receipt_text, submission.receipt_signature, settings.SECRET_KEY
    settings.SECRET_KEY = "another-key-" * 4
    assert not receipts.verify(text, signature)
    settings.SECRET_KEY_FALLBACKS = [former]
    assert receipts.verify(text, signature)


def test_a_document_is_genuine_as_it_was_given(submission: Submission) -> None:
    verdict = receipts.judge(receipts.document(submission))
    assert verdict == receipts.Verdict(
        True,
        "good",
        "The receipt is genuine",
        "This site signed receipt 7Q4K-2M9P, and nothing in its text has changed since.",
        "7Q4K-2M9P",
    )


def test_a_document_survives_mail(submission: Submission) -> None:
    text = receipts.document(submission)
    quoted = "Dear staff,\r\nplease see my receipt:\r\n" + "".join(f"> {line.replace('  ', ' ')} \r\n" for line in text.split("\n"))
    assert receipts.judge("\N{BOM}" + quoted + "> \r\nThanks, Ada").genuine


@pytest.mark.parametrize(
    ("before", "after"),
    [("on time", "1 day late"), ("#1", "#2"), ("mlp.py", "map.py"), ("7Q4K-2M9P", "7Q4K-2M9Q"), ("Lateness", "Own work  x\nLateness")],
)
def test_a_changed_document_is_refused(submission: Submission, before: str, after: str) -> None:
    verdict = receipts.judge(receipts.document(submission).replace(before, after))
    assert (verdict.genuine, verdict.tone, verdict.title) == (False, "bad", "The signature does not hold")


@pytest.mark.parametrize("text", ["", "hello", "Hand-in receipt 7Q4K-2M9P\nCourse x\n"])
def test_what_is_no_receipt_is_said(text: str) -> None:
    assert receipts.judge(text).title == "This is not a whole receipt"


def test_files_are_compared_with_the_receipt(submission: Submission) -> None:
    text = receipts.document(submission)
    same = receipts.judge(text, [upload("mlp.py", MLP), upload("renamed.md", NOTES)])
    assert (same.tone, same.lines) == (
        "good",
        ("mlp.py is mlp.py of the receipt, byte for byte.", "renamed.md is a note.md of the receipt, byte for byte."),
    )
    other = receipts.judge(text, [upload("mlp.py", b"x = 2\n"), upload("more.py", b"")])
    assert (other.genuine, other.tone) == (True, "warn")
    assert other.lines == ("mlp.py differs from the mlp.py that was handed in.", "more.py is not in the receipt.")


def test_a_zip_is_compared_by_what_is_in_it(submission: Submission) -> None:
    out = BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("al1815/mlp.py", MLP)
        archive.writestr("al1815/.DS_Store", b"\0")
    text = receipts.document(submission)
    assert receipts.judge(text, [upload("hw1.zip", out.getvalue())]).lines == ("mlp.py is mlp.py of the receipt, byte for byte.",)
    torn = receipts.judge(text, [upload("hw1.zip", out.getvalue()[:-10])])
    assert torn.tone == "warn"
    assert torn.lines == ("“hw1.zip” is not a zip file, or its end is missing. Make it again, or send the files one by one.",)


def test_verdicts_of_good_receipts_do_not_depend_on_the_row(submission: Submission) -> None:
    text = receipts.document(submission)
    Submission.objects.update(receipt_text="gone")
    assert receipts.judge(text).genuine


def test_a_text_made_to_take_long_does_not() -> None:
    began = time.thread_time()
    assert not receipts.judge("Hand-in receipt AAAA-AAAA\n" * 4_000).genuine
    assert not receipts.judge("Hand-in receipt AAAA-AAAA\n" + f"Signature {'0' * 63}\n" * 1_300).genuine
    assert time.thread_time() - began < 2


def test_what_follows_a_receipt_does_not_matter(submission: Submission) -> None:
    document = receipts.document(submission)
    assert receipts.judge(f"Before\n{document}After\n{document}").genuine
    assert not receipts.judge(document.replace("on time", "on tine") + document).genuine


def test_archives_are_unpacked_only_so_far(submission: Submission) -> None:
    packed = BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in ("a", "b", "c"):
            archive.writestr(name, bytes(10 * 1024**2 - 1) + secrets.token_bytes(80_000))
    verdict = receipts.judge(receipts.document(submission), [upload(f"{n}.zip", packed.getvalue()) for n in range(3)])
    assert verdict.lines[:3] == ("a is not in the receipt.", "b is not in the receipt.", "c is not in the receipt.")
    assert [line for line in verdict.lines if "unpacks to" in line] == [
        "“1.zip” unpacks to 30 MB; accepted are 20 MB in all.",
        "“2.zip” unpacks to 30 MB; accepted are 20 MB in all.",
    ]


def test_thousands_of_dropped_files_do_not_swell_the_receipt(submission: Submission) -> None:
    submission.dropped = [f"__MACOSX/{number}" for number in range(4_000)]
    text = receipts.compose(submission, submission.files.all(), due=Due.parse("2023-10-22 23:59", "America/New_York"), verdict="on time")
    assert text.rstrip().endswith("__MACOSX/49 and 3950 more")
