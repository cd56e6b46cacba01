"""A real OpenID Connect provider of the tests' own, on loopback."""

import subprocess
import sys
import time
from typing import Any
from urllib.parse import urlsplit

import requests
from django.test import Client

from grading.runner.parent import die_with_parent

LOGIN = "/accounts/oidc/sso/login/"


class Provider:
    """It knows whom it was told of; whoever signs in there only names themselves."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        command = [sys.executable, "-W", "ignore", "-m", "oidc_provider_mock", "--port", str(port)]
        self.process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, preexec_fn=die_with_parent()
        )
        for _ in range(600):
            try:
                requests.get(f"{self.url}/.well-known/openid-configuration", timeout=5).raise_for_status()
            except requests.ConnectionError:
                assert self.process.poll() is None
                time.sleep(0.05)
            else:
                return
        raise RuntimeError("The OpenID Connect provider did not answer within 30 s.")

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(timeout=10)

    def person(self, sub: str, **claims: Any) -> None:
        requests.put(f"{self.url}/users/{sub}", json=claims, timeout=5).raise_for_status()

    def agree(self, address: str, sub: str) -> str:
        """What somebody does there; where they are sent back to, without the host."""
        answer = requests.post(address, data={"sub": sub}, allow_redirects=False, timeout=5)
        assert answer.status_code == 302, answer.text
        back = urlsplit(answer.headers["Location"])
        return f"{back.path}?{back.query}"

    def sign_in(self, client: Client, sub: str, process: str = "login") -> Any:
        """The whole way from the button to the answer of this site."""
        leaving = client.post(f"{LOGIN}?process={process}")
        assert leaving.status_code == 200, leaving
        return client.get(self.agree(leaving.context["there"], sub))
