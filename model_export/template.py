"""A chat template is a stranger's program: it runs in a child process with limits, at import, and never elsewhere.

The child (`template_child.py`) has Jinja's immutable sandbox as transformers sets it up, no torch, none of our
environment, no file descriptors but its standard ones, and limits that the kernel keeps.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from model_export.errors import UnsupportedModel

Conversation = tuple[tuple[str, str], ...]
"""(role, content) of each turn."""
_CHILD = Path(__file__).with_name("template_child.py")
_KEPT_VARIABLES = ("PATH", "PYTHONPATH", "LD_LIBRARY_PATH")
"""What Python itself may need to start; tokens and keys stay here."""
_CURE = "give the tokenizer a chat_template that only puts text around the turns"
_CAUSES = {
    "date": "writes the date or time into the text, so a reward would change with the day; write the date out in the "
    "tokenizer's chat_template",
    "memory": f"needs more memory than the {{memory}} MiB that it is allowed; {_CURE}",
    "output": f"writes far more text than it is given; {_CURE}",
    "security": f"reaches for what the sandbox forbids ({{detail}}); {_CURE}",
    "syntax": f"is not valid Jinja ({{detail}}); {_CURE}",
    "time": f"did not end in {{cpu}} s of processor time, {{wall}} s in all; {_CURE}",
    "crash": f"ended the process that rendered it; {_CURE}",
}


@dataclass(frozen=True, slots=True)
class Limits:
    """Of one child. A template of Qwen 3's kind takes half a second of processor time."""

    cpu_s: int = 10
    wall_s: float = 60.0
    memory_bytes: int = 512 * 2**20
    output_bytes: int = 64 * 2**20
    most_characters: int = 2**18
    """Of one rendering; what is probed with is shorter than a tenth of it."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A template's renderings of the conversations."""

    texts: tuple[str | None, ...]
    """In order; None where the template refuses the conversation."""
    literals: tuple[str, ...]
    """The strings that are written in the template's code: what it may look for in a text."""


def render_all(
    template: str, variables: Mapping[str, Any], conversations: Sequence[Conversation], *, limits: Limits | None = None
) -> Answer:
    """Render conversations in one limited child process, as `apply_chat_template` would.

    Args:
        variables: the tokenizer's special tokens by their names.

    Raises:
        UnsupportedModel: the template went over a limit, reached out of its sandbox, cannot be read, or has a date.
    """
    limits = limits or Limits()
    talks = [[{"role": role, "content": content} for role, content in talk] for talk in conversations]
    request = {"template": template, "variables": dict(variables), "conversations": talks, **asdict(limits)}
    found = _ask(json.dumps(request).encode(), limits)
    if error := found.get("error"):
        cause = _CAUSES[error].format(
            detail=found.get("detail", ""), memory=limits.memory_bytes >> 20, cpu=limits.cpu_s, wall=limits.wall_s
        )
        raise UnsupportedModel(f"the chat template {cause}")
    return Answer(tuple(found["texts"]), tuple(found["literals"]))


def _ask(request: bytes, limits: Limits) -> dict[str, Any]:
    """Run the child with files instead of pipes: neither side can block, and the kernel bounds the output."""
    environment = {name: os.environ[name] for name in _KEPT_VARIABLES if name in os.environ}
    with tempfile.TemporaryFile() as asked, tempfile.TemporaryFile() as answered:
        asked.write(request)
        asked.seek(0)
        child = subprocess.Popen(  # noqa: S603 - our own script
            [sys.executable, "-P", str(_CHILD)],
            stdin=asked,
            stdout=answered,
            stderr=subprocess.DEVNULL,
            env=environment,
            cwd=tempfile.gettempdir(),
        )
        try:
            status = child.wait(limits.wall_s)
        except subprocess.TimeoutExpired:
            return {"error": "time"}
        finally:
            child.kill()
            child.wait()
        answered.seek(0)
        return _read(status, answered.read(limits.output_bytes + 1), limits)


def _read(status: int, answer: bytes, limits: Limits) -> dict[str, Any]:
    if status < 0:
        # A limit on processor time ends in a signal; so does a fault in the interpreter.
        return {"error": "time" if -status == signal.SIGXCPU else "crash"}
    if len(answer) >= limits.output_bytes:
        return {"error": "output"}
    if status != 0:
        return {"error": "crash"}
    found: dict[str, Any] = json.loads(answer)
    return found
