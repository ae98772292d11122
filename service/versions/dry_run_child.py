"""Opens a candidate's bytes and runs a text through them, in a child process: started by `dry_run.py`, never imported.

Reads the request from standard input, writes one JSON object to standard output. Everything is imported before the
limits are set, so that they measure the candidate and not us.
"""

import json
import os
import resource
import sys
from typing import Any, BinaryIO

from pydantic import TypeAdapter

from service.bundle.formats import InputFormat
from service.bundle.manifest import Golden
from service.bundle.open import golden_item, open_tokenizer
from service.domain import Encoding
from service.engine.backend import pad
from service.engine.child_process import bind_to
from service.engine.ort import open_session
from service.errors import BundleRejected, EngineError

_MEMORY_WORDS = ("alloc", "memory")
"""In a runtime's message, where the kernel refused it memory."""


def limit(request: dict[str, Any]) -> None:
    """From here on the kernel counts. Limits are never raised."""
    for which, soft, hard in (
        # The soft limit ends the process by SIGXCPU, which says why it ended; the hard one by SIGKILL.
        (resource.RLIMIT_CPU, request["cpu_s"], request["cpu_s"] + 1),
        (resource.RLIMIT_AS, request["memory_bytes"], request["memory_bytes"]),
        (resource.RLIMIT_FSIZE, request["answer_bytes"], request["answer_bytes"]),
        (resource.RLIMIT_CORE, 0, 0),
    ):
        given = resource.getrlimit(which)[1]
        most = hard if given == resource.RLIM_INFINITY else min(hard, given)
        resource.setrlimit(which, (min(soft, most), most))


def run(request: dict[str, Any], source: BinaryIO) -> None:
    """Parse both files, encode and score the first golden text, then the longest shape.

    Raises:
        BundleRejected, EngineError, MemoryError: what is wrong with it.
    """
    contents = {name: source.read(size) for name, size in request["files"]}
    input_format: InputFormat = TypeAdapter(InputFormat).validate_json(json.dumps(request["input_format"]))
    golden = Golden.model_validate_json(json.dumps(request["golden"]))
    tokenizer = open_tokenizer(contents.pop(request["tokenizer"]), input_format)
    model = contents.pop(request["model"])
    backend = open_session(model, external=contents, device="cpu", threads=1)
    [encoded] = tokenizer.encode([golden_item(golden)])
    if not isinstance(encoded, Encoding):
        raise BundleRejected(f"a golden input fails: {encoded.message}", reason="selftest")
    backend.run(pad([encoded], input_format.pad_id))
    if tokens := request["tokens"]:
        backend.run(pad([Encoding((encoded.ids[0],) * tokens, tokens, 0)], input_format.pad_id))


def verdict(request: dict[str, Any], source: BinaryIO) -> tuple[str | None, str]:
    """(reason, message); no reason: it ran."""
    try:
        run(request, source)
    except MemoryError:
        return "resources", ""
    except (BundleRejected, EngineError) as error:
        if any(word in error.message.lower() for word in _MEMORY_WORDS):
            return "resources", ""
        return getattr(error, "reason", "op"), error.message
    return None, ""


def main() -> None:
    """One request in, one verdict out."""
    bind_to(int(sys.argv[1]))
    os.nice(10)
    source = sys.stdin.buffer
    request = json.loads(source.readline())
    limit(request)
    reason, message = verdict(request, source)
    sys.stdout.write(json.dumps({"reason": reason, "message": message}))
    sys.stdout.flush()
    os._exit(0)  # a broken runtime must not change a verdict while it is taken down


if __name__ == "__main__":
    main()
