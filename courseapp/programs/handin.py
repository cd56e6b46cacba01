#!/usr/bin/env python3
"""Hand in homework from the command line, wait for its run, and print the result. Needs Python 3.8 or newer and nothing else.

    python3 handin.py COURSE HOMEWORK COMPONENT FILE ...       for example: ds-ga-1008-fl23 hw1-backprop practice mlp.py

The token (scopes read and submit; make one on your account's page) is read from --token-file, else from the variable HANDIN_TOKEN,
else asked for. A broken connection is tried again under the same key, so nothing is ever handed in twice.

Exit status: 0 handed in, and judged where there is something to run; 1 refused, nothing was handed in; 2 wrong use, or no token;
3 no connection; 4 kept, but it does not count; 5 handed in, not judged yet; 6 handed in, could not be judged.
"""

import argparse
import getpass
import http.client
import json
import os
import pathlib
import sys
import time
import urllib.error
import urllib.request
import uuid
from datetime import datetime
from typing import Any

SITE = "http://127.0.0.1:8000"
PAUSES = (1, 2, 4, 8, 15, 30, 0)


class Stop(Exception):  # noqa: N818
    """Ends the program: what to say, and the exit status."""


class NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        """The token goes to this site and nowhere else."""


OPENER = urllib.request.build_opener(NoRedirect)


def call(token: str, method: str, path: str, body: bytes = b"", **headers: str) -> Any:
    """The site's answer. What the site refuses stops the program in its words; what may pass is tried again."""
    sent = {"Authorization": f"Token {token}", **{name.replace("_", "-"): value for name, value in headers.items()}}
    for pause in PAUSES:
        try:
            with OPENER.open(urllib.request.Request(SITE + path, body or None, sent, method=method), timeout=60) as answer:  # noqa: S310
                return json.load(answer)
        except urllib.error.HTTPError as error:
            said = json.loads(text) if (text := error.read())[:1] == b"{" else {"error": f"The site answered {error.code} {error.reason}."}
            why = said["error"]
            if error.code not in (502, 503, 504) and "Retry-After" not in error.headers:
                raise Stop("\n".join([why, *said.get("details", []), said.get("kept", "")]), 1) from None
            pause = pause and int(error.headers.get("Retry-After", pause))
        except (OSError, http.client.HTTPException, ValueError) as error:
            why = f"No connection to {SITE} ({getattr(error, 'reason', error)})."
        if pause:
            print(f"{why} Trying again in {pause} s.", file=sys.stderr)
            time.sleep(pause)
    key = headers.get("Idempotency_Key")
    raise Stop(why + (f"\nIt may have arrived. Try again, without handing in twice, by: --key {key}" if key else ""), 3)


def agreed(question: str, given: bool) -> bool:
    """Whether the person agrees: said beforehand by an option, else asked."""
    print(question, flush=True)
    return given or (sys.stdin.isatty() and input("Type yes to agree: ").strip().lower() in ("y", "yes"))


def multipart(files: Any, fields: Any, mark: str) -> bytes:
    """The body of a form with these files; `mark` stands between its parts."""
    parts = [f'name="{name}"\r\n\r\n{value}'.encode() for name, value in fields.items()]
    for path in files:
        name = path.name.replace('"', "_").replace("\r", "_").replace("\n", "_")
        parts.append(f'name="files"; filename="{name}"\r\nContent-Type: application/octet-stream\r\n\r\n'.encode() + path.read_bytes())
    start = f"--{mark}\r\nContent-Disposition: form-data; ".encode()
    return b"".join(start + part + b"\r\n" for part in parts) + f"--{mark}--\r\n".encode()


def card(made: Any) -> None:
    """The result in columns, without the signs that would move a terminal's cursor."""
    result, score, lines = made["result"], made["score"], []
    for row in result["checks"] if result else []:
        points = f"{'?' if row['points'] is None else row['points']} / {row['out_of']}"
        lines.append(f"  {row['state']:<10} {points:>11}  {row['title']}")
        lines += [f"{'':26}{line}" for line in row["message"].splitlines()]
    lines += [f"{result['outcome']} {result['fault']} {result['message']}"] if result else []
    lines += [f"  {line['item']:<14} {line['points']:>7}  {line['why']}" for line in score["lines"]] if score else []
    lines.append(f"Score: {score['final']} of {score['possible']}" if score else made["score_note"])
    print("\n".join("".join(sign if sign.isprintable() else " " for sign in line).rstrip() for line in lines))


