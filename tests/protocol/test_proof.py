"""The proof that who answers knows the token."""

import hashlib
import hmac

import pytest

from opstore_daemon.protocol.proof import is_nonce, is_proof, new_nonce, prove

TOKEN, NONCE, PORT = "the token", "ab" * 32, 4321


def test_the_proof_is_an_hmac_of_port_and_nonce_by_the_token() -> None:
    expected = hmac.new(b"the token", b"opstore-proof:4321:" + b"ab" * 32, hashlib.sha256).hexdigest()
    assert prove(TOKEN, NONCE, PORT) == expected
    assert is_proof(expected, TOKEN, NONCE, PORT)


@pytest.mark.parametrize(
    ("token", "nonce", "port"),
    [("another", NONCE, PORT), (TOKEN, "cd" * 32, PORT), (TOKEN, NONCE, PORT + 1), ("", NONCE, PORT)],
)
def test_the_proof_differs_by_token_nonce_and_port(token: str, nonce: str, port: int) -> None:
    assert prove(token, nonce, port) != prove(TOKEN, NONCE, PORT)
    assert not is_proof(prove(token, nonce, port), TOKEN, NONCE, PORT)


@pytest.mark.parametrize("given", ["", "0" * 64, TOKEN, "é" * 64, prove(TOKEN, NONCE, PORT)[:-1]])
def test_anything_else_is_no_proof(given: str) -> None:
    assert not is_proof(given, TOKEN, NONCE, PORT)


def test_neither_token_nor_nonce_can_be_read_off_a_proof() -> None:
    proof = prove(TOKEN, NONCE, PORT)
    assert TOKEN not in proof
    assert NONCE not in proof
    assert len(proof) == 64


def test_a_new_nonce_has_the_form_of_one_and_nobody_has_seen_it() -> None:
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
