"""The settings of the suite: the site's own, in a throw-away folder and made quick.

TEST_DATABASE=postgres runs what touches the database on a throw-away PostgreSQL cluster instead of SQLite.
"""

import atexit
import os
import shutil
import tempfile
from pathlib import Path

from courseapp.management import local_postgres
from grading.runner import runtimes


def _begin() -> None:
    """Once a run, before the workers of xdist inherit the environment."""
    # The runtime that “make install” put beside the site's own data is used, and nothing else from there.
    found = runtimes.find(Path(os.environ.get("DATA_DIR") or Path(__file__).resolve().parent.parent / "var"), "torch")
    if isinstance(found, runtimes.Ready):
        os.environ["RUNTIME_PYTHON"] = str(found.runtime.python)
    os.environ["COURSEAPP_TESTS"] = tempfile.mkdtemp(prefix="courseapp-tests-")
    atexit.register(shutil.rmtree, os.environ["COURSEAPP_TESTS"], ignore_errors=True)
    for name in ("DATABASE_URL", "DEBUG", "SITE_URL", "RUNNER_SOCKET", "STATIC_ROOT"):
        os.environ.pop(name, None)
    os.environ["REDIS_URL"] = "redis://127.0.0.1:1/0"  # nobody listens there; a test that wants a broker starts one
    os.environ["SECRET_KEY"] = "only-for-tests-" * 3
    local_postgres.start_if_wanted(os.environ)


if "COURSEAPP_TESTS" not in os.environ:
    _begin()
os.environ["DATA_DIR"] = f"{os.environ['COURSEAPP_TESTS']}/{os.environ.get('PYTEST_XDIST_WORKER', 'main')}"

# Every identity provider is set up, so that its addresses are there; a test says where one runs. No child process inherits this.
PROVIDERS = {
    "OIDC_ISSUER": "http://127.0.0.1:1",
    "OIDC_NAME": "Example University",
    "OIDC_CLIENT_ID": "course",
    "OIDC_CLIENT_SECRET": "only-for-tests",
    "OIDC_USERNAME_CLAIM": "netid",
    "OIDC_INSTITUTIONAL_ID_CLAIM": "number",
    "GOOGLE_CLIENT_ID": "course",
    "GOOGLE_CLIENT_SECRET": "only-for-tests",
    "GOOGLE_HOSTED_DOMAIN": "example.edu",
    "SAML_METADATA_FILE": str(Path(__file__).resolve().parent / "courseapp" / "idp.xml"),
    "SAML_ENTITY_ID": "https://idp.example.edu/saml",
}
os.environ.update(PROVIDERS)

from courseapp.settings import *  # noqa: E402, F403
from courseapp.settings import DATA_DIR, DATABASES, STATIC_ROOT, STORAGES  # noqa: E402

for _name in PROVIDERS:
    del os.environ[_name]

# A file, not memory: threads and other processes of a test open the same database.
if DATABASES["default"]["ENGINE"] == "django.db.backends.sqlite3":
    DATABASES["default"]["TEST"] = {"NAME": str(DATA_DIR / "test.sqlite3")}
DATABASES["default"]["CONN_MAX_AGE"] = 0

PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
STORAGES["staticfiles"] = {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}
STATIC_ROOT.mkdir(exist_ok=True)
