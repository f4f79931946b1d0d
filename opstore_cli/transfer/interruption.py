"""Ctrl-C during a transfer that the same command resumes."""


class InterruptedTransfer(KeyboardInterrupt):
    """A KeyboardInterrupt that left the beginning of a transfer, from which the same command resumes."""
