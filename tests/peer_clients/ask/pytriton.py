"""PyTriton's `ModelClient`, which NeMo-Aligner's trainers use: it reads the model's configuration before it asks."""

import numpy as np
from pytriton.client import ModelClient  # type: ignore[import-not-found]

from tests.peer_clients.ask.questions import asked, say


def main() -> None:
    """A batch of prompts and responses."""
    questions = asked()
    columns = {"prompt": questions.prompts, "response": questions.responses}
    arrays = {name: np.char.encode(np.array(texts).reshape(-1, 1), "utf-8") for name, texts in columns.items()}
    with ModelClient(questions.url, questions.model) as client:
        answer = client.infer_batch(**arrays)
    say(scores=answer["score"].ravel(), rewards=answer["rewards"].ravel())


if __name__ == "__main__":
    main()
