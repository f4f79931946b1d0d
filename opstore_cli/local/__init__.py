"""The daemon of this machine: find, authenticate, start and stop it."""
