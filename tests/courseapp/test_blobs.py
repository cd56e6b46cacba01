import hashlib
from pathlib import Path

import pytest
from django.core.files.storage import default_storage

from courseapp import blobs


def kept_files() -> list[Path]:
    return sorted(path for path in Path(default_storage.path("")).rglob("*") if path.is_file())


@pytest.fixture(autouse=True)
def _storage(settings, tmp_path):
    settings.STORAGES = {
        **settings.STORAGES,
        "default": {"BACKEND": "django.core.files.storage.FileSystemStorage", "OPTIONS": {"location": tmp_path}},
    }


def test_content_is_kept_under_its_digest():
    blob = blobs.put([b"one ", b"two"])
    assert blob == blobs.Blob(hashlib.sha256(b"one two").hexdigest(), 7)
    assert blobs.read(blob.digest) == b"one two"


def test_the_same_content_is_one_file_and_leaves_nothing_behind():
    assert blobs.put_bytes(b"same") == blobs.put_bytes(b"same")
    assert [path.name for path in kept_files()] == [hashlib.sha256(b"same").hexdigest()]


def test_a_failed_upload_leaves_nothing_behind():
    def torn():
        yield b"half"
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        blobs.put(torn())
    assert kept_files() == []


def test_what_was_never_put_cannot_be_read():
    with pytest.raises(FileNotFoundError):
        blobs.read("0" * 64)
