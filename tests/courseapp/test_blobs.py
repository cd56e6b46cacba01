import hashlib
import resource
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.conf import LazySettings
from django.core.files.storage import default_storage

from courseapp import blobs


def kept_files() -> list[Path]:
    return sorted(path for path in Path(default_storage.path("")).rglob("*") if path.is_file())


@pytest.fixture(autouse=True)
def _storage(settings: LazySettings, tmp_path: Path) -> None:
    settings.STORAGES = {
        **settings.STORAGES,
        "default": {"BACKEND": "django.core.files.storage.FileSystemStorage", "OPTIONS": {"location": tmp_path}},
    }


def test_content_is_kept_under_its_digest(tmp_path: Path) -> None:
    blob = blobs.put([b"one ", b"two"])
    assert blob == blobs.Blob(hashlib.sha256(b"one two").hexdigest(), 7)
    assert blobs.read(blob.sha256) == b"one two"
    with blobs.open(blob.sha256) as content:
        assert content.read(3) == b"one"
    assert kept_files() == [tmp_path / blob.sha256[:2] / blob.sha256]


def test_a_kept_file_is_for_reading_by_us_alone() -> None:
    blobs.put_bytes(b"mine")
    [kept] = kept_files()
    assert stat.S_IMODE(kept.stat().st_mode) == 0o400
    assert stat.S_IMODE(kept.parent.stat().st_mode) == 0o700


def test_the_same_content_is_one_file_and_is_not_written_again() -> None:
    assert blobs.put_bytes(b"same") == blobs.put_bytes(b"same")
    [kept] = kept_files()
    written = kept.stat().st_ino
    blobs.put_bytes(b"same")
    assert [path.stat().st_ino for path in kept_files()] == [written]


def test_two_at_once_with_the_same_content_both_succeed() -> None:
    start = threading.Barrier(8)
    found: list[blobs.Blob] = []

    def send() -> None:
        start.wait()
        found.append(blobs.put([b"a" * 100_000] * 10))

    threads = [threading.Thread(target=send) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert [path.name for path in kept_files()] == [found[0].sha256]


def test_a_failed_upload_leaves_nothing_behind() -> None:
    def torn() -> Iterator[bytes]:
        yield b"half"
        raise ValueError("the sender went away")

    with pytest.raises(ValueError, match="went away"):
        blobs.put(torn())
    assert kept_files() == []


def test_a_full_disk_is_said_and_leaves_nothing_behind(tmp_path: Path) -> None:
    # A file size limit fails the write as a full disk does; in a process of its own, because it cannot be raised again.
    program = f"""
import resource, sys
import django
from django.conf import settings
store = {{"BACKEND": "django.core.files.storage.FileSystemStorage", "OPTIONS": {{"location": {str(tmp_path)!r}}}}}
settings.configure(STORAGES={{"default": store}})
django.setup()
from courseapp import blobs
kept = blobs.put_bytes(b"small")
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, {resource.RLIM_INFINITY}))
try:
    blobs.put([b"x" * 600, b"x" * 600])
except blobs.BlobError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "The server's disk is full, so nothing was kept. Nothing is lost on your side: send it again later.\n"
    assert [path.name for path in kept_files()] == [hashlib.sha256(b"small").hexdigest()]


def test_a_folder_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / hashlib.sha256(b"x").hexdigest()[:2]).write_text("a file where the folder should be")
    with pytest.raises(
        blobs.BlobError, match=r"The server could not write the file \(File exists\). Nothing was kept: send it again later."
    ):
        blobs.put_bytes(b"x")
    assert len(kept_files()) == 1


def test_what_was_never_put_cannot_be_read() -> None:
    with pytest.raises(FileNotFoundError):
        blobs.read("0" * 64)


def test_a_store_elsewhere_keeps_one_copy(settings: LazySettings) -> None:
    settings.STORAGES = {**settings.STORAGES, "default": {"BACKEND": "django.core.files.storage.InMemoryStorage"}}
    blob = blobs.put_bytes(b"far away")
    assert blobs.put_bytes(b"far away") == blob
    assert blobs.read(blob.sha256) == b"far away"
    assert default_storage.listdir(blob.sha256[:2])[1] == [blob.sha256]
