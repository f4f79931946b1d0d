"""What is kept of the output of a command: the beginning and the end, in bounded memory."""

import hashlib
import random

import pytest

from opstore_cli.processes.output import MARGIN, KeptOutput
from opstore_daemon.protocol.limits import MAX_OUTPUT


def kept(pieces: list[bytes], limit: int = MAX_OUTPUT) -> KeptOutput:
    output = KeptOutput(limit)
    for piece in pieces:
        output.write(piece)
    return output


def test_short_output_is_kept_whole() -> None:
    output = kept([b"one\n", "zwölf\n".encode(), b"\xff\0end"])
    assert output.text() == "one\nzwölf\n\ufffd\ufffdend"
    assert output.size == 16
    assert output.digest.hex == hashlib.sha256("one\nzwölf\n".encode() + b"\xff\0end").hexdigest()


def test_of_long_output_the_beginning_and_the_end_are_kept() -> None:
    output = kept([f"line {number}\n".encode() for number in range(100_000)])
    head, missing, tail = output.text().split("\n[... ")[0], *output.text().split("\n[... ")[1].split(" bytes", 1)
    assert len(output.text()) <= MAX_OUTPUT
    assert head.startswith("line 0\nline 1\n")
    assert tail.startswith(" are not kept ...]\n")
    assert tail.endswith("line 99999\n")
    rest = tail.removeprefix(" are not kept ...]\n")
    assert output.size == len(head) + int(missing) + len(rest) == len("".join(f"line {n}\n" for n in range(100_000)))


@pytest.mark.parametrize("text", ["x", "ö", "€", "𝄞"])
def test_no_character_is_cut(text: str) -> None:
    for limit in range(MARGIN + 20, MARGIN + 30):
        shown = kept([(text * 100).encode()], limit).text()
        assert "\ufffd" not in shown
        assert len(shown) <= limit


def test_a_smaller_limit_keeps_less_of_both() -> None:
    output = kept([b"a" * 30_000 + b"b" * 30_000])
    shown = output.text(MARGIN + 10)
    assert shown == f"aaaaa\n[... {60_000 - 10} bytes are not kept ...]\nbbbbb"
    assert kept([b"a" * 500_000 + b"b" * 500_000]).text(MARGIN + 10).endswith("\nbbbbb")


def test_memory_does_not_grow_with_the_output() -> None:
    output = KeptOutput(10_000)
    for _ in range(2000):
        output.write(b"x" * 5_000)
        assert len(output._head) + len(output._tail) <= 15_000
    assert output.size == 10_000_000


@pytest.mark.oracle
def test_it_is_a_prefix_and_a_suffix_however_the_output_arrives() -> None:
    chance = random.Random(7)
    for _ in range(300):
        data = chance.randbytes(chance.randrange(1500)).replace(b"\n", b"x").replace(b"\0", b"x")
        data = bytes(byte & 0x7F | 0x20 for byte in data)
        output, place = KeptOutput(MARGIN + chance.randrange(2, 400)), 0
        while place < len(data):
            size = chance.randrange(1, 300)
            output.write(data[place : place + size])
            place += size
        head, _, tail = output.text().partition("\n[... ")
        assert data.startswith(head.encode())
        assert data.endswith(tail.partition("]\n")[2].encode())
        assert tail or head.encode() == data
