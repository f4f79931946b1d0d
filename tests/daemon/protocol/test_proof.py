"""The proof that a daemon knows the token."""

import hashlib
import hmac

import pytest

from opstore_daemon.protocol.proof import authority, is_nonce, is_proof, key_of, new_nonce, prove

TOKEN, NONCE, AT = "the token", "ab" * 32, "127.0.0.1:4321"
KEY = hashlib.sha256(b"the token").digest()


def test_the_proof_is_an_hmac_of_authority_and_nonce_by_the_sha256_of_the_token() -> None:
    expected = hmac.new(KEY, b"opstore-proof:127.0.0.1:4321:" + b"ab" * 32, hashlib.sha256).hexdigest()
    assert prove(key_of(TOKEN), NONCE, AT) == expected
    assert is_proof(expected, TOKEN, NONCE, AT)
    assert is_proof(f"{'0' * 64}, {expected}", TOKEN, NONCE, AT)


def test_an_authority_is_an_address_and_a_port() -> None:
    assert (authority("127.0.0.1", 80), authority("::1", 4321)) == ("127.0.0.1:80", "[::1]:4321")


@pytest.mark.parametrize(
    ("token", "nonce", "at"),
    [
        ("another", NONCE, AT),
        (TOKEN, "cd" * 32, AT),
        (TOKEN, NONCE, "127.0.0.1:4322"),
        (TOKEN, NONCE, "[::1]:4321"),
        ("", NONCE, AT),
    ],
)
def test_the_proof_depends_on_token_nonce_and_authority(token: str, nonce: str, at: str) -> None:
    assert prove(key_of(token), nonce, at) != prove(KEY, NONCE, AT)
    assert not is_proof(prove(key_of(token), nonce, at), TOKEN, NONCE, AT)


@pytest.mark.parametrize("given", ["", ",", "0" * 64, TOKEN, "é" * 64, prove(KEY, NONCE, AT)[:-1]])
def test_other_values_are_not_accepted_as_a_proof(given: str) -> None:
    assert not is_proof(given, TOKEN, NONCE, AT)


def test_a_proof_contains_neither_token_nor_nonce() -> None:
    proof = prove(KEY, NONCE, AT)
    assert TOKEN not in proof
    assert NONCE not in proof
    assert len(proof) == 64


def test_a_new_nonce_is_valid_and_unique() -> None:
    nonces = {new_nonce() for _ in range(100)}
    assert len(nonces) == 100
    assert all(is_nonce(nonce) for nonce in nonces)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a" * 32, True),
        ("a" * 128, True),
        ("a" * 31, False),
        ("a" * 129, False),
        ("A" * 32, False),
        ("g" * 32, False),
        ("a" * 32 + "\n", False),
        ("a" * 32 + "\r\nX: y", False),
        ("١" * 32, False),
        ("", False),
    ],
)
def test_a_nonce_is_32_to_128_hex_digits(text: str, expected: bool) -> None:
    assert is_nonce(text) is expected
