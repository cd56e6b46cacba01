"""The deployment files against the site that they deploy: settings, commands, queues, and the calls that a sandbox is built with."""

import contextlib
import http.client
import json
import os
import re
import shutil
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.conf import settings
from django.core.management import get_commands

from grading.models import Component
from grading.runner import launcher, seccomp, zygote_main
from scripts import seccomp_profile
from tests.conftest import missing
from tests.patience import PATIENCE_S, eventually

ROOT = Path(__file__).resolve().parent.parent
DEPLOY = ROOT / "deploy"
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = {name: service for name, service in SERVICES.items() if service["image"].startswith("courseapp-")}
UNITS = {path.stem.removeprefix("courseapp-"): path for path in sorted((DEPLOY / "systemd").glob("*.service"))}
PROCESSES = {"web", "worker-cpu", "worker-system", "beat", "runner-host"}
PAGE = (ROOT / "docs" / "deployment.md").read_text()


def read_by_settings() -> set[str]:
    """Names of environment variables that the site looks at."""
    found: set[str] = set()
    for name in ("settings.py", "providers.py", "env.py"):
        text = (ROOT / "courseapp" / name).read_text()
        found |= set(re.findall(r'(?:env\.|_)?\w+\(\s*"([A-Z][A-Z_]+)"', text)) | set(re.findall(r'environ(?:\.get\(|\[)"([A-Z_]+)"', text))
    return found


def unit(name: str) -> dict[str, list[str]]:
    """Every key of a unit with all its values; a key may come several times."""
    found: dict[str, list[str]] = {}
    for line in UNITS[name].read_text().splitlines():
        if "=" in line and not line.startswith("#"):
            key, value = line.split("=", 1)
            found.setdefault(key, []).append(value)
    return found


def commands() -> dict[str, list[str]]:
    """What each process is started with, by where it is said."""
    site = ["gunicorn", "--bind", "0.0.0.0:8000", "--workers", "2", "--threads", "8", "--no-control-socket"]
    assert json.loads((ROOT / "Dockerfile").read_text().split("\nCMD ")[1].split("\n")[0]) == site
    found = {f"compose {name}": list(map(str, service.get("command", site))) for name, service in OURS.items()}
    for name in UNITS:
        first, *rest = unit(name)["ExecStart"][0].replace("%%", "%").split()
        found[f"systemd {name}"] = [Path(first).name, *rest]
    return found


def option(command: list[str], name: str) -> str:
    return command[command.index(name) + 1]


def examples(name: str) -> dict[str, str]:
    lines = (DEPLOY / name).read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def test_both_ways_start_the_same_processes() -> None:
    assert set(OURS) - {"migrate"} == PROCESSES
    assert set(UNITS) == PROCESSES | {"worker-gpu"}  # which compose has in deploy/compose.gpu.yml
    target = (DEPLOY / "systemd" / "courseapp.target").read_text()
    assert set(re.findall(r"courseapp-([\w-]+)\.service", target)) == PROCESSES


def test_every_command_is_one_of_the_site() -> None:
    for where, command in commands().items():
        if command[0] == "gunicorn":
            assert {"--bind", "--no-control-socket"} <= set(command), where
        elif command[0] == "celery":
            assert command[1:3] == ["-A", "courseapp"], where
            assert command[3] in {"worker", "beat"}, where
            assert command[3] == "beat" or option(command, "--pool") == "threads", where
        else:
            assert command[:2] == ["python", "manage.py"], where
            assert command[2] in get_commands(), where


@pytest.mark.parametrize("way", ["compose", "systemd"])
def test_every_queue_is_served(way: str) -> None:
    mine = {where: command for where, command in commands().items() if where.startswith(way)}
    served = [option(command, "--queues") for command in mine.values() if "worker" in command]
    assert sorted(served) == sorted([Component._meta.get_field("queue").default, settings.CELERY_TASK_DEFAULT_QUEUE])
    assert option(mine[f"{way} runner-host"], "--queues") == Component._meta.get_field("queue").default


