"""Commands of users as child processes: how they start, what they print, and how they end."""
