"""The API's description and the command line, as they are served."""

import ast
import io
import re
from html.parser import HTMLParser

import pytest
from django.conf import LazySettings
from django.core.management import call_command
from django.test import Client

from courseapp import api_docs, command_line

pytestmark = pytest.mark.django_db


def test_the_schema_is_valid_and_made_without_a_warning() -> None:
    out = io.StringIO()
    call_command("spectacular", "--validate", "--fail-on-warn", stdout=out)  # raises on either
    assert out.getvalue().startswith("openapi: 3.1.0\n")


def test_the_schema_is_served_to_everybody(client: Client) -> None:
    answer = client.get("/api/schema/")
    assert (answer.status_code, answer.json()["openapi"], answer["Content-Type"]) == (200, "3.1.0", "application/json")


class Links(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.targets: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.ids += [name for name in [given.get("id")] if name]
        target = given.get("href") or ""
        self.targets |= {target[1:]} if target.startswith("#") else set()


def test_the_docs_page_shows_every_operation_and_its_links_lead_somewhere(client: Client) -> None:
    html = client.get("/api/docs/").content.decode()
    found = Links()
    found.feed(html)
    operations = {one["operationId"] for methods in api_docs.schema()["paths"].values() for one in methods.values()}
    assert operations <= set(found.ids)
    assert html.count("Authorization: Token $HANDIN_TOKEN") == len(operations) + 1
    assert found.targets <= set(found.ids)
    assert sorted(found.ids) == sorted(set(found.ids))
    assert len(html.encode()) < 80_000


def test_every_curl_line_names_an_address_without_gaps() -> None:
    lines = [one.curl for _, operations in api_docs.groups() for one in operations]
    assert [line for line in lines if "{" in line.rsplit("\n", 1)[-1]] == []
    hand_in = next(line for line in lines if "-F" in line)
    assert hand_in.split(" \\\n  ")[1:] == [
        "-F files=@mlp.py",
        "-F own_work=yes",
        "http://127.0.0.1:8000/api/v1/courses/ds-ga-1008-fl23/homeworks/hw1-backprop/practice/submissions/",
    ]


def test_the_script_is_served_with_the_sites_address(client: Client, settings: LazySettings) -> None:
    settings.SITE_URL = "https://course.example.edu"
    command_line.script.cache_clear()
    try:
        answer = client.get("/handin.py")
    finally:
        command_line.script.cache_clear()
    source = answer.content.decode()
    assert (answer.status_code, answer["Content-Disposition"]) == (200, 'attachment; filename="handin.py"')
    assert re.findall(r"^SITE = .*$", source, re.MULTILINE) == ['SITE = "https://course.example.edu"']


def test_the_script_keeps_to_its_bounds() -> None:
    source = command_line.PROGRAM.read_text()
    assert len(source.splitlines()) <= 150
    tree = ast.parse(source, feature_version=(3, 8))
    imported = {name.name.split(".")[0] for node in ast.walk(tree) if isinstance(node, ast.Import) for name in node.names}
    imported |= {node.module.split(".")[0] for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module}
    assert imported <= {"argparse", "datetime", "getpass", "http", "json", "os", "pathlib", "sys", "time", "typing", "urllib", "uuid"}
