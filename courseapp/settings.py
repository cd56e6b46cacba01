"""The one settings file. Every environment variable is listed in docs/operations.md and explains itself when it is wrong."""

import os
from pathlib import Path

import dj_database_url
from celery.schedules import crontab, schedule
from csp.constants import NONE, SELF
from django.core.exceptions import ImproperlyConfigured

from courseapp import env, logs, providers

BASE_DIR = Path(__file__).resolve().parent.parent
DATA_DIR = env.private_folder("DATA_DIR", BASE_DIR / "var", ("run", "run/metrics", "uploads", "runtimes"))

DEBUG = env.flag("DEBUG", False)
SECRET_KEY = env.secret_key(DEBUG, DATA_DIR)
SECRET_KEY_FALLBACKS = env.words("SECRET_KEY_FALLBACKS", "")
ALLOWED_HOSTS = env.words("ALLOWED_HOSTS", "localhost,127.0.0.1,[::1]")
CSRF_TRUSTED_ORIGINS = env.words("CSRF_TRUSTED_ORIGINS", "")
SITE_URL = env.url("SITE_URL", "http://127.0.0.1:8000", ("http", "https")).rstrip("/")

SIGN_ON = providers.from_environment()

INSTALLED_APPS = [
    "courseapp",
    "forum",
    "grading",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "allauth",
    "allauth.account",
    "allauth.socialaccount",
    "allauth.mfa",
    "allauth.usersessions",
    *SIGN_ON.apps,
    "django_htmx",
    "rest_framework",
    "drf_spectacular",
    "csp",
]

MIDDLEWARE = [
    "courseapp.middleware.received_at",
    "courseapp.middleware.watched",
    "courseapp.middleware.body_size",
    "django.middleware.security.SecurityMiddleware",
    "courseapp.middleware.closed_to_others",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "csp.middleware.CSPMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "courseapp.middleware.private_pages",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "courseapp.middleware.second_factor",
    "courseapp.middleware.SignOn",
]

ROOT_URLCONF = "courseapp.urls"
WSGI_APPLICATION = "courseapp.wsgi.application"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "courseapp.context.site",
            ],
        },
    }
]

# Data
DATABASES = {
    "default": dj_database_url.parse(
        env.url("DATABASE_URL", f"sqlite:///{DATA_DIR / 'db.sqlite3'}", ("sqlite", "postgres", "postgresql")),
        conn_max_age=60,
        conn_health_checks=True,
    )
}
if DATABASES["default"]["ENGINE"] == "django.db.backends.sqlite3":
    DATABASES["default"]["OPTIONS"] = {
        "transaction_mode": "IMMEDIATE",
        "timeout": 20,
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
    }
else:
    # Without it psycopg prepares nothing, not even what is asked to be (courseapp.statements). Django's own statements never are.
    DATABASES["default"].setdefault("OPTIONS", {})["prepare_threshold"] = 5
# How many days what is kept that nobody needs any more (courseapp.services.retention); 0 keeps it for good.
RETENTION_MAIL_DAYS = env.number("RETENTION_MAIL_DAYS", 180, least=0, most=36_500)
RETENTION_FILE_DAYS = env.number("RETENTION_FILE_DAYS", 30, least=0, most=36_500)
RETENTION_LAB_DAYS = env.number("RETENTION_LAB_DAYS", 60, least=0, most=36_500)
RETENTION_OUTPUT_DAYS = env.number("RETENTION_OUTPUT_DAYS", 365, least=0, most=36_500)
# Where the proxy in front finds `uploads/` for itself; downloads then name the file there instead of carrying its bytes.
X_ACCEL_REDIRECT = env.path_prefix("X_ACCEL_REDIRECT")
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
AUTH_USER_MODEL = "courseapp.User"

STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage", "OPTIONS": {"location": DATA_DIR / "uploads"}},
    "staticfiles": {"BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"},
}
STATICFILES_FINDERS = ["django.contrib.staticfiles.finders.AppDirectoriesFinder", "courseapp.assets.NpmFinder"]
STATIC_URL = "static/"
WHITENOISE_ALLOW_ALL_ORIGINS = False
STATIC_ROOT = Path(env.text("STATIC_ROOT", str(DATA_DIR / "static")))
FILE_UPLOAD_PERMISSIONS = 0o600
FILE_UPLOAD_TEMP_DIR = DATA_DIR / "uploads"
FILE_UPLOAD_MAX_MEMORY_SIZE = 1024 * 1024
FILE_UPLOAD_HANDLERS = ["django.core.files.uploadhandler.MemoryFileUploadHandler", "courseapp.uploads.PatientUploadHandler"]
MAX_BODY_MB = env.number("MAX_BODY_MB", 120, least=1, most=4096)
# The limit of a hand-in is its component's; this one only bounds form fields that are not files.
DATA_UPLOAD_MAX_MEMORY_SIZE = 1024 * 1024
DATA_UPLOAD_MAX_NUMBER_FILES = 500

