"""The environment of a command that runs on a set of versions: where their files are."""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path

from opstore_cli.evidence.pulled_set import PulledSet

FOLDER, LOCK = "OPSTORE_DIR", "OPSTORE_LOCK"
_OP = "OPSTORE_OP_"
# What an outer run, or the completion of a shell, would tell an `opstore` that the command starts.
_NOT_PASSED_ON = re.compile(r"OPSTORE_(DIR|LOCK|OP_.*)|_OPSTORE_COMPLETE")


def variable(op: str) -> str:
    """Return the name of the variable with the path of an op: its name in upper case, with `_` for `-` and `.`."""
    return _OP + re.sub(r"[.-]", "_", op).upper()


def shared_variables(ops: Iterable[str]) -> dict[str, list[str]]:
    """Return the ops of each variable that would be that of several: none of them gets it."""
    found = defaultdict(list)
    for op in ops:
        found[variable(op)].append(op)
    return {name: ops for name, ops in found.items() if len(ops) > 1}


def environment(environ: Mapping[str, str], pulled: PulledSet, further: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of the command: that of this process with the paths of the pulled files.

    `further`: variables that the command's own `opstore` needs.
    """
    kept = {name: value for name, value in environ.items() if not _NOT_PASSED_ON.fullmatch(name)}
    shared = shared_variables(version.op for version in pulled.versions)
    paths = {variable(op): str(_absolute(path)) for op, path in pulled.paths.items()}
    own = {FOLDER: str(_absolute(pulled.folder)), LOCK: str(_absolute(pulled.lock))}
    return {**kept, **further, **own, **{name: path for name, path in paths.items() if name not in shared}}


def _absolute(path: Path) -> Path:
    return path.absolute()  # the command may change its working folder
