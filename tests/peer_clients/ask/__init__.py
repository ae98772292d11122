"""One script a client, run in the client's environment: asks through the client's own code, says what came back."""
