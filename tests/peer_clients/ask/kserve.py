"""KServe's `InferenceRESTClient`: the Open Inference Protocol in JSON and binary, and protocol v1."""

import asyncio
from typing import Any

import numpy as np
from kserve import InferenceRESTClient, InferInput, InferRequest, RESTConfig  # type: ignore[import-not-found]

from tests.peer_clients.ask.questions import asked, say


def tensor(name: str, texts: list[str], *, binary: bool) -> Any:
    """Texts as a BYTES tensor."""
    made = InferInput(name=name, shape=[len(texts)], datatype="BYTES")
    made.set_data_from_numpy(np.array(texts, dtype=object), binary_data=binary)
    return made


async def main() -> None:
    """Prompts and responses in both protocols."""
    questions = asked()
    client = InferenceRESTClient(RESTConfig(protocol="v2"))
    assert await client.is_server_live(questions.url)
    assert await client.is_server_ready(questions.url)
    assert await client.is_model_ready(questions.url, questions.model)
    rewards = {}
    for name, binary in (("json", False), ("binary", True)):
        inputs = [
            tensor("prompt", questions.prompts, binary=binary),
            tensor("response", questions.responses, binary=binary),
        ]
        request = InferRequest(model_name=questions.model, infer_inputs=inputs)
        reply = await client.infer(questions.url, request, model_name=questions.model)
        rewards[name] = next(output for output in reply.outputs if output.name == "score").as_numpy().ravel()
    older = InferenceRESTClient(RESTConfig(protocol="v1"))
    assert await older.is_server_live(questions.url)
    assert await older.is_model_ready(questions.url, questions.model)
    instances = [{"prompt": question.prompt, "response": question.response} for question in questions.questions]
    answer = await older.infer(questions.url, {"instances": instances}, model_name=questions.model)
    say(**rewards, v1=answer["predictions"])


if __name__ == "__main__":
    asyncio.run(main())
