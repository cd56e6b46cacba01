"""A real OpenID Connect provider of the tests' own, on loopback."""

import subprocess
import sys
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

import requests
from django.test import Client

from grading.runner.parent import die_with_parent
from tests.patience import PATIENCE_S, eventually

LOGIN = "/accounts/oidc/sso/login/"


class Provider:
    """It knows whom it was told of; whoever signs in there only names themselves."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        command = [sys.executable, "-W", "ignore", "-m", "oidc_provider_mock", "--port", str(port)]
        self.process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, preexec_fn=die_with_parent()
        )
        eventually(self._answers, "the OpenID Connect provider answers")

    def _answers(self) -> bool:
        assert self.process.poll() is None
        with suppress(requests.ConnectionError):
            requests.get(f"{self.url}/.well-known/openid-configuration", timeout=PATIENCE_S).raise_for_status()
            return True
        return False

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(timeout=PATIENCE_S)

    def person(self, sub: str, **claims: Any) -> None:
        requests.put(f"{self.url}/users/{sub}", json=claims, timeout=PATIENCE_S).raise_for_status()

    def agree(self, address: str, sub: str) -> str:
        """What somebody does there; where they are sent back to, without the host."""
        answer = requests.post(address, data={"sub": sub}, allow_redirects=False, timeout=PATIENCE_S)
        assert answer.status_code == 302, answer.text
        back = urlsplit(answer.headers["Location"])
        return f"{back.path}?{back.query}"

    def sign_in(self, client: Client, sub: str, process: str = "login") -> Any:
        """The whole way from the button to the answer of this site."""
        leaving = client.post(f"{LOGIN}?process={process}")
        assert leaving.status_code == 200, leaving
        return client.get(self.agree(leaving.context["there"], sub))
