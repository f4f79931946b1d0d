"""Computing and parsing digests."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opstore_daemon.protocol import errors
from opstore_daemon.protocol.digests import Digest, digest_of, new_hash

HEX = "0123456789abcdef" * 4


def test_the_digest_of_empty_bytes_is_the_well_known_one() -> None:
    expected = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert digest_of(b"") == expected
    assert digest_of(new_hash()) == expected


@given(st.lists(st.binary(max_size=20), max_size=5))
def test_a_digest_does_not_depend_on_how_the_bytes_are_split(pieces: list[bytes]) -> None:
    data = b"".join(pieces)
    seen = new_hash()
    for piece in pieces:
        seen.update(piece)
    expected = "sha256:" + hashlib.sha256(data).hexdigest()
    assert digest_of(seen) == digest_of(data) == digest_of(bytearray(data)) == digest_of(memoryview(data)) == expected
    assert Digest.parse(expected) == expected
    assert digest_of(data).hex == hashlib.sha256(data).hexdigest()


def test_a_copy_of_a_hash_is_independent() -> None:
    seen = new_hash()
    seen.update(b"a")
    twin = seen.copy()
    twin.update(b"b")
    assert digest_of(seen) == digest_of(b"a")
    assert digest_of(twin) == digest_of(b"ab")


@pytest.mark.parametrize(
    "text",
    [
        "",
        HEX,
        "sha256:",
        "sha256:" + HEX[:-1],
        "sha256:" + HEX + "0",
        "sha256:" + HEX.upper(),
        "SHA256:" + HEX,
        "sha512:" + HEX,
        "sha256:" + HEX + "\n",
        " sha256:" + HEX,
        "sha256:" + "g" * 64,
        "sha256:" + "١" * 64,
        "sha256:../../" + "a" * 58,
    ],
)
def test_an_invalid_digest_is_refused(text: str) -> None:
    with pytest.raises(errors.InvalidDigest) as caught:
        Digest.parse(text)
    assert caught.value.details == {"text": text}


def test_a_long_text_is_not_repeated_in_full() -> None:
    with pytest.raises(errors.InvalidDigest) as caught:
        Digest.parse("a" * 100_000)
    assert len(caught.value.text) < 400
