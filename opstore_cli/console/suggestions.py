"""Suggest a command in place of one that does not exist, by its meaning in other tools or by its spelling."""

from collections.abc import Collection, Mapping
from typing import NamedTuple

CUTOFF = 0.7  # of the similarity that difflib computes: `psh` is like `push` (0.86), not like `ops` (0.67)

Uses = tuple[tuple[str, str], ...]  # commands of opstore, and what each does


class Meaning(NamedTuple):
    """Commands of other tools that mean the same, and what to use here."""

    names: str
    uses: Uses


_PUSH: Uses = (("push NAME FILE", "stores a file or folder"),)
_PULL: Uses = (("pull REF", "writes the bytes of a version to a file"),)
_SHOW: Uses = (("show REF", "shows one version"),)
_OPS: Uses = (("ops", "lists the ops"), ("versions NAME", "lists the versions of one"))
_HISTORY: Uses = (("log NAME", "lists the entries of the journal"), ("versions NAME", "lists the versions of an op"))
_RETIRE: Uses = (
    ("remove REF", "removes a version"),
    ("yank REF --reason TEXT", "retires a version"),
    ("untag NAME TAG", "removes a tag"),
    ("unlink UP DOWN", "revokes a link"),
)

MEANINGS: dict[str, tuple[Meaning, ...]] = {
    "": (
        Meaning("ls list search find grep models artifacts", _OPS),
        Meaning("rm remove delete del erase", _RETIRE),
        Meaning("deprecate retire archive", (("yank REF --reason TEXT", "retires a version"),)),
        Meaning("inspect info describe stat", _SHOW),
        Meaning("history log reflog changes", _HISTORY),
        Meaning("get download fetch load checkout clone", _PULL),
        Meaning("cat", (("pull REF -o -", "writes the bytes of a version to standard output"),)),
        Meaning("upload add put store save commit create publish new", _PUSH),
        Meaning(
            "check gate",
            (
                ("validate PIPELINE", "says whether its latest versions are valid together"),
                ("resolve --check FILE", "says whether a lock still holds"),
            ),
        ),
        Meaning(
            "run test evaluate eval",
            (
                ("verify PIPELINE --run CMD", "runs a command on the latest versions and records what it showed"),
                ("runs PIPELINE", "lists the runs"),
            ),
        ),
        Meaning("experiments executions evaluations results", (("runs PIPELINE", "lists the runs of a pipeline"),)),
        Meaning("approve allow valid", (("link UP DOWN", "records that a version is valid for another"),)),
        Meaning("reject deny block", (("link UP DOWN --invalid", "records that a version is not valid for another"),)),
        Meaning("lock freeze pin", (("resolve PIPELINE --lock FILE", "writes a lock"),)),
        Meaning("sync install", (("pull --lock FILE -d DIR", "writes all bytes of a lock to a folder"),)),
        Meaning("update upgrade", (("resolve PIPELINE --lock FILE --upgrade OP", "moves an op of a lock"),)),
        Meaning("stale outdated retrain repro", (("affected REF", "lists what to retrain"),)),
        Meaning("blame culprit", (("bisect PIPELINE --good POSITION --run CMD", "finds what broke a pipeline"),)),
        Meaning("dag tree lineage", (("graph PIPELINE", "draws a pipeline with its verdicts"),)),
        Meaning("promote alias stage", (("tag REF TAG", "moves a tag to a version"),)),
        Meaning(
            "cp mirror replicate transfer",
            (
                ("copy REF --to URL", "copies versions to another store"),
                ("export REF -d DIR", "writes them to a folder"),
            ),
        ),
        Meaning("compare", (("diff REF REF", "compares two versions"), ("show REF", "shows one version"))),
        Meaning("annotate label comment", (("edit REF", "changes the message and labels of a version"),)),
        Meaning(
            "remote url auth",
            (("login URL", "logs in to a daemon"), ("config set url URL", "sets the daemon that commands use")),
        ),
        Meaning("whoami env settings options set", (("config show", "shows the settings and where they come from"),)),
        Meaning(
            "diagnose health",
            (("doctor", "diagnoses common problems"), ("fsck", "checks what the daemon stores")),
        ),
        Meaning("scrub integrity chkdsk repair", (("fsck --read-data", "checks what the daemon stores"),)),
        Meaning(
            "prune clean cleanup purge vacuum sweep collect",
            (("gc", "frees the space of what no version refers to"), ("remove REF", "removes a version")),
        ),
        Meaning("server daemon up", (("start", "starts the local daemon"), ("serve", "runs it in the foreground"))),
        Meaning("down kill shutdown", (("stop", "stops the local daemon"),)),
        Meaning("ps ping", (("status", "shows the daemon and its address"),)),
        Meaning("ui web browse dashboard gui", (("open", "opens the web page"),)),
        Meaning("migrate", (("db upgrade", "upgrades the database"),)),
        Meaning("init setup", (("push NAME FILE", "creates an op: there is nothing to set up"),)),
        Meaning("version", (("--version", "prints the version of opstore"), ("versions NAME", "lists those of an op"))),
        Meaning("man docs", (("help COMMAND", "explains a command"),)),
    ),
    "pipeline": (
        Meaning("ls", (("pipeline list", "lists the pipelines"),)),
        Meaning("rm delete del", (("pipeline remove PIPELINE", "removes a pipeline"),)),
        Meaning("create add new push set", (("pipeline register PIPELINE OP OP", "registers a pipeline"),)),
        Meaning("inspect info get describe", (("pipeline show PIPELINE", "shows a pipeline"),)),
        Meaning("validate check", (("validate PIPELINE", "gives the verdict of a pipeline"),)),
        Meaning("verify test run", (("verify PIPELINE --run CMD", "runs a command on the versions of a pipeline"),)),
        Meaning("graph dag", (("graph PIPELINE", "draws a pipeline with its verdicts"),)),
    ),
    "op": (
        Meaning("ls list", (("ops", "lists the ops"),)),
        Meaning("show info inspect get describe", (("show NAME", "shows the latest version of an op"),)),
        Meaning("create add new", _PUSH),
        Meaning("edit update", (("op set NAME", "changes the settings of an op"),)),
    ),
    "config": (
        Meaning("get list ls", (("config show", "shows the settings and where they come from"),)),
        Meaning("rm remove delete", (("config unset KEY", "removes a setting"),)),
        Meaning("add", (("config set KEY VALUE", "changes a setting"),)),
    ),
    "db": (
        Meaning("migrate", (("db upgrade", "upgrades the database"),)),
        Meaning("version status show", (("db current", "shows the schema of the database"),)),
    ),
}


def suggest(group: str, name: str, siblings: Collection[str], commands: Mapping[str, object]) -> str:
    """Return the advice for a command that the group does not have; empty if nothing comes close.

    `group`: the name of the group, empty for the program. `siblings` are the commands of the group, `commands` those of
    the program: only those that exist are suggested.
    """
    for meaning in MEANINGS.get(group, ()):
        if name in meaning.names.split():
            uses = [(use, does) for use, does in meaning.uses if use[0] == "-" or use.split()[0] in commands]
            if uses:
                return "; ".join(f"opstore {use} {does}" for use, does in uses)
    from difflib import get_close_matches

    similar = [
        f"opstore {group} {each}" if group else each for each in get_close_matches(name, siblings, cutoff=CUTOFF)
    ]
    return f"did you mean {' or '.join(similar)}?" if similar else ""
