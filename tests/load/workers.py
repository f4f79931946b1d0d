"""What the client processes of these tests do. It imports little: each process imports it."""

import io
import random

from opstore_cli import OpStoreClient

# The larger ones need an upload, unless the store has them.
CONTENTS = [b"%d".ljust(size, b"x") % number for number, size in enumerate((10, 10, 5_000, 1_100_000, 1_100_000))]


def push_numbered(number: int, count: int, url: str, token: str) -> list[tuple[int, str]]:
    """Push `count` versions of one op; return the sequence and the number of each."""
    with OpStoreClient(url, token=token) as client:
        pushed = [
            client.push("pca", f"{number} {turn}".encode(), bump=("patch", "minor")[turn % 2]) for turn in range(count)
        ]
    return [(each.sequence, each.version) for each in pushed]


def push_and_remove(number: int, count: int, url: str, token: str) -> int:
    """Push what the other processes push, too, and remove it again; return how often it was pushed."""
    chance, op, kept = random.Random(number), f"op{number}", list[tuple[str, bytes]]()
    with OpStoreClient(url, token=token) as client:
        for _ in range(count):
            data = chance.choice(CONTENTS)
            kept.append((client.push(op, io.BytesIO(data), new=True).version, data))
            for version, pushed in kept:
                assert client.pull(f"{op}@{version}") == pushed, version
            if len(kept) == 3:
                client.remove([f"{op}@{version}" for version, _ in kept], force=True)
                kept.clear()
    return count
