"""Backup, wipe, restore: everything is back, and every receipt still verifies. On both databases."""

import hashlib
import io
import json
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from django.apps import apps
from django.conf import LazySettings
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.management import CommandError, call_command
from django.db import connection

from courseapp import blobs
from courseapp.fields import DigestField, digest_columns
from courseapp.management.backup import BackupError, databases
from courseapp.management.backup.make import make
from courseapp.management.backup.restore import restore
from grading.models import Submission
from grading.services import handin, receipts
from tests import factories
from tests.conftest import missing
from tests.factories import ON_TIME
from tests.grading.site import REPOSITORY, environment

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def data_dir(settings: LazySettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data folder of the test's own, whose site made its key by itself."""
    folder = tmp_path / "var"
    (folder / "uploads").mkdir(parents=True)
    (folder / "secret_key").write_text(settings.SECRET_KEY)
    settings.DATA_DIR = folder
    storage = {"BACKEND": "django.core.files.storage.FileSystemStorage", "OPTIONS": {"location": folder / "uploads"}}
    settings.STORAGES = {**settings.STORAGES, "default": storage}
    monkeypatch.delenv("SECRET_KEY", raising=False)
    return folder


def hand_in(content: bytes = b"print('hello')\n") -> Submission:
    """A real one, with a signed receipt."""
    practice = factories.component(factories.HomeworkFactory.create(bundle=None), "practice")
    member = factories.EnrollmentFactory.create(course=practice.homework.course)
    assert member.user is not None
    return handin.hand_in(
        component=practice,
        enrollment=member,
        by=member.user,
        files=[SimpleUploadedFile("mlp.py", content)],
        received_at=ON_TIME,
        completed_at=ON_TIME,
        own_work=True,
        confirmed_days=None,
    )


def wipe(data_dir: Path) -> None:
    call_command("flush", interactive=False, verbosity=0)
    shutil.rmtree(data_dir / "uploads")
    (data_dir / "uploads").mkdir()
    (data_dir / "secret_key").write_text("made anew by the next start of the site, as it always is")


def said(*command: str) -> str:
    out = io.StringIO()
    call_command(*command, stdout=out)
    return out.getvalue()


def refused(*command: str) -> str:
    with pytest.raises(CommandError) as caught:
        call_command(*command, stdout=io.StringIO())
    return str(caught.value)


def test_everything_is_back_and_every_receipt_verifies(data_dir: Path, tmp_path: Path) -> None:
    first, second = hand_in(), hand_in(b"second = 2\n")
    target = tmp_path / "backup"
    key = (data_dir / "secret_key").read_text()
    assert "2 hand-ins, 0 results.\nThe key that signs receipts is in it" in said("backup", str(target))
    assert "Every file is as the list says." in said("backup", "--verify", str(target))
    wipe(data_dir)
    assert not Submission.objects.exists()
    assert said("restore", str(target)).splitlines()[-1] == "2 of 2 receipts verify."
    for before in (first, second):
        row = Submission.objects.get(pk=before.pk)
        assert (row.receipt_text, row.receipt_signature) == (before.receipt_text, before.receipt_signature)
        assert receipts.judge(receipts.document(row)).genuine
    assert blobs.read(second.files.get().sha256) == b"second = 2\n"
    assert (data_dir / "secret_key").read_text() == key
    assert hand_in(b"third = 3\n").pk > second.pk  # numbers go on where they were


@pytest.fixture
def bare(tmp_path: Path) -> Iterator[dict[str, str]]:
    """The environment of another machine: an empty database without tables, and no data folder yet."""
    values = {"DATA_DIR": str(tmp_path / "other"), "SECRET_KEY": ""}
    if connection.vendor == "sqlite":
        yield {**values, "DATABASE_URL": f"sqlite:///{tmp_path}/other.sqlite3"}
        return
    with connection.cursor() as cursor:
        cursor.execute("CREATE DATABASE courseapp_bare")
    url = environment()["DATABASE_URL"]
    yield {**values, "DATABASE_URL": f"{url.rpartition('/')[0]}/courseapp_bare"}
    with connection.cursor() as cursor:
        cursor.execute("DROP DATABASE courseapp_bare")


def test_a_bare_machine_becomes_the_site(data_dir: Path, tmp_path: Path, bare: dict[str, str]) -> None:
    submission = hand_in()
    said("backup", str(tmp_path / "a backup, 100 %?"))
    manage = [sys.executable, "manage.py"]
    ask = f"""
from grading.models import Submission
from grading.services import receipts
print(receipts.judge(receipts.document(Submission.objects.get(receipt_code={submission.receipt_code!r}))).title)
"""

    def there(*command: str) -> str:
        ended = subprocess.run([*manage, *command], cwd=REPOSITORY, env=environment(**bare), capture_output=True, text=True, check=False)
        assert ended.returncode == 0, ended.stderr
        return ended.stdout

    assert there("restore", str(tmp_path / "a backup, 100 %?")).endswith("1 of 1 receipts verify.\n")
    assert there("shell", "-v0", "-c", ask) == "The receipt is genuine\n"


def test_a_site_that_has_something_is_left_alone_unless_forced(data_dir: Path, tmp_path: Path) -> None:
    hand_in()
    said("backup", str(tmp_path / "backup"))
    later = hand_in(b"later = 1\n")
    assert "There is something already: the database holds 2 accounts. Nothing was restored; --force" in refused(
        "restore", str(tmp_path / "backup")
    )
    assert Submission.objects.filter(pk=later.pk).exists()
    assert "1 of 1 receipts verify." in said("restore", str(tmp_path / "backup"), "--force")
    assert not Submission.objects.filter(pk=later.pk).exists()


def test_files_without_a_database_are_something_too(data_dir: Path, tmp_path: Path) -> None:
    said("backup", str(tmp_path / "backup"))
    blobs.put_bytes(b"somebody's")
    assert f"There is something already: {data_dir / 'uploads'} holds files." in refused("restore", str(tmp_path / "backup"))


@pytest.mark.parametrize("harm", ["changed", "shortened", "gone", "added", "list", "half"])
def test_a_damaged_backup_is_found_and_nothing_is_restored(harm: str, data_dir: Path, tmp_path: Path) -> None:
    submission = hand_in()
    target = tmp_path / "backup"
    said("backup", str(target))
    sha256 = submission.files.get().sha256
    file = target / "uploads" / sha256[:2] / sha256
    path = f"uploads/{sha256[:2]}/{sha256}"
    file.chmod(0o600)
    expected = {
        "changed": f"{path} is damaged: its SHA-256 is not that of the list.",
        "shortened": f"{path} has 5 bytes; the list says 15.",
        "gone": f"{path} cannot be read: No such file or directory.",
        "added": "uploads/more is not in the list.",
        "list": f"{target}/manifest.json is not what manifest.sha256 says: one of them was changed or damaged.",
        "half": f"{target} is not a whole backup: manifest.json or manifest.sha256 is missing. One that broke off has neither.",
    }[harm]
    if harm == "changed":
        file.write_bytes(b"print('HELLO')\n")
    elif harm == "shortened":
        file.write_bytes(b"print")
    elif harm == "gone":
        file.unlink()
    elif harm == "added":
        (target / "uploads" / "more").touch()
    elif harm == "list":
        (target / "manifest.json").write_text((target / "manifest.json").read_text().replace("hand-ins", "hand-inz"))
    else:
        (target / "manifest.json").unlink()
    wipe(data_dir)
    assert expected in refused("backup", "--verify", str(target))
    assert expected in refused("restore", str(target))
    assert (Submission.objects.count(), list((data_dir / "uploads").iterdir())) == (0, [])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda listed: listed.update(database="../other.sqlite3"), "does not list the database '../other.sqlite3'"),
        (
            lambda listed: listed["files"].update({"uploads/../../secret": ["0" * 64, 1]}),
            "lists 'uploads/../../secret', which is not inside",
        ),
    ],
)
def test_a_list_that_leads_out_of_the_backup_is_refused(
    change: Callable[[dict[str, Any]], None], words: str, data_dir: Path, tmp_path: Path
) -> None:
    hand_in()
    target = tmp_path / "backup"
    said("backup", str(target))
    listed = json.loads((target / "manifest.json").read_text())
    change(listed)
    text = json.dumps(listed)
    (target / "manifest.json").write_text(text)
    (target / "manifest.sha256").write_text(hashlib.sha256(text.encode()).hexdigest())
    assert words in refused("restore", str(target), "--force")