def test_every_variable_is_one_that_the_site_reads_and_its_page_names() -> None:
    named = {name for service in OURS.values() for name in service["environment"]} - {"WORKER_NAME"}
    named |= set(examples("courseapp.env.example")) | (set(examples("compose.env.example")) - {"POSTGRES_PASSWORD"})
    named |= set(re.findall(r"([A-Z_]+)=", (ROOT / "Dockerfile").read_text().replace("PATH=", ""))) & {
        "DATA_DIR",
        "STATIC_ROOT",
        "RUNTIME_PYTHON",
    }
    operations = (ROOT / "docs" / "operations.md").read_text()
    assert {"DATABASE_URL", "SECRET_KEY", "STATIC_ROOT", "RUNTIME_PYTHON", "TRUSTED_PROXY_START_HEADER"} <= named
    assert named - read_by_settings() == set()
    assert {name for name in named if f"`{name}`" not in operations} == set()


def test_what_only_compose_reads_is_on_its_page() -> None:
    own = set(re.findall(r"\$\{([A-Z_]+)", (ROOT / "docker-compose.yml").read_text())) - read_by_settings()
    assert own == {"POSTGRES_PASSWORD", "TORCH_INDEX", "RUNS_AT_ONCE"}
    assert {name for name in own if f"`{name}`" not in PAGE} == set()


def test_no_secret_has_a_default() -> None:
    text = (ROOT / "docker-compose.yml").read_text()
    for name in ("SECRET_KEY", "POSTGRES_PASSWORD"):
        uses = re.findall(rf"\$\{{{name}([^}}]*)\}}", text)
        assert set(uses) == {":?set it in .env"}
    for example in ("courseapp.env.example", "compose.env.example"):
        assert {name: value for name, value in examples(example).items() if re.search("KEY|PASSWORD", name) and value} == {}
    assert ".env" in (ROOT / ".gitignore").read_text().splitlines()


def test_no_container_has_more_rights_than_it_needs() -> None:
    for name, service in SERVICES.items():
        assert not {"privileged", "cap_add", "network_mode", "pid", "ipc", "userns_mode", "devices"} & set(service), name
        assert "no-new-privileges" in service["security_opt"], name
        assert [port for port in service.get("ports", []) if not port.startswith("127.0.0.1:")] == [], name
        assert all(volume.split(":")[0] in COMPOSE["volumes"] for volume in service["volumes"]), name
    for name, service in OURS.items():
        assert (service["read_only"], service["cap_drop"]) == (True, ["ALL"]), name
    loosened = {name: service["security_opt"][1:] for name, service in SERVICES.items() if len(service["security_opt"]) > 1}
    assert loosened == {"runner-host": ["seccomp=deploy/seccomp-runner.json", "apparmor=unconfined", "systempaths=unconfined"]}
    assert [name for name, service in SERVICES.items() if "ports" in service] == ["web"]
    assert sorted(name for name, service in SERVICES.items() if "outside" in service["networks"]) == ["web", "worker-system"]


def test_only_the_worker_of_homework_reaches_the_runners_socket() -> None:
    with_folder = {name for name, service in SERVICES.items() if "runner:/runner" in service["volumes"]}
    assert (
        with_folder
        == {name for name, service in OURS.items() if "RUNNER_SOCKET" in service["environment"]}
        == {"worker-cpu", "runner-host"}
    )
    folder = str(Path(examples("courseapp.env.example")["RUNNER_SOCKET"]).parent)
    assert folder == "/srv/courseapp/runner"
    for name in UNITS:
        written, hidden = unit(name)["ReadWritePaths"][0].split(), unit(name).get("InaccessiblePaths", [])
        may = name in {"worker-cpu", "worker-gpu", "runner-host"}
        assert (folder in written, hidden) == (may, [] if may else [folder]), name


def test_gpus_are_seen_by_the_runner_host_and_their_workers_only() -> None:
    overlay: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.gpu.yml").read_text())["services"]
    assert {name for name, service in overlay.items() if "deploy" in service} == set(overlay) == {"runner-host", "worker-gpu"}
    worker = overlay["worker-gpu"]
    assert worker["extends"] == {"file": "docker-compose.yml", "service": "worker-cpu"}
    assert worker["command"] == ["python", "manage.py", "workers", "--only-gpu"]
    assert unit("worker-gpu")["ExecStart"] == ["/srv/courseapp/app/.venv/bin/python manage.py workers --only-gpu"]
    seen = {name for name in UNITS if "PrivateDevices" not in unit(name)}
    assert seen == {"runner-host", "worker-gpu"}


