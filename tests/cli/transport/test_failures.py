"""The failures of requests, urllib3 and the system in words: what was observed, and nothing else."""

import errno
import os
import socket
import ssl
from pathlib import Path

import pytest
import requests
import urllib3

from opstore_cli import OpStoreClient
from opstore_cli.transport.failures import to_opstore_error
from opstore_daemon.protocol import errors
from tests.support.fake_daemon import FakeDaemon
from tests.support.transfers import BYTES, Pipe, source_file

URL = "https://daemon.example"


def _new_connection(cause: OSError) -> Exception:
    failure = urllib3.exceptions.NewConnectionError(None, "failed")  # type: ignore[arg-type]
    failure.__cause__ = cause
    return requests.exceptions.ConnectionError(failure)


@pytest.mark.parametrize(
    ("failure", "kind", "reason"),
    [
        (_new_connection(ConnectionRefusedError(111, "Connection refused")), "DaemonUnreachable", "connection refused"),
        (_new_connection(OSError(errno.ENETUNREACH, "Network is unreachable")), "DaemonUnreachable", "network is unr"),
        (_new_connection(socket.gaierror(socket.EAI_NONAME, "x")), "DaemonUnreachable", "unknown host name"),
        (
            _new_connection(socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")),
            "DaemonUnreachable",
            "the host name can't be resolved: temporary failure in name resolution",
        ),
        (requests.exceptions.ConnectTimeout(), "DaemonUnreachable", "no connection within the timeout"),
        (requests.exceptions.ReadTimeout(TimeoutError()), "ConnectionLost", "no response within the timeout"),
        (ConnectionResetError(errno.ECONNRESET, "Connection reset by peer"), "ConnectionLost", "connection reset by"),
        (
            ssl.SSLEOFError(ssl.SSL_ERROR_EOF, "EOF occurred in violation of protocol"),
            "ConnectionLost",
            "EOF occurred in violation of protocol",
        ),
        (OSError(errno.EMFILE, os.strerror(errno.EMFILE)), "ConnectionLost", "too many open files"),
    ],
)
def test_the_reason_is_what_was_observed(failure: Exception, kind: str, reason: str) -> None:
    error = to_opstore_error(failure, URL)
    assert type(error).__name__ == kind
    assert str(error.details["reason"]).startswith(reason)


@pytest.mark.slow
@pytest.mark.usefixtures("no_waits")
def test_only_a_transfer_whose_progress_was_kept_is_said_to_resume(
    daemon: FakeDaemon, client: OpStoreClient, tmp_path: Path
) -> None:
    advice = []
    for source in (source_file(tmp_path), Pipe(BYTES), BYTES):
        daemon.faults = [("PATCH uploads", 0)] * 20
        with pytest.raises(errors.ConnectionLost) as caught:
            client.push("pca", source)  # type: ignore[arg-type]
        advice.append(caught.value.advice)
    daemon.faults = []
    client.push("pca", BYTES)
    for fault in (1, 0):
        daemon.faults = [("GET bytes", fault), *[("GET bytes", 0)] * 20]
        with pytest.raises(errors.ConnectionLost) as caught:
            client.pull("pca", tmp_path / "pulled")
        advice.append(caught.value.advice)
        (tmp_path / "pulled").unlink(missing_ok=True)
        for part in tmp_path.glob(".pulled*"):
            part.unlink()
    daemon.faults = [("GET bytes", 1), *[("GET bytes", 0)] * 20]
    with pytest.raises(errors.ConnectionLost) as caught:
        client.pull("pca")
    again, resumes = "run the same command again", "run the same command again: the transfer resumes"
    assert [*advice, caught.value.advice] == [resumes, again, again, resumes, again, again]
