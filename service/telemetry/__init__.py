"""What the operator sees: metrics and logs. Never a prompt, a response or a key."""
