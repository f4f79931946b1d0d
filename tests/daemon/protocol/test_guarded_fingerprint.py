"""What a request is told apart from others by."""

from opstore_daemon.protocol.records import fingerprint


def test_parts_that_read_alike_in_a_row_have_fingerprints_of_their_own() -> None:
    parts = (
        [b"POST/v1/ops", b""],
        [b"POST", b"/v1/ops"],
        [b"POST/", b"v1/ops"],
        [b"POST/v1/ops"],
        [b"", b"POST/v1/ops"],
    )
    assert len({fingerprint(each) for each in parts}) == len(parts)
    assert fingerprint([b"a", b"b"]) == fingerprint([b"a", b"b"])
