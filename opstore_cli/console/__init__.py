"""What commands share with click: the application, sessions, parameters, options, completion and results."""
