"""Make the history of a pipeline: 5 ops with 64 versions, of which one breaks it.

The pipeline tells good reviews from bad ones: a tokenizer splits a text into words, a vocabulary numbers them, an
embedding gives each number a weight, a classifier adds the weights up, and a threshold decides. `evaluate.py` runs it.
"""

import json
from collections.abc import Iterator
from pathlib import Path

from opstore_cli import OpStoreClient
from opstore_cli.client.base import BaseOpStoreClient

OPS = ("tokenizer", "vocabulary", "embedding", "classifier", "threshold")
GOOD = ("good", "great", "lovely", "fine")
BAD = ("bad", "awful", "poor", "boring")
VERSIONS = 64
FAULT = 41  # the number of the version that breaks the pipeline: a tokenizer that keeps capital letters


def versions() -> Iterator[tuple[str, dict[str, object], str]]:
    """Yield the op, the content and the message of each version, one op after the other."""
    for number in range(1, VERSIONS + 1):
        week, op = divmod(number - 1, len(OPS))
        yield op_version(OPS[op], week + 1, number)


def op_version(op: str, week: int, number: int) -> tuple[str, dict[str, object], str]:
    """Return one version of an op: each week something small changes."""
    words = (*GOOD, *BAD)
    content: dict[str, dict[str, object]] = {
        "tokenizer": {"lowercase": number < FAULT, "marks": ".,!?"[: 1 + week % 4]},
        "vocabulary": {"words": [*words, *(f"word{each}" for each in range(week))]},
        "embedding": {"weights": {word: (1 if word in GOOD else -1) * (1 + week / 10) for word in words}},
        "classifier": {"scale": 1 + week / 100},
        "threshold": {"at_least": week / 1000},
    }
    message = "the new release of the library" if op == "tokenizer" and number >= FAULT else f"week {week}"
    return op, content[op], message


def fill(client: BaseOpStoreClient, lock: Path) -> None:
    """Push the versions. Write the lock of the first one of each op, with which the pipeline was released."""
    client.register_pipeline("reviews", OPS)
    for number, (op, content, message) in enumerate(versions(), 1):
        # In the first week each op was validated with the one before.
        upstream = OPS[OPS.index(op) - 1] if 1 < number <= len(OPS) else None
        data = json.dumps(content).encode()
        client.push(op, data, message=message, valid_with=() if upstream is None else upstream)
        if number == len(OPS):
            client.write_lock(client.resolve("reviews"), lock)


if __name__ == "__main__":
    fill(OpStoreClient(), Path("release.lock"))
