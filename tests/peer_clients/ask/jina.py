"""Jina's rerank through LlamaIndex's `JinaRerank`, which can be pointed at a server of one's own."""

from llama_index.core.schema import NodeWithScore, TextNode  # type: ignore[import-not-found]
from llama_index.postprocessor.jinaai_rerank import JinaRerank  # type: ignore[import-not-found]

from tests.peer_clients.ask.questions import asked, say


def main() -> None:
    """One query; every response is a node."""
    questions = asked()
    count = len(questions.questions)
    reranker = JinaRerank(base_url=questions.url + "/v1", api_key="none", model=questions.model, top_n=count)
    nodes = [
        NodeWithScore(node=TextNode(text=text, metadata={"place": place}, excluded_embed_metadata_keys=["place"]))
        for place, text in enumerate(questions.responses)
    ]
    ranked = reranker.postprocess_nodes(nodes, query_str=questions.prompts[0])
    in_order = sorted(ranked, key=lambda node: node.node.metadata["place"])
    say(ranked=[node.score for node in ranked], in_order=[node.score for node in in_order])


if __name__ == "__main__":
    main()
