"""Checks of the settings: whether they can be read, which daemon they name, and which are not used."""

from opstore_cli.config.credentials import Credentials
from opstore_cli.config.settings import Settings
from opstore_cli.config.working_tree import project_table, read_working_tree
from opstore_cli.doctor.machine import Machine, Result, ok, problem, quoted


def settings(machine: Machine) -> Result:
    """Check that all settings can be read."""
    if machine.refusal is not None:
        return problem(machine.refusal.text, machine.refusal.advice or "fix it: most commands fail until then")
    found = machine.settings
    if found is None or found.url is None:
        return ok(f"they name the local daemon of {machine.home}")
    return ok(f"they name {found.url}, from {_source(found)}")


def working_tree(machine: Machine) -> Result | None:
    """Check that the settings of the working tree are used."""
    if machine.settings is None:
        return None
    unread: list[str] = []
    tree, path = read_working_tree(machine.cwd, unread.append)
    if unread:
        return problem(unread[0], "repair that file if it has settings of opstore; nothing else needs it")
    if path is None:
        return None
    project = path.with_name("pyproject.toml")
    if path != project and project_table(project, lambda _: None) is not None:
        return problem(f"{path} is used, [tool.opstore] in {project} is not", "keep one of them")
    url = tree.get("url")
    if url is None:
        return ok(f"{path} is used")
    if machine.settings.origin != "working tree":
        return ok(f"{path} names {url}, but {_source(machine.settings)} takes precedence")
    if Credentials().token(url) is None:
        found = f"{path} names {url}, which somebody else may have written: it is not used"
        return problem(found, f"opstore login {url}, if you trust it, or remove it from {quoted(path)}")
    return ok(f"{path} names {url}, which you are logged in to")


def _source(found: Settings) -> str:
    words = {"option": "--url", "environment": "OPSTORE_URL", "local": "the default"}
    return words.get(found.origin) or str(found.named_by)
