"""What the benchmark knows of a peer: how to start it, ask it, and read its answer."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Pairs = Sequence[tuple[str, str]]
"""Prompts and responses."""
_ROOT = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True)
class Peer:
    """A server of the same reward model. Functions only build and read; nothing here starts a process."""

    name: str
    """For tables."""
    environment: str
    """Folder of its requirements, and name of its virtual environment."""
    module: str
    """Run with `python -m`; takes the command line of `options.parse`."""
    path: str
    """Asked with POST."""
    health: str
    """GET answers 200 once the peer can be asked."""
    request: Callable[[Pairs], Any]
    """The JSON value that asks for rewards of these pairs."""
    read: Callable[[Any], list[float]]
    """The rewards in a reply's JSON value, in the order of the pairs."""
    note: str
    """What it is, its version, how it batches."""
    arguments: tuple[str, ...] = ()
    """Further arguments of its command line."""
    int8: bool = False
    """Serves the int8 file instead of the fp32 one."""
    exact: bool = True
    """Reads exactly the tokens, and token types, that our service reads: its rewards must agree with ours."""
    variables: Mapping[str, str] = field(default_factory=dict)
    """Environment variables of its own."""

    @property
    def env(self) -> dict[str, str]:
        """Environment variables to add when it is started."""
        return {"PYTHONPATH": str(_ROOT), "HF_HUB_OFFLINE": "1", **self.variables}

    def command(
        self, python: Path, checkpoint: Path, onnx_fp32: Path, onnx_int8: Path | None, port: int, threads: int
    ) -> list[str]:
        """The command that starts it. Raises ValueError if it serves int8 and there is no such file."""
        onnx = onnx_int8 if self.int8 else onnx_fp32
        if onnx is None:
            raise ValueError(f"{self.name} serves an int8 file, and there is none")
        return [
            *(str(python), "-m", self.module, "--checkpoint", str(checkpoint.absolute())),
            *("--onnx", str(onnx.absolute()), "--port", str(port), "--threads", str(threads), *self.arguments),
        ]

    def body(self, texts: Pairs) -> bytes:
        """A request's body."""
        return json.dumps(self.request(texts)).encode()

    def rewards(self, reply: bytes) -> list[float]:
        """The rewards in a reply's body."""
        return self.read(json.loads(reply))
