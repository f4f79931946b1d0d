"""Comment on a pull request with the text of a file, or update the comment that an earlier run made (see action.yml).

Called as `pull_request_comment.py FILE`, with GITHUB_API_URL, GITHUB_REPOSITORY, GITHUB_TOKEN, PULL_REQUEST and
INPUT_PIPELINE in the environment. It needs only Python's standard library.

A comment that can't be made is a warning of the job: the pull requests of forks get a token that only reads.
"""

import json
import os
import re
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

MAX_BODY = 65_536  # characters of a comment
MAX_PAGES = 50
TIMEOUT = 30.0  # seconds of a request
ACTIONS_BOT = "github-actions[bot]"  # the user of a job's own token
_CUT = "\n\n(cut: the rest is in the log of the job)"


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Follows no redirect: it would send the token on."""

    def redirect_request(self, *_: Any) -> None:
        return None


class GitHub:
    """GitHub's REST API, as far as comments need it."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._api = environ["GITHUB_API_URL"].rstrip("/")
        self._repository = environ["GITHUB_REPOSITORY"]
        self._token = environ["GITHUB_TOKEN"]
        self._opener = urllib.request.build_opener(_NoRedirect)

    def request(self, method: str, path: str, body: object = None) -> Any:
        """Send a request and return the JSON document of the response. Raises OSError and ValueError."""
        request = urllib.request.Request(  # noqa: S310 - the runner sets the URL
            f"{self._api}{path}",
            data=None if body is None else json.dumps(body).encode(),
            method=method,
            headers={
                "Accept": "application/vnd.github+json",
                "Authorization": f"Bearer {self._token}",
                "Content-Type": "application/json",
                "User-Agent": "opstore",
                "X-GitHub-Api-Version": "2022-11-28",
            },
        )
        with self._opener.open(request, timeout=TIMEOUT) as response:
            return json.load(response)

    def login(self) -> str:
        """Return the user whose token it is. A job's own token may not ask."""
        try:
            return str(self.request("GET", "/user")["login"])
        except urllib.error.HTTPError as error:
            if error.code in (401, 403, 404):
                return ACTIONS_BOT
            raise

    def comments(self, number: int) -> Iterator[dict[str, Any]]:
        """Yield the comments on a pull request, the oldest first."""
        for page in range(1, MAX_PAGES + 1):
            path = f"/repos/{self._repository}/issues/{number}/comments?per_page=100&page={page}"
            found = self.request("GET", path)
            yield from found
            if len(found) < 100:
                return

    def comment(self, number: int, marker: str, text: str) -> str:
        """Make a comment, or update the one of the same user that begins with the marker; return which."""
        body = {"body": f"{marker}\n{text}"}
        if len(body["body"]) > MAX_BODY:
            body["body"] = body["body"][: MAX_BODY - len(_CUT)] + _CUT
        login = self.login()
        for comment in self.comments(number):
            if comment["user"]["login"] == login and (comment["body"] or "").startswith(f"{marker}\n"):
                self.request("PATCH", f"/repos/{self._repository}/issues/comments/{int(comment['id'])}", body)
                return "updated"
        self.request("POST", f"/repos/{self._repository}/issues/{number}/comments", body)
        return "created"


def main(words: list[str], environ: Mapping[str, str]) -> int:
    """Comment, and print what was done; return the exit code."""
    text = Path(words[0]).read_text(encoding="utf-8")
    # A comment for each pipeline; nothing else of the name can end up in the marker.
    pipeline = re.sub(r"[^a-z0-9._-]|--+", "", environ.get("INPUT_PIPELINE", ""))
    marker = f"<!-- opstore {pipeline} -->" if pipeline else "<!-- opstore -->"
    try:
        done = GitHub(environ).comment(int(environ["PULL_REQUEST"]), marker, text)
    except urllib.error.HTTPError as error:
        hint = "; the job needs `permissions: pull-requests: write`" if error.code in (401, 403, 404) else ""
        print(f"::warning::no comment on the pull request: GitHub answered with the status {error.code}{hint}")  # noqa: T201
    except (OSError, ValueError, KeyError, TypeError) as error:
        print(f"::warning::no comment on the pull request: {type(error).__name__}")  # noqa: T201
    else:
        print(f"{done} the comment on the pull request")  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ))
