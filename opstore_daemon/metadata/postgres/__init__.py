"""PostgreSQL: a server, which any number of daemons share. Nothing here is imported unless a URL asks for it."""
