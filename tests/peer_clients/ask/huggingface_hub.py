"""huggingface_hub's `InferenceClient.text_classification`, which people point at Text Embeddings Inference."""

from typing import Any

from huggingface_hub import InferenceClient

from tests.peer_clients.ask.questions import asked, say


def main() -> None:
    """Whole texts, one a request: as probabilities and raw, at /predict and at the root."""
    questions = asked()
    client = InferenceClient(model=questions.url + "/predict")
    root = InferenceClient(model=questions.url)

    def score(client: InferenceClient, text: str, **options: str) -> float:
        # Annotated as a list; of a flat reply, which is what TEI gives for one text, it is the one element.
        answer: Any = client.text_classification(text, **options)  # type: ignore[arg-type]
        return float(answer.score)

    say(
        probabilities=[score(client, text) for text in questions.texts],
        raw=[score(client, text, function_to_apply="none") for text in questions.texts],
        root=[score(root, text) for text in questions.texts],
    )


if __name__ == "__main__":
    main()
