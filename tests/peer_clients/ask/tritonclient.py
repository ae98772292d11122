"""tritonclient[http]: binary tensors as it sends them by default, JSON, compressed, with and without named outputs."""

from typing import Any

import numpy as np
import tritonclient.http as triton  # type: ignore[import-not-found]

from tests.peer_clients.ask.questions import asked, say


def tensor(name: str, texts: list[str], *, shape: tuple[int, ...], binary: bool = True) -> Any:
    """Texts as a BYTES tensor."""
    made = triton.InferInput(name, list(shape), "BYTES")
    made.set_data_from_numpy(np.array(texts, dtype=object).reshape(shape), binary_data=binary)
    return made


def main() -> None:
    """The same questions in every form that the client knows."""
    questions = asked()
    client = triton.InferenceServerClient(questions.url.removeprefix("http://"))
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready(questions.model)
    assert client.get_server_metadata()["name"]
    assert client.get_model_metadata(questions.model)["inputs"]
    count = len(questions.questions)
    flat, column = (count,), (count, 1)
    pair = [tensor("prompt", questions.prompts, shape=flat), tensor("response", questions.responses, shape=flat)]
    mixed = [
        tensor("prompt", questions.prompts, shape=column),
        tensor("response", questions.responses, shape=column, binary=False),
    ]
    plain = [
        tensor("prompt", questions.prompts, shape=flat, binary=False),
        tensor("response", questions.responses, shape=flat, binary=False),
    ]
    score = triton.InferRequestedOutput("score")
    probability = triton.InferRequestedOutput("probability", binary_data=False)
    every = client.infer(questions.model, pair)
    both = client.infer(questions.model, mixed, outputs=[score, probability], request_id="7", timeout=30_000_000)
    json_only = client.infer(questions.model, plain, outputs=[triton.InferRequestedOutput("score", binary_data=False)])
    version = client.infer(questions.model, pair, model_version="stable", outputs=[score])
    texts = client.infer(questions.model, [tensor("text", questions.texts, shape=flat)], outputs=[score])
    assert both.get_response()["id"] == "7"
    say(
        binary=every.as_numpy("score").ravel(),
        mixed=both.as_numpy("score").ravel(),
        probability=both.as_numpy("probability").ravel(),
        json=json_only.as_numpy("score").ravel(),
        version=version.as_numpy("score").ravel(),
        texts=texts.as_numpy("score").ravel(),
    )


if __name__ == "__main__":
    main()
