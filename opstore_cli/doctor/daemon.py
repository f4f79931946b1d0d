"""Checks of the local daemon: whether it runs, responds and has this version."""

from opstore_cli.doctor.machine import Machine, Result, ok, problem
from opstore_daemon.protocol import errors
from opstore_daemon.protocol._version import __version__


def daemon(machine: Machine) -> Result | None:
    """Check that the daemon that holds the home responds, and that no other program uses its address."""
    running = machine.local
    if isinstance(running, errors.UntrustedHome):
        return None  # the check of the home reports it
    if isinstance(running, errors.ProofFailed):
        found = f"the server at {running.details['url']} does not know the token in {machine.home}; "
        return problem(f"{found}one of them was replaced, or the server is another program", "opstore restart")
    if isinstance(running, errors.OpStoreError):
        return problem(running.text, running.advice or "opstore status")
    if running is not None:
        if running.version != __version__:
            found = f"opstore {running.version} runs at {running.url}, this is opstore {__version__}"
            return problem(found, "opstore restart")
        return ok(f"opstore {running.version} runs at {running.url} (pid {running.pid})")
    if machine.settings is not None and machine.settings.url is not None:
        return ok("no local daemon runs, and none is needed: commands use that of the URL")
    if machine.settings is not None and not machine.settings.autostart:
        return problem("it does not run, and OPSTORE_NO_AUTOSTART forbids starting it", "opstore start")
    return ok("it does not run: the first command that needs it starts it")
