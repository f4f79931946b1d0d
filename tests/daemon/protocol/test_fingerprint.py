"""Fingerprints of requests."""

from opstore_daemon.protocol.records import fingerprint


def test_parts_with_equal_concatenations_have_different_fingerprints() -> None:
    parts = (
        [b"POST/v1/ops", b""],
        [b"POST", b"/v1/ops"],
        [b"POST/", b"v1/ops"],
        [b"POST/v1/ops"],
        [b"", b"POST/v1/ops"],
    )
    assert len({fingerprint(each) for each in parts}) == len(parts)
    assert fingerprint([b"a", b"b"]) == fingerprint([b"a", b"b"])