# Sign-in
AUTHENTICATION_BACKENDS = ["django.contrib.auth.backends.ModelBackend", "allauth.account.auth_backends.AuthenticationBackend"]
LOGIN_REDIRECT_URL = "today"
LOGIN_URL = "account_login"
ACCOUNT_ADAPTER = "courseapp.accounts.Adapter"
ACCOUNT_LOGIN_METHODS = {"email"}
ACCOUNT_SIGNUP_FIELDS = ["email*", "password1*", "password2*"]
ACCOUNT_EMAIL_VERIFICATION = "optional"
ACCOUNT_SESSION_REMEMBER = True
ACCOUNT_LOGOUT_ON_PASSWORD_CHANGE = True
# By account the limits stop somebody who guesses; by address they are wide, for a lecture hall is one address at 23:50.
ACCOUNT_RATE_LIMITS = {"login": "300/m/ip", "login_failed": "60/m/ip,5/300s/key", "reset_password": "100/m/ip,5/m/key"}
MFA_RATE_LIMITS = {"webauthn_login": "300/m/ip"}
ALLAUTH_TRUSTED_PROXY_COUNT = env.number("TRUSTED_PROXY_COUNT", 1 if env.flag("TRUST_PROXY", False) else 0, least=0, most=10)
SOCIALACCOUNT_ADAPTER = "courseapp.accounts.SocialAdapter"
SOCIALACCOUNT_PROVIDERS = SIGN_ON.providers
SOCIALACCOUNT_REAUTHENTICATION_REQUIRED = True
NETID_DOMAINS = providers.netid_domains()
SIGN_ON_ACCOUNTS = env.choice("SIGN_ON_ACCOUNTS", "place", ("place", "anyone"))
MFA_ADAPTER = "courseapp.accounts.FactorAdapter"
MFA_SUPPORTED_TYPES = ["totp", "webauthn", "recovery_codes"]
MFA_PASSKEY_LOGIN_ENABLED = True
MFA_TOTP_TOLERANCE = 1
MFA_REQUIRED_FOR = env.choice("MFA_REQUIRED_FOR", "nobody", ("nobody", "staff"))
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 10}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]

