"""A language model as judge of pairs, behind any OpenAI-compatible endpoint: q = P(a preferred), and its provenance.

    record.py    what a row keeps of the judgement
    prompt.py    the paper's prompt and how its answer is read (arXiv 2412.03822, appendix)
    settings.py  what is asked and how; its digest
    logprob.py   q from one token's log probabilities in both orders; sample.py: q from n sampled answers
    requests.py  request bodies and cache keys; replies.py: what an endpoint may answer
    client.py    HTTP with retries; pace.py: rate limits and when to ask again
    cache.py     every answer that was paid for, on disk
    estimate.py  requests, tokens and cost before the start
    run.py       rows -> judgements; report.py: coverage, position bias, agreement with people

A judgement is never made up: what cannot be read is counted, and a pair without a readable answer gets no q.
"""
