"""The servers that the benchmark compares ours with. Each runs in an environment of its own, on 127.0.0.1 only.

`registry.PEERS` lists them; `python -m benchmarks.peers --check` builds, starts and asks each one.
What a peer's process imports may use the standard library and that peer's requirements, nothing else.
"""
