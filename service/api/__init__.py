"""The native HTTP API, `/rm/v1`. Knows HTTP; nothing below it does."""
