"""Evaluate the versions of the pipeline that opstore pulled: exit code 0 if they tell good reviews from bad ones."""

import json
import os
import sys

REVIEWS = {
    "A good film!": True,
    "Great, and lovely to look at.": True,
    "Lovely. Fine.": True,
    "Bad, very bad.": False,
    "Boring!": False,
    "Awful, poor and boring.": False,
}


def load(op: str) -> dict:
    with open(os.environ[f"OPSTORE_OP_{op.upper()}"], encoding="utf-8") as file:
        return json.load(file)


def predict(text: str) -> bool:
    tokenizer = load("tokenizer")
    words = (text.lower() if tokenizer["lowercase"] else text).split()
    known = [word for word in (word.strip(".,!?") for word in words) if word in load("vocabulary")["words"]]
    score = sum(load("embedding")["weights"][word] for word in known) * load("classifier")["scale"]
    return score >= load("threshold")["at_least"]


right = sum(predict(text) == is_good for text, is_good in REVIEWS.items())
print(f"{right} of {len(REVIEWS)} reviews are right")
sys.exit(0 if right == len(REVIEWS) else 1)
