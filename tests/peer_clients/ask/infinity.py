"""Infinity's generated client, with our prefix as its base URL."""

from infinity_client import Client  # type: ignore[import-not-found]
from infinity_client.api.default import classify, health, models, rerank  # type: ignore[import-not-found]
from infinity_client.models import ClassifyInput, RerankInput  # type: ignore[import-not-found]

from tests.peer_clients.ask.questions import asked, say


def main() -> None:
    """Texts to /classify, documents to /rerank, raw and not."""
    questions = asked()
    ranked: dict[str, list[float]] = {}
    classified: dict[str, list[float]] = {}
    with Client(base_url=questions.url + "/infinity") as client:
        assert health.sync(client=client) is not None
        assert questions.model in {model.id for model in models.sync(client=client).data}
        for name, raw in (("raw", True), ("activated", False)):
            texts = ClassifyInput(input_=questions.texts, raw_scores=raw)
            classified[f"classify_{name}"] = [row[0].score for row in classify.sync(client=client, body=texts).data]
            documents = RerankInput(
                query=questions.prompts[0], documents=questions.responses, raw_scores=raw, model=questions.model
            )
            results = sorted(rerank.sync(client=client, body=documents).results, key=lambda result: result.index)
            ranked[f"rerank_{name}"] = [result.relevance_score for result in results]
    say(**classified, **ranked)


if __name__ == "__main__":
    main()
