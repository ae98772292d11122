"""The bearer key that a command or the sidecar sends: the first line of a file that is no comment."""

from pathlib import Path

from plurality.core.errors import ConfigurationError


def first_key(path: Path) -> str:
    """Read the key from its file, each time it is needed: it may change while a process runs.

    Raises:
        ConfigurationError: the file cannot be read, or holds no key that a header can carry.
    """
    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not text"
        raise ConfigurationError(f"the key file {path.name} cannot be read ({reason})") from None
    keys = [line for line in lines if line and not line.startswith("#")]
    if not keys or not keys[0].isascii() or not keys[0].isprintable():
        raise ConfigurationError(f"{path.name} holds no key: write one of the service's keys into it, on a line")
    return keys[0]
