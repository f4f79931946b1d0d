"""What the commands share: the click application, sessions, parameters, options, completion and results."""