# The API
API_REQUESTS_PER_MINUTE = {
    "read": env.number("API_READS_PER_MINUTE", 300, least=1, most=1_000_000),
    "submit": env.number("API_HAND_INS_PER_MINUTE", 30, least=1, most=1_000_000),
    "staff": env.number("API_STAFF_READS_PER_MINUTE", 120, least=1, most=1_000_000),
}
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["courseapp.api.TokenAuthentication", "rest_framework.authentication.SessionAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": ["courseapp.api.Scoped"],
    "DEFAULT_THROTTLE_CLASSES": ["courseapp.api.PerMinute"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["courseapp.api.Json"],
    "DEFAULT_CONTENT_NEGOTIATION_CLASS": "courseapp.api.AlwaysJson",
    "DEFAULT_METADATA_CLASS": None,
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "EXCEPTION_HANDLER": "courseapp.api.refusal",
}
SPECTACULAR_SETTINGS = {
    "TITLE": "courseapp",
    "VERSION": "1",
    "DESCRIPTION": "Courses, homework and hand-ins, by the same rules as the pages.",
    "OAS_VERSION": "3.1.0",
    "SERVERS": [{"url": SITE_URL}],
    "SCHEMA_PATH_PREFIX": "/api/v1",
    "COMPONENT_SPLIT_REQUEST": True,
    "ENUM_NAME_OVERRIDES": {
        "HandInState": "grading.api.serializers.HAND_IN_STATES",
        "RunState": "grading.api.serializers.RUN_STATES",
        "PlaceState": "grading.api.serializers.PLACE_STATES",
    },
    "SERVE_INCLUDE_SCHEMA": False,
    "ENUM_GENERATE_CHOICE_DESCRIPTION": False,
    "SORT_OPERATIONS": False,
}

# Language and time: pages show the course's own zone.
LANGUAGE_CODE = "en"
TIME_ZONE = "UTC"
USE_TZ = True
USE_I18N = False

# Mail is written to an outbox in the database; this is how the outbox sends it.
EMAIL_BACKEND = env.text("EMAIL_BACKEND", "django.core.mail.backends.console.EmailBackend")
EMAIL_HOST = env.text("EMAIL_HOST", "localhost")
EMAIL_PORT = env.number("EMAIL_PORT", 25, least=1, most=65535)
EMAIL_HOST_USER = env.text("EMAIL_HOST_USER", "")
EMAIL_HOST_PASSWORD = os.environ.get("EMAIL_HOST_PASSWORD", "")
EMAIL_USE_TLS = env.flag("EMAIL_USE_TLS", False)
EMAIL_TIMEOUT = 10
DEFAULT_FROM_EMAIL = env.text("DEFAULT_FROM_EMAIL", "courseapp@localhost")

# The broker's server; the web workers share what they count there, and go on without it when it is gone.
REDIS_URL = env.url("REDIS_URL", env.demo_redis(DATA_DIR) or "redis://127.0.0.1:6379/0", ("redis", "rediss", "unix"))
CACHES = {"default": {"BACKEND": "courseapp.cache.SharedCache", "LOCATION": REDIS_URL, "KEY_PREFIX": "courseapp"}}

# Runs: the database is the queue, Celery rings the bell.
RUN_LEASE_SECONDS = env.number("RUN_LEASE_SECONDS", 30, least=2, most=3600)
RUN_POLL_SECONDS = env.number("RUN_POLL_SECONDS", 5, least=1, most=10)  # three reports before grading.models.SILENT_AFTER
GPU_SLOT = env.text("GPU_SLOT", "")  # of a worker that serves one: its UUID
RUNNER_SOCKET = Path(env.text("RUNNER_SOCKET", str(DATA_DIR / "run" / "runner.sock")))
RUNTIME_PYTHON = env.text("RUNTIME_PYTHON", "")
HAND_IN_BODY_SECONDS = env.number("HAND_IN_BODY_SECONDS", 600, least=10, most=3600)
TRUSTED_PROXY_START_HEADER = env.text("TRUSTED_PROXY_START_HEADER", "")

CELERY_BROKER_URL = REDIS_URL.replace("unix://", "redis+socket://", 1)  # the broker library's word for it
CELERY_TASK_IGNORE_RESULT = True
CELERY_RESULT_BACKEND = None
CELERY_TASK_SERIALIZER = "json"
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_TASK_ACKS_LATE = False
CELERY_TASK_PUBLISH_RETRY = False
CELERY_TASK_DEFAULT_QUEUE = "system"
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_DISABLE_PREFETCH = True
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_CONNECTION_MAX_RETRIES = None
CELERY_BROKER_TRANSPORT_OPTIONS = {"socket_connect_timeout": 0.3, "socket_keepalive": True, "health_check_interval": 15}
CELERY_BEAT_SCHEDULE = {
    "sweep": {"task": "grading.tasks.sweep", "schedule": schedule(10.0), "options": {"expires": 10}},
    "retention": {"task": "courseapp.tasks.apply_retention", "schedule": crontab(hour="4", minute="10"), "options": {"expires": 3600}},
    "outbox": {"task": "courseapp.tasks.send_outbox", "schedule": schedule(15.0), "options": {"expires": 15}},
}
CELERY_BEAT_SCHEDULE_FILENAME = str(DATA_DIR / "run" / "beat")

# Security
HTTPS = env.flag("HTTPS", SITE_URL.startswith("https://"))
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = HTTPS
SECURE_SSL_REDIRECT = HTTPS
SECURE_REDIRECT_EXEMPT = [r"^(healthz|readyz|metrics)$"]  # asked from this machine, past the proxy
SECURE_HSTS_SECONDS = 31_536_000 if HTTPS else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = HTTPS and env.flag("HSTS_SUBDOMAINS", True)
# Preloading binds a whole registered domain, which is its owner's to decide and not this site's.
SILENCED_SYSTEM_CHECKS = ["security.W021"]
if HTTPS:  # a browser then takes these from this very host over HTTPS only, whatever a neighbour in the domain sets
    SESSION_COOKIE_NAME, CSRF_COOKIE_NAME = "__Host-sessionid", "__Host-csrftoken"
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if env.flag("TRUST_PROXY", False) else None
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
X_FRAME_OPTIONS = "DENY"
SECURE_REFERRER_POLICY = "same-origin"
SECURE_CROSS_ORIGIN_OPENER_POLICY = "same-origin"
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [NONE],
        "script-src": [SELF],
        # KaTeX and pdf.js style their glyphs through the DOM, which needs no permission here.
        "style-src": [SELF],
        "img-src": [SELF, "data:"],
        "font-src": [SELF],
        "connect-src": [SELF],
        "worker-src": [SELF],
        "form-action": [SELF],
        "frame-ancestors": [NONE],
        "base-uri": [NONE],
    }
}

# What is watched from outside
LOGGING = logs.configuration(
    env.choice("LOG_FORMAT", "line", ("line", "json")), env.choice("LOG_LEVEL", "INFO", ("DEBUG", "INFO", "WARNING", "ERROR"))
)
TRUSTED_REQUEST_ID_HEADER = env.text("TRUSTED_REQUEST_ID_HEADER", "")
METRICS_TOKEN = env.token("METRICS_TOKEN")
# Every web process counts into files of its own here; whichever is asked adds them up. Read by prometheus_client when it is imported.
os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(DATA_DIR / "run" / "metrics")

if DATABASES["default"]["ENGINE"] not in {"django.db.backends.sqlite3", "django.db.backends.postgresql"}:
    raise ImproperlyConfigured(f"DATABASE_URL names {DATABASES['default']['ENGINE']}; accepted are sqlite:/// and postgres://.")
