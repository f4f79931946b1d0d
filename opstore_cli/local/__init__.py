"""The daemon of this machine: find, start, prove and stop it."""
