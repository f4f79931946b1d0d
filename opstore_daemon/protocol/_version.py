"""The version of this release, for both programs."""

__version__ = "0.1.0"
