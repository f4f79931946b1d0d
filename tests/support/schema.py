"""The schema of this release: its newest migration."""

HEAD = "0005"