def test_a_file_that_the_site_had_lost_is_named_and_the_rest_is_kept(data_dir: Path, tmp_path: Path) -> None:
    lost, rotten, well = hand_in(b"lost = 1\n"), hand_in(b"rotten = 1\n"), hand_in(b"well = 1\n")
    digests = {row: row.files.get().sha256 for row in (lost, rotten, well)}
    (data_dir / "uploads" / blobs.name(digests[lost])).unlink()
    damaged = data_dir / "uploads" / blobs.name(digests[rotten])
    damaged.chmod(0o600)
    damaged.write_bytes(b"zzzzzz = 1\n")
    told = refused("backup", str(tmp_path / "backup"))
    assert set(re.findall(r"The file ([0-9a-f]{64}) is named by the database", told)) == {digests[lost], digests[rotten]}
    wipe(data_dir)
    assert f"The file {digests[lost]} was missing when the backup was made" in refused("restore", str(tmp_path / "backup"))
    assert blobs.read(digests[well]) == b"well = 1\n"
    assert Submission.objects.count() == 3


def test_a_damaged_file_of_the_site_gives_way(data_dir: Path, tmp_path: Path) -> None:
    sha256 = hand_in().files.get().sha256
    said("backup", str(tmp_path / "backup"))
    damaged = data_dir / "uploads" / blobs.name(sha256)
    damaged.chmod(0o600)
    damaged.write_bytes(b"print('HELLO')\n")
    said("restore", str(tmp_path / "backup"), "--force")
    assert blobs.read(sha256) == b"print('hello')\n"