def test_every_service_says_whether_it_is_well() -> None:
    healthy = (DEPLOY / "healthy.py").read_text()
    for name, service in SERVICES.items():
        if name == "migrate":
            continue
        test = service["healthcheck"]["test"]
        if name in OURS:
            assert test[:3] == ["CMD", "python", "deploy/healthy.py"], name
            assert f"def {test[3]}()" in healthy, name
    for name in PROCESSES:
        assert SERVICES[name]["depends_on"]["migrate"] == {"condition": "service_completed_successfully"}, name
        assert SERVICES[name]["depends_on"]["db"] == {"condition": "service_healthy"}, name


def test_the_broker_keeps_what_it_has() -> None:
    command = SERVICES["redis"]["command"]
    assert (option(command, "--appendonly"), option(command, "--maxmemory-policy")) == ("yes", "noeviction")


def test_the_image_is_made_of_what_the_context_has_and_runs_as_nobody_special() -> None:
    text = (ROOT / "Dockerfile").read_text()
    let_in = {line[1:].rstrip("/") for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert {name for name in let_in if not (ROOT / name).exists()} == set()
    copied = {name for line in re.findall(r"^COPY (?!--from)(.*)$", text, re.MULTILINE) for name in line.split()[:-1] if name != "."}
    assert {name for name in copied if not any(name == one or name.startswith(f"{one}/") for one in let_in)} == set()
    assert {"courseapp", "grading", "forum", "templates", "runtimes", "manage.py", "gunicorn.conf.py", "deploy/healthy.py"} <= let_in
    assert re.findall(r"https?://", text) == []
    stages = re.split(r"^FROM ", text, flags=re.MULTILINE)[1:]
    by_name = {stage.split("\n", 1)[0].split(" AS ")[1]: stage for stage in stages}
    assert list(by_name) == ["browser", "packages", "runtime", "base", "static", "site", "runner"]
    assert "\nUSER courseapp\n" in by_name["site"]
    assert by_name["runner"].startswith("site AS")
    assert "USER" not in by_name["runner"]
    assert set(re.findall(r"^ARG \w+=([\w/-]+):", text, re.MULTILINE)) == {"python", "node"}


def test_the_image_can_back_up_its_database() -> None:
    """Client programs that are older than the server cannot read it; each Debian has those of one version."""
    text = (ROOT / "Dockerfile").read_text()
    debian = re.search(r"ARG PYTHON=python:[\d.]+-slim-(\w+)", text)
    server = re.search(r"image: postgres:(\d+)", (ROOT / "docker-compose.yml").read_text())
    assert debian is not None
    assert server is not None
    assert "libseccomp2 postgresql-client " in text
    assert {"bookworm": 15, "trixie": 17}[debian[1]] >= int(server[1])


def test_systemd_leaves_celerys_percent_signs_alone() -> None:
    """%h alone would be the home folder of the manager."""
    lines = {name: unit(name)["ExecStart"][0] for name in UNITS}
    assert [name for name, line in lines.items() if "%" in line.replace("%%", "")] == []
    assert {name for name, line in lines.items() if "@%%h" in line} == {"worker-cpu", "worker-system"}


def test_units_are_strict_but_for_what_builds_sandboxes() -> None:
    strict = {"NoNewPrivileges", "CapabilityBoundingSet", "ProtectSystem", "ProtectHome", "PrivateTmp", "RestrictAddressFamilies"}
    breaks_sandboxes = {
        "RestrictNamespaces",
        "ProtectHostname",
        "PrivateDevices",
        "ProtectProc",
        "ProtectKernelTunables",
        "ProtectKernelLogs",
    }
    breaks_sandboxes |= {"ProtectKernelModules", "ProtectControlGroups", "SystemCallFilter", "MemoryDenyWriteExecute", "ProcSubset"}
    for name in UNITS:
        found = unit(name)
        assert strict <= set(found), name
        assert (found["User"], found["EnvironmentFile"], found["Restart"]) == (["courseapp"], ["/etc/courseapp.env"], ["always"]), name
        assert bool(breaks_sandboxes & set(found)) == (name != "runner-host"), name
    weights = {name: int(unit(name)["CPUWeight"][0]) for name in UNITS}
    assert min(weights, key=lambda name: weights[name]) == "runner-host"
    assert max(weights, key=lambda name: weights[name]) == "web"


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd-analyze is not installed")
def test_systemd_takes_the_units(tmp_path: Path) -> None:
    """Their program is put in its place; what an older systemd does not know is said in the unit."""
    for path in (DEPLOY / "systemd").iterdir():
        (tmp_path / path.name).write_text(path.read_text().replace("/srv/courseapp/app/.venv/bin/", "/bin/true "))
    said = subprocess.run(
        ["systemd-analyze", "verify", *map(str, sorted(tmp_path.iterdir()))], check=False, capture_output=True, text=True
    ).stderr
    assert [line for line in said.splitlines() if "courseapp" in line and "DelegateSubgroup" not in line] == []


# System calls


def test_the_profile_is_the_one_that_its_script_writes() -> None:
    """Up to the calls that another libseccomp knows besides."""
    kept, made = json.loads(seccomp_profile.PROFILE.read_text()), seccomp_profile.profile()
    assert kept["syscalls"][1:] == made["syscalls"][1:]
    assert {key: kept[key] for key in kept if key != "syscalls"} == {key: made[key] for key in made if key != "syscalls"}
    assert {"read", "execve", "clone3"} & set(kept["syscalls"][0]["names"]) == {"read", "execve"}


def test_the_profile_allows_exactly_what_the_launcher_needs() -> None:
    kept = json.loads(seccomp_profile.PROFILE.read_text())["syscalls"]
    always = set(kept[0]["names"])
    refused = {name for rule in kept if rule["action"] == "SCMP_ACT_ERRNO" for name in rule["names"]}
    sources = [Path(str(module.__file__)).read_text() for module in (launcher, zygote_main)]
    called = {
        name
        for source in sources
        for name in re.findall(r"libc\.(unshare|mount|pivot_root|umount2|sethostname|setns|chroot|clone)\b", source)
    }
    called |= {name.lower() for name in re.findall(r"^SYS_(\w+), SYS_(\w+), SYS_(\w+)", sources[0], re.MULTILINE)[0]}
    needed = {name for name, _, _ in seccomp_profile.NEEDED}
    assert called == needed
    assert {name for rule in kept[1:] if rule["action"] == "SCMP_ACT_ALLOW" for name in rule["names"]} == needed | {"clone"}
    assert needed & always == set()
    assert refused & (always | needed) == set()
    # What the filter inside a sandbox denies and this one allows is harmless to the host or needed there.
    harmless = {"execve", "execveat", "memfd_secret", "mq_open", "mq_unlink", "setsid", "sync", "syncfs"} | {
        name for name in seccomp._DENIED if re.match("shm|sem|msg|inotify", name)
    }
    assert set(seccomp._DENIED) & always == harmless


UNDER_PROFILE = """
import json, sys, pyseccomp as s
profile, without = json.load(open(sys.argv[1])), sys.argv[2:]
made = s.SyscallFilter(s.ERRNO(profile["defaultErrnoRet"]))
for rule in profile["syscalls"]:
    action = s.ALLOW if rule["action"] == "SCMP_ACT_ALLOW" else s.ERRNO(rule["errnoRet"])
    for name in rule["names"]:
        if name in without or s.resolve_syscall(s.Arch.NATIVE, name) < 0:
            continue
        masked = lambda a: s.Arg(a["index"], s.MASKED_EQ, a["value"], a["valueTwo"])
        plain = lambda a: s.Arg(a["index"], s.EQ, a["value"])
        made.add_rule(action, name, *((masked if "MASKED" in a["op"] else plain)(a) for a in rule.get("args", [])))
made.load()
from grading.runner.tiers import probe
print(getattr(probe()[0], "name", "refused"))
"""


@pytest.mark.parametrize(
    ("without", "tier"), [([], "namespaces"), *([[name], "refused"] for name in ("unshare", "mount_setattr", "sethostname"))]
)
def test_a_sandbox_is_built_under_the_profile_and_not_without_its_calls(without: list[str], tier: str) -> None:
    """The very rules of the file, as the kernel takes them."""

    def probed(*command: str) -> str:
        return subprocess.run([sys.executable, "-c", *command], cwd=ROOT, check=True, capture_output=True, text=True).stdout.strip()

    if probed("from grading.runner.tiers import probe; print(getattr(probe()[0], 'name', ''))") != "namespaces":
        missing("No sandbox holds on this machine.")
    assert probed(UNDER_PROFILE, str(seccomp_profile.PROFILE), *without) == tier


# nginx


def nginx_text() -> str:
    return re.sub(r"#.*", "", (DEPLOY / "nginx.conf").read_text())


def location(name: str) -> str:
    return nginx_text().split(f"location {name} {{")[1].split("}")[0]


def test_the_proxy_keeps_to_the_sites_settings() -> None:
    values = examples("courseapp.env.example")
    assert re.findall(r"client_max_body_size (\w+);", nginx_text()) == [f"{settings.MAX_BODY_MB}m"]
    assert f'proxy_set_header {values["TRUSTED_PROXY_START_HEADER"]} "t=$began";' in location("/")
    assert f"proxy_set_header {values['TRUSTED_REQUEST_ID_HEADER']} $request_id;" in location("/")
    assert {"proxy_set_header X-Forwarded-Proto $scheme;", "proxy_set_header Host $host;"} <= {
        line.strip() for line in location("/").splitlines()
    }
    assert "internal;" in location(values["X_ACCEL_REDIRECT"])
    assert f"alias {values['DATA_DIR']}/uploads/;" in location(values["X_ACCEL_REDIRECT"])
    assert f"alias {values['DATA_DIR']}/static/;" in location("/static/")
    assert location("~ ^/(metrics|readyz)$").split() == ["return", "404;"]


class Upstream(BaseHTTPRequestHandler):
    """Stands in for the site: says what it was asked, and hands one file over."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        body = json.dumps({"path": self.path, "at": time.time(), "headers": dict(self.headers)}).encode()
        self.send_response(200)
        if self.path == "/file":
            self.send_header("X-Accel-Redirect", "/_private/ab/abc")
            self.send_header("Content-Disposition", 'attachment; filename="mlp.py"')
            self.send_header("Content-Type", "application/octet-stream")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def proxy(tmp_path: Path) -> Iterator[int]:
    """nginx with the example as it is, but for ports, certificate and folders. Its port for HTTPS."""
    if not (shutil.which("nginx") and shutil.which("openssl")):
        pytest.skip("nginx or openssl is not installed")
    server = ThreadingHTTPServer(("127.0.0.1", 0), Upstream)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    ports = []
    for _ in range(2):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            ports.append(probe.getsockname()[1])
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "key", "-out", "cert", "-subj", "/CN=courses.example.edu"],
        cwd=tmp_path,
        check=True,
        capture_output=True,
    )
    (tmp_path / "data/uploads/ab").mkdir(parents=True)
    (tmp_path / "data/uploads/ab/abc").write_text("kept\n")
    (tmp_path / "data/static").mkdir()
    for name in ("theme.css", "theme.0123456789ab.css"):
        (tmp_path / "data/static" / name).write_text("a{}\n")
    site = (DEPLOY / "nginx.conf").read_text()
    for old, new in {
        "127.0.0.1:8000": f"127.0.0.1:{server.server_port}",
        "listen 80;": f"listen 127.0.0.1:{ports[0]};",
        "listen 443 ssl http2;": f"listen 127.0.0.1:{ports[1]} ssl http2;",
        "listen [::]:80;": "",
        "listen [::]:443 ssl http2;": "",
        "/etc/letsencrypt/live/courses.example.edu/fullchain.pem": f"{tmp_path}/cert",
        "/etc/letsencrypt/live/courses.example.edu/privkey.pem": f"{tmp_path}/key",
        "/srv/courseapp/data": f"{tmp_path}/data",
    }.items():
        assert old in site
        site = site.replace(old, new)
    user = "user root;" if os.geteuid() == 0 else ""
    temporary = "".join(f"{name}_temp_path {tmp_path}/{name};" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    (tmp_path / "nginx.conf").write_text(
        f"daemon off; pid {tmp_path}/pid; {user} events {{}} http {{ access_log off; {temporary}\n{site}\n}}"
    )
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(["nginx", "-e", "stderr", "-c", str(tmp_path / "nginx.conf")], stderr=log)

    def listens() -> bool:
        assert process.poll() is None, (tmp_path / "log").read_text()
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", ports[1])) == 0

    eventually(listens, "nginx listens")
    yield ports[1]
    process.terminate()
    process.wait(timeout=PATIENCE_S)
    server.shutdown()
    server.server_close()


def connected(port: int) -> http.client.HTTPSConnection:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    connection = http.client.HTTPSConnection("127.0.0.1", port, context=context, timeout=PATIENCE_S)
    connection.connect()
    return connection


def test_a_real_proxy_tells_when_a_slow_upload_began_and_keeps_private_files_private(proxy: int) -> None:
    with contextlib.closing(connected(proxy)) as connection:
        _slow_upload(connection)
        _files(connection)


def _slow_upload(connection: http.client.HTTPSConnection) -> None:
    connection.putrequest("POST", "/upload", skip_host=True)
    for name, value in {"Host": "courses.example.edu", "Content-Length": "4", "X-Request-Start": "t=1", "X-Request-ID": "forged"}.items():
        connection.putheader(name, value)
    began = time.time()
    connection.endheaders()
    time.sleep(3)
    connection.send(b"body")
    asked = json.loads(connection.getresponse().read())
    told = float(asked["headers"]["X-Request-Start"].removeprefix("t="))
    assert told - began > -0.01  # it tells milliseconds
    assert asked["at"] - told > 0.5
    assert re.fullmatch("[0-9a-f]{32}", asked["headers"]["X-Request-ID"])
    assert (asked["headers"]["X-Forwarded-Proto"], asked["headers"]["Host"]) == ("https", "courses.example.edu")


def _files(connection: http.client.HTTPSConnection) -> None:
    def get(path: str) -> tuple[int, dict[str, str], bytes]:
        connection.request("GET", path, headers={"Host": "courses.example.edu"})
        response = connection.getresponse()
        return response.status, dict(response.getheaders()), response.read()

    status, headers, body = get("/file")
    assert (status, body) == (200, b"kept\n")
    assert headers["Content-Disposition"] == 'attachment; filename="mlp.py"'
    assert headers["Content-Security-Policy"] == "sandbox; default-src 'none'"
    assert headers["Content-Type"] == "application/octet-stream"
    assert [get(path)[0] for path in ("/_private/ab/abc", "/metrics", "/readyz")] == [404, 404, 404]
    caches = {"theme.0123456789ab.css": "public, max-age=31536000, immutable", "theme.css": "public, max-age=60"}
    for name, cache in caches.items():
        status, headers, body = get(f"/static/{name}")
        assert (status, body, headers["X-Content-Type-Options"], headers["Cache-Control"]) == (200, b"a{}\n", "nosniff", cache)


# Health checks


def healthy(what: str, **environ: str) -> int:
    command = [sys.executable, str(DEPLOY / "healthy.py"), what]
    return subprocess.run(command, check=False, capture_output=True, env={**os.environ, **environ}, cwd=ROOT).returncode


def test_a_beat_that_writes_nothing_any_more_is_not_well(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    assert healthy("beat", DATA_DIR=str(tmp_path)) == 1
    written = tmp_path / "run" / "beat"
    written.touch()
    assert healthy("beat", DATA_DIR=str(tmp_path)) == 0
    os.utime(written, (0, 0))
    assert healthy("beat", DATA_DIR=str(tmp_path)) == 1


def test_a_runner_host_that_does_not_answer_is_not_well(tmp_path: Path) -> None:
    assert healthy("runner", RUNNER_SOCKET=str(tmp_path / "runner.sock")) == 1
