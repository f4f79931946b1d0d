"""Fixtures: a client of a daemon that listens, in an environment without settings."""

from tests.support.listening import client

__all__ = ["client"]
