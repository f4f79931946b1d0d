"""The Flask application: the HTTP API, the web page, and the guards of both."""
