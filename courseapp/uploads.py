"""Files on their way in. A disk that fills up while they arrive is told to the sender like anything else that is wrong with them."""

from contextlib import suppress
from typing import Any, NoReturn

from django.core.files.uploadedfile import UploadedFile
from django.core.files.uploadhandler import StopUpload, TemporaryFileUploadHandler
from django.http import HttpRequest


class PatientUploadHandler(TemporaryFileUploadHandler):
    """As Django's, but when a file cannot be written the upload ends there, and the request knows why."""

    def new_file(self, *args: Any, **kwargs: Any) -> None:
        try:
            super().new_file(*args, **kwargs)
        except OSError as error:
            self._stop(error)

    def receive_data_chunk(self, raw_data: bytes, start: int) -> None:
        try:
            super().receive_data_chunk(raw_data, start)
        except OSError as error:
            self._stop(error)

    def file_complete(self, file_size: int) -> "UploadedFile[Any] | None":
        try:
            return super().file_complete(file_size)
        except OSError as error:
            self._stop(error)

    def _stop(self, error: OSError) -> NoReturn:
        if hasattr(self, "file"):
            with suppress(OSError):  # closing writes what is left, in vain; the file is deleted all the same
                self.file.close()
        self.request.upload_problem = error.strerror or str(error)  # type: ignore[union-attr]  # read back through `problem`
        raise StopUpload from error


def problem(request: HttpRequest) -> str:
    """The sentence that says why the files of this request could not be written; empty when they could."""
    request.FILES  # noqa: B018  # reads the body, if nobody did
    reason = getattr(request, "upload_problem", "")
    return f"The server could not write your files ({reason}). Send them again later." if reason else ""
