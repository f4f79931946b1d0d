"""The daemon's log has a few of the lines that repeat, and their number."""

import logging
from collections.abc import Iterator

import pytest

from opstore_daemon import log as daemon_log
from opstore_daemon.log import ANONYMOUS_BURST, BURST, MAX_WINDOW, TRACEBACKS, WINDOW, LimitedHandler
from opstore_daemon.web.guards import Credential
from opstore_daemon.web.request_log import MAX_PATH, log_request
from tests.support.clock import Clock


class Lines(logging.Handler):
    """Collects formatted records."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def lines(clock: Clock) -> Iterator[list[str]]:
    """Return the lines that all loggers write through a LimitedHandler."""
    target = Lines()
    handler = LimitedHandler(target, clock=clock)
    root, level = logging.getLogger(), logging.getLogger().level
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    yield target.lines
    root.removeHandler(handler)
    root.setLevel(level)


def refused(status: int, number: int, path: str = "/v1/ops") -> None:
    log_request("id", "GET", path, status, peer=f"127.0.0.1:{number}")


def test_refused_requests_leave_a_few_lines_and_then_their_number(lines: list[str], clock: Clock) -> None:
    for number in range(1490):
        refused(401, number)
    assert len(lines) == BURST
    assert lines[0].endswith("INFO opstore.access id GET /v1/ops 401 0.0 ms 127.0.0.1:0 -")
    clock.now += WINDOW
    refused(403, 1)
    assert len(lines) == BURST + 2
    assert "1,480 more like this in the last 60 s: id GET /v1/ops 401 0.0 ms 127.0.0.1:1489 -" in lines[BURST]


@pytest.mark.slow
def test_a_flood_that_goes_on_is_reported_less_and_less_often(lines: list[str], clock: Clock) -> None:
    for number in range(int(5 * MAX_WINDOW / 2)):
        clock.now = 2.0 * number
        refused(401, number)
    assert BURST < len(lines) < BURST + 12, "in five hours"
    clock.now += 2 * MAX_WINDOW
    refused(401, 1)
    clock.now += 2 * MAX_WINDOW
    before = len(lines)
    refused(401, 2)
    assert lines[before + 1].endswith(" id GET /v1/ops 401 0.0 ms 127.0.0.1:2 -"), (
        "after an hour without any, the next one is in the log again"
    )


def test_all_kinds_of_refusals_together_are_limited(lines: list[str]) -> None:
    for status in range(400, 500):
        for number in range(5):
            refused(status, number)
    assert len(lines) == ANONYMOUS_BURST


def test_requests_with_a_token_are_not_limited_and_have_its_name(lines: list[str]) -> None:
    credential = Credential("1a2b3c4d" + "0" * 24, "read")
    for _ in range(1000):
        log_request("id", "GET", "/v1/ops", 200, peer="127.0.0.1:7", credential=credential)
        refused(401, 1)
    assert sum(line.endswith(" GET /v1/ops 200 0.0 ms 127.0.0.1:7 1a2b3c4d") for line in lines) == 1000


def test_long_paths_are_shortened_and_escaped(lines: list[str]) -> None:
    refused(401, 1, "/" + "a" * 30_000)
    refused(401, 1, "/" + "\n" * 30_000)
    refused(401, 1, "/\u202e\x1b[31m")
    assert all(len(line) < MAX_PATH + 150 for line in lines)
    assert all(line.isprintable() for line in lines)
    assert "a..." in lines[0]


def test_a_code_that_starts_a_session_is_in_no_line(lines: list[str]) -> None:
    refused(404, 1, "/ui/open/secret")
    logging.getLogger("waitress").error("Exception while serving %s", "/ui/open/secret")
    assert len(lines) == 2
    assert not any("secret" in line for line in lines)


def test_a_message_of_a_library_is_one_line(lines: list[str]) -> None:
    logging.getLogger("waitress").error("Exception while serving %s", "/\n2026-01-01 forged\u202e größe")
    assert lines[0].endswith("Exception while serving /\\n2026-01-01 forged\\u202e größe")
    logging.getLogger("opstore").error("%s: %r", "\udcff", "\udcff")
    assert lines[1].endswith(r"\xff: '\xff'")


def test_repeated_tracebacks_are_suppressed_and_their_references_stay(lines: list[str]) -> None:
    for number in range(20):
        try:
            raise RuntimeError("a bug")
        except RuntimeError as error:
            logging.getLogger("opstore.error").error("internal error %d", number, exc_info=error)
    assert sum("Traceback" in line for line in lines) == TRACEBACKS
    assert [line for line in lines if "internal error 19" in line]


def test_what_a_library_formats_itself_is_one_kind(lines: list[str]) -> None:
    for number in range(1000):
        logging.getLogger("waitress").error(f"uncaptured exception, closing channel {number}")
    assert len(lines) == BURST


def test_close_reports_how_many_lines_were_suppressed(clock: Clock) -> None:
    target = Lines()
    handler = LimitedHandler(target, clock=clock)
    for number in range(BURST + 5):
        record = logging.LogRecord("waitress", logging.ERROR, "file", 1, "message %d", (number,), None)
        handler.handle(record)
    handler.close()
    assert "5 more like this" in target.lines[-1]
    assert len(target.lines) - 1 == daemon_log.BURST
