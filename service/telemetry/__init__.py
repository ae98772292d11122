"""Metrics and logs for the operator. Never a prompt, a response or a key."""