def test_a_store_elsewhere_is_backed_up_and_filled_again(data_dir: Path, tmp_path: Path, settings: LazySettings) -> None:
    elsewhere = {"BACKEND": "django.core.files.storage.InMemoryStorage"}
    settings.STORAGES = {**settings.STORAGES, "default": elsewhere}
    sha256 = hand_in().files.get().sha256
    said("backup", str(tmp_path / "backup"))
    call_command("flush", interactive=False, verbosity=0)
    settings.STORAGES = {**settings.STORAGES, "default": {**elsewhere, "OPTIONS": {"base_url": "/anew/"}}}
    assert not blobs.exists(sha256)
    said("restore", str(tmp_path / "backup"))
    said("restore", str(tmp_path / "backup"), "--force")
    assert blobs.read(sha256) == b"print('hello')\n"


def test_a_second_backup_links_to_the_files_of_the_first(data_dir: Path, tmp_path: Path) -> None:
    old = hand_in(b"old = 1\n").files.get().sha256
    said("backup", str(tmp_path / "monday"))
    new = hand_in(b"new = 1\n").files.get().sha256
    said("backup", str(tmp_path / "tuesday"), "--previous", str(tmp_path / "monday"))
    links = {name: (tmp_path / "tuesday" / "uploads" / blobs.name(name)).stat().st_nlink for name in (old, new)}
    assert links == {old: 2, new: 1}
    assert (data_dir / "uploads" / blobs.name(old)).stat().st_nlink == 1
    shutil.rmtree(tmp_path / "monday")
    assert "Every file is as the list says." in said("backup", "--verify", str(tmp_path / "tuesday"))


def test_a_damaged_file_of_the_first_is_copied_anew(data_dir: Path, tmp_path: Path) -> None:
    sha256 = hand_in().files.get().sha256
    said("backup", str(tmp_path / "monday"))
    damaged = tmp_path / "monday" / "uploads" / blobs.name(sha256)
    damaged.chmod(0o600)
    damaged.write_bytes(b"x")
    said("backup", str(tmp_path / "tuesday"), "--previous", str(tmp_path / "monday"))
    assert "Every file is as the list says." in said("backup", "--verify", str(tmp_path / "tuesday"))


