"""The HTTP server: waitress, subclassed. No other package imports waitress or touches a connection's socket."""
