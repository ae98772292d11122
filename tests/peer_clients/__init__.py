"""Contract tests with the clients that users run, each in an environment of its own: see docs/guides/clients.md."""
