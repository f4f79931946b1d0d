"""The click application, sessions, parameters, options, completion and results that commands share."""
