"""One module a verb. What a verb alone needs is imported when it runs: `serve` works without torch installed."""
