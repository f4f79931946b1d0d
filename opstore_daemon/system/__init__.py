"""Helpers around the operating system that both programs share."""
