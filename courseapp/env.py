"""Settings from the environment; a wrong value is refused with its name, the value and what is accepted."""

import errno
import json
import os
import re
import secrets
from collections.abc import Sequence
from pathlib import Path

from django.core.exceptions import ImproperlyConfigured

TRUE = {"1", "true", "yes", "on"}
FALSE = {"0", "false", "no", "off", ""}
PLACEHOLDER_KEY = "change-me"


def text(name: str, default: str) -> str:
    return os.environ.get(name) or default


def flag(name: str, default: bool) -> bool:
    raw = os.environ.get(name)
    if raw is None:
        return default
    if raw.strip().lower() in TRUE:
        return True
    if raw.strip().lower() in FALSE:
        return False
    raise ImproperlyConfigured(f"{name}={raw!r} is not a yes or a no; accepted are 1, true, yes, on and 0, false, no, off.")


def number(name: str, default: int, *, least: int, most: int) -> int:
    raw = os.environ.get(name)
    if not raw:
        return default
    try:
        value = int(raw)
    except ValueError:
        value = least - 1
    if not least <= value <= most:
        raise ImproperlyConfigured(f"{name}={raw!r} is not a whole number from {least} to {most}.")
    return value


def choice(name: str, default: str, accepted: tuple[str, ...]) -> str:
    value = text(name, default)
    if value not in accepted:
        raise ImproperlyConfigured(f"{name}={value!r} is not known; accepted are {', '.join(accepted)}.")
    return value


def words(name: str, default: str) -> list[str]:
    return [word.strip() for word in text(name, default).split(",") if word.strip()]


def url(name: str, default: str, schemes: tuple[str, ...]) -> str:
    value = text(name, default)
    if not value.startswith(tuple(f"{scheme}://" for scheme in schemes)):
        # The value may hold a password: only its scheme is repeated.
        raise ImproperlyConfigured(f"{name} starts with {value.split(':')[0]!r}; accepted are {', '.join(f'{s}://' for s in schemes)}.")
    return value


def token(name: str) -> str:
    """A secret that machines send; empty when unset."""
    value = os.environ.get(name, "")
    if value and not re.fullmatch(r"[\w.~+/=-]{16,}", value, re.ASCII):
        raise ImproperlyConfigured(f"{name} is too short or holds other signs; accepted are 16 or more letters, digits and . ~ + / = - _.")
    return value


def path_prefix(name: str) -> str:
    """An absolute path that others are put behind, such as /_private/; empty when unset."""
    value = os.environ.get(name, "")
    if value and not re.fullmatch(r"/([\w.-]+/)+", value):
        raise ImproperlyConfigured(f"{name}={value!r} is not a path; accepted is one that begins and ends with /, such as /_private/.")
    return value


def private_folder(name: str, default: Path, inside: Sequence[str]) -> Path:
    """The folder of everything that the site keeps, with the folders `inside` it; made with mode 0700 where they are missing."""
    folder = Path(text(name, str(default))).expanduser().absolute()
    try:
        for one in (folder, *(folder / each for each in inside)):
            one.mkdir(mode=0o700, parents=True, exist_ok=True)
            if not os.access(one, os.W_OK | os.X_OK):
                raise PermissionError(errno.EACCES, "it cannot be written to", str(one))
    except OSError as error:
        raise ImproperlyConfigured(
            f"{name}={str(folder)!r} cannot be used as the data folder: {error.filename}: {error.strerror}. "
            "Give it to the user that the site runs as, or name another folder."
        ) from error
    return folder


def secret_key(debug: bool, data_dir: Path) -> str:
    """`SECRET_KEY`, else a random key kept in the data folder; a placeholder is refused unless debugging."""
    key = os.environ.get("SECRET_KEY", "")
    if key:
        if not debug and (key == PLACEHOLDER_KEY or len(key) < 32):
            raise ImproperlyConfigured(
                "SECRET_KEY is the placeholder or shorter than 32 characters while DEBUG is off; set a long random value, "
                'for example from: python3 -c "import secrets; print(secrets.token_urlsafe(50))"'
            )
        return key
    try:
        return _kept_key(data_dir / "secret_key")
    except OSError as error:
        raise ImproperlyConfigured(f"The key that signs receipts cannot be kept: {error.filename}: {error.strerror}.") from error


def _kept_key(file: Path) -> str:
    if not file.exists():
        try:
            descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            pass
        else:
            with os.fdopen(descriptor, "w") as out:
                out.write(secrets.token_urlsafe(50))
    return file.read_text()


def demo_redis(data_dir: Path) -> str | None:
    """The broker that a running `manage.py demo` wrote down, so that a second shell finds it."""
    try:
        return str(json.loads((data_dir / "run" / "demo.json").read_text())["REDIS_URL"])
    except (OSError, ValueError, KeyError):
        return None
