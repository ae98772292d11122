"""Cohere's rerank, both generations of its API; Jina's has the same path and body."""

from typing import Any

import cohere  # type: ignore[import-not-found]

from tests.peer_clients.ask.questions import asked, say


def in_order(reply: Any) -> list[float]:
    """Scores by the documents' order; the reply is best first."""
    scores = [result.relevance_score for result in reply.results]
    assert scores == sorted(scores, reverse=True)
    return [result.relevance_score for result in sorted(reply.results, key=lambda result: result.index)]


def main() -> None:
    """One query; every response is a document."""
    questions = asked()
    ask = {"model": questions.model, "query": questions.prompts[0]}
    raw = {"additional_body_parameters": {"use_activation": False}}
    client = cohere.ClientV2(api_key="none", base_url=questions.url)
    older = cohere.Client(api_key="none", base_url=questions.url)
    documents = [{"text": text} for text in questions.responses]
    best = client.rerank(**ask, documents=questions.responses, top_n=1).results
    say(
        v2=in_order(client.rerank(**ask, documents=questions.responses)),
        v2_raw=in_order(client.rerank(**ask, documents=questions.responses, request_options=raw)),
        v1=in_order(older.rerank(**ask, documents=documents, return_documents=True)),
        best=[result.index for result in best],
    )


if __name__ == "__main__":
    main()
