"""`python -m tests.plurality.training.ranks`: runs `plurality` in two processes, as torchrun does, again and again.

A line of standard input is a command as JSON. Both ranks are forks of this process, which has imported torch and
transformers once; nothing has run in it, so that a fork is as good as a start.
"""

import json
import os
import socket
import sys
from pathlib import Path

import plurality.training.train  # noqa: F401 - what both ranks need
from plurality.cli import main

WORLD = 2


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _rank(rank: int, port: int, words: list[str], log: Path) -> None:
    """Become one rank of a run: its environment is torchrun's, its output goes to the log."""
    os.environ |= {
        "RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(WORLD), "LOCAL_WORLD_SIZE": str(WORLD),
        "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port),
    }  # fmt: skip
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(output, 1)
    os.dup2(output, 2)
    sys.argv = ["plurality", *words]
    main()


def serve() -> None:
    """Run each command; answer with the exit codes of its ranks."""
    for line in sys.stdin:
        command = json.loads(line)
        port, ranks = _free_port(), []
        for rank in range(WORLD):
            if not (child := os.fork()):
                _rank(rank, port, command["words"], Path(command["log"]))
                return
            ranks.append(child)
        print(json.dumps([os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in ranks]), flush=True)  # noqa: T201


if __name__ == "__main__":
    serve()
