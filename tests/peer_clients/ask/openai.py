"""OpenAI's SDK on /v1/embeddings, where a reward model of SGLang's (and ours) is an embedding of one number."""

from openai import OpenAI  # type: ignore[import-not-found]

from tests.peer_clients.ask.questions import asked, say


def main() -> None:
    """As it asks by default (base64), and in floats."""
    questions = asked()
    client = OpenAI(base_url=questions.url + "/v1", api_key="none")
    assert questions.model in {model.id for model in client.models.list()}
    by_default = client.embeddings.create(model=questions.model, input=questions.texts)
    floats = client.embeddings.create(model=questions.model, input=questions.texts, encoding_format="float")
    say(
        by_default=[entry.embedding[0] for entry in by_default.data],
        floats=[entry.embedding[0] for entry in floats.data],
    )


if __name__ == "__main__":
    main()