def hand_in(token: str, options: Any) -> Any:
    """The hand-in as the site tells it. Nothing is handed in before the person has agreed."""
    home = f"/api/v1/courses/{options.course}/homeworks/{options.homework}/"
    part = next((one for one in call(token, "GET", home)["components"] if one["component"] == options.component), None)
    if part is None or not part["open"]:
        raise Stop(f"You cannot hand in there now. {part['closed_note'] if part else ''}\nNothing was handed in.", 1)
    late, fields = part["late_now"], {"own_work": "yes"}
    if not agreed(part["own_work"], options.own_work) or (late and not agreed(late["sentence"], options.agree)):
        raise Stop("Nothing was handed in. Without being asked, agree by --own-work, and to what lateness costs by --agree.", 1)
    body = multipart(options.files, {**fields, "confirm_late": late["days"]} if late else fields, options.key)
    kind = f"multipart/form-data; boundary={options.key}"
    made = call(token, "POST", f"{home}{options.component}/submissions/", body, Content_Type=kind, Idempotency_Key=options.key)
    when = datetime.fromisoformat(made["received_at"].replace("Z", "+00:00")).astimezone()
    print(f"Hand-in #{made['number']}, {when:%a %d %b %H:%M:%S %Z}, {made['lateness']}. Receipt {made['receipt']['code']}\n{made['page']}")
    if made["confirm"] and agreed(made["confirm"]["sentence"], options.agree):
        days = json.dumps({"days": made["confirm"]["days"]}).encode()
        made = call(token, "POST", f"/api/v1/submissions/{made['id']}/confirm/", days, Content_Type="application/json")
    if made["state"] != "accepted":
        raise Stop(f"It is kept, but does not count. {made['refusal'] or 'It waits for your confirmation.'}", 4)
    return made


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("course", "homework"):
        parser.add_argument(name)
    parser.add_argument("component", choices=["theory", "practice"])
    parser.add_argument("files", nargs="+", type=pathlib.Path)
    parser.add_argument("--token-file", type=pathlib.Path, help="a file that holds the token")
    parser.add_argument("--own-work", action="store_true", help="state that the work is your own, without being asked")
    parser.add_argument("--agree", action="store_true", help="agree to what a late hand-in costs, without being asked")
    parser.add_argument("--wait", type=int, default=900, metavar="SECONDS", help="how long to wait for the result (900)")
    parser.add_argument("--key", default=uuid.uuid4().hex, help="that of an earlier try, which may have arrived")
    options, made, said = parser.parse_args(), None, ""
    try:
        given = options.token_file.read_text() if options.token_file else os.environ.get("HANDIN_TOKEN") or getpass.getpass("Token: ")
        token, end = given.strip(), time.monotonic() + options.wait
        made = hand_in(token, options)
        while made["run"] and made["run"]["open"]:
            if time.monotonic() >= end:
                raise Stop("It is handed in, and not judged yet; its page shows when it is.", 5)
            if made["run"]["sentence"] != said:
                print(said := made["run"]["sentence"], file=sys.stderr)
            time.sleep(2)
            made = call(token, "GET", f"/api/v1/submissions/{made['id']}/")
        card(made)
        return 6 if made["run"] and made["run"]["state"] == "failed" else 0
    except Stop as stop:
        print(stop.args[0].strip(), file=sys.stderr)
        return 5 if made else int(stop.args[1])
    except (OSError, EOFError, KeyboardInterrupt) as error:  # a file that cannot be read, nobody who answers, Ctrl-C
        print(f"{error}\nStopped; {'it is handed in' if made else 'the page of the homework says whether it arrived'}.", file=sys.stderr)
        return 5 if made else 2


if __name__ == "__main__":
    sys.exit(main())