def test_a_key_from_the_environment_stays_there(data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hand_in()
    monkeypatch.setenv("SECRET_KEY", "from the secret store of the university, 32+")
    assert "keep SECRET_KEY safe yourself" in said("backup", str(tmp_path / "backup"))
    assert not (tmp_path / "backup" / "secret_key").exists()


def test_a_restore_with_another_key_says_that_receipts_do_not_verify(data_dir: Path, tmp_path: Path, settings: LazySettings) -> None:
    code = hand_in().receipt_code
    said("backup", "--without-key", str(tmp_path / "backup"))
    wipe(data_dir)
    settings.SECRET_KEY = "another one, of 32 characters or more"
    told = refused("restore", str(tmp_path / "backup"))
    assert told.splitlines() == [
        "1 of the keys that the site signed with are not here: set SECRET_KEY, or SECRET_KEY_FALLBACKS for former ones.",
        f"1 of 1 receipts do not verify: {code}.",
    ]


def test_others_cannot_read_a_backup(data_dir: Path, tmp_path: Path) -> None:
    hand_in()
    said("backup", str(tmp_path / "backup"))
    open_to_others = [str(path) for path in [tmp_path / "backup", *(tmp_path / "backup").rglob("*")] if path.stat().st_mode & 0o077]
    assert open_to_others == []


def test_hand_ins_that_come_meanwhile_are_in_it_whole_or_not_at_all(data_dir: Path, tmp_path: Path) -> None:
    """Every file that a hand-in of the backup names is in the backup, whenever it came."""
    practice = factories.component(factories.HomeworkFactory.create(bundle=None), "practice")
    member = factories.EnrollmentFactory.create(course=practice.homework.course)
    stop = threading.Event()

    def busy() -> None:
        assert member.user is not None
        number = 0
        while not stop.is_set():
            number += 1
            row = factories.SubmissionFactory.create(component=practice, enrollment=member, files={"a.py": b"a = %d\n" % number})
            assert row.pk
        connection.close()

    worker = threading.Thread(target=busy)
    worker.start()
    try:
        made = [make(tmp_path / f"backup-{number}") for number in range(3)]
    finally:
        stop.set()
        worker.join()
    assert [one.missing for one in made] == [[], [], []]
    assert made[0].counts["hand-ins"] <= made[2].counts["hand-ins"] <= Submission.objects.count()


def test_a_name_that_is_taken_is_refused(tmp_path: Path) -> None:
    (tmp_path / "backup").mkdir()
    assert refused("backup", str(tmp_path / "backup")) == f"{tmp_path}/backup is there already; accepted is the name of a new folder."


def limited(target: Path, data_dir: Path, limit: int) -> "subprocess.CompletedProcess[str]":
    """The command on a disk that is full: no file may grow beyond the limit."""
    code = (
        f"import resource, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); "
        f"resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))\n"
        f"sys.argv = ['manage.py', 'backup', {str(target)!r}]\nimport manage\nmanage.main()"
    )
    environ = environment(DATA_DIR=str(data_dir))
    return subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, env=environ, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("limit", [2_000, 2_500_000])
def test_a_disk_that_is_full_leaves_no_backup(limit: int, data_dir: Path, tmp_path: Path) -> None:
    """Once in the middle of the database, once in the middle of the files."""
    (data_dir / "run" / "metrics").mkdir(parents=True)
    (data_dir / "runtimes").mkdir()
    hand_in(b"x = 1\n" * 500_000)
    ended = limited(tmp_path / "out" / "backup", data_dir, limit)
    assert ended.returncode == 1, ended.stderr
    assert re.search("The backup could not be written|The database could not be copied|pg_dump failed: ", ended.stderr.splitlines()[-1]), (
        ended.stderr
    )
    assert list((tmp_path / "out").iterdir()) == []


def test_a_backup_of_another_kind_of_database_is_refused(data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(tmp_path / "backup")
    ours = databases.engine()
    monkeypatch.setattr(databases, "engine", lambda: "oracle")
    words = f"The backup is of {ours} and DATABASE_URL names oracle; accepted is a database of the same kind."
    with pytest.raises(BackupError, match=words):
        restore(tmp_path / "backup")


def test_a_backup_of_a_newer_version_is_refused(data_dir: Path, tmp_path: Path) -> None:
    with connection.cursor() as cursor:
        cursor.execute("INSERT INTO django_migrations (app, name, applied) VALUES ('grading', '9999_later', %s)", [datetime.now(UTC)])
    try:
        make(tmp_path / "backup")
    finally:
        with connection.cursor() as cursor:
            cursor.execute("DELETE FROM django_migrations WHERE name = '9999_later'")
    assert "this one does not know the migration grading.9999_later" in refused("restore", str(tmp_path / "backup"))


@pytest.mark.parametrize(("major", "words"), [(999, "found is version"), (1, "")])
def test_the_tools_must_not_be_older_than_the_server(major: int, words: str) -> None:
    if shutil.which("pg_dump") is None:
        missing("pg_dump is not installed; on Debian: apt-get install postgresql-client")
    if words:
        with pytest.raises(BackupError, match=f"pg_dump for PostgreSQL {major} is not installed on this machine; {words}"):
            databases.tool("pg_dump", major)
    else:
        assert Path(databases.tool("pg_dump", major)).name == "pg_dump"


def test_without_the_tools_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setattr(databases, "FOLDERS", ())
    words = r"pg_dump for PostgreSQL 16 is not installed on this machine\. On Debian: apt-get install postgresql-client-16"
    with pytest.raises(BackupError, match=words):
        databases.tool("pg_dump", 16)


def test_every_column_that_names_a_file_is_known() -> None:
    """A digest in an ordinary column would be left out of backups, and its file deleted."""
    ordinary = {"courseapp.ApiToken.digest", "grading.Bundle.autograder_digest"}  # of a token, of settings: of no file
    named = {
        f"{model._meta.label}.{field.name}"
        for model in apps.get_models()
        for field in model._meta.local_fields
        if re.search("sha256|digest", field.name) and not isinstance(field, DigestField)
    }
    assert named <= ordinary
    assert set(digest_columns()) >= {
        ("grading_submissionfile", "sha256"),
        ("grading_bundle", "digest"),
        ("grading_homework", "starter_sha256"),
    }


def test_the_list_is_json_that_other_programs_read(data_dir: Path, tmp_path: Path) -> None:
    hand_in()
    make(tmp_path / "backup")
    values = json.loads((tmp_path / "backup" / "manifest.json").read_text())
    assert values["format"] == 1
    if shutil.which("sha256sum"):
        command = ["sha256sum", "--check", "manifest.sha256"]
        checked = subprocess.run(command, cwd=tmp_path / "backup", capture_output=True, text=True, check=True)
        assert checked.stdout == "manifest.json: OK\n"
