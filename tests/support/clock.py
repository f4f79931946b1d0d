"""A clock that a test moves."""

START = 1000.0  # seconds


class Clock:
    """Returns `now`, in seconds."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> float:
        return self.now
