"""`plurality serve`."""

import os
from typing import Annotated

import typer

from service.domain import Device


def serve(
    store: Annotated[
        str | None, typer.Option(help="Model store to serve: a folder, or a URL (s3://...). [env: PLURALITY_STORE]")
    ] = None,
    default_model: Annotated[str | None, typer.Option(help="Scored when a request names no model.")] = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on (default 127.0.0.1).")] = None,
    port: Annotated[int | None, typer.Option(help="Port of the API (default 8080; 0: any free one).")] = None,
    ops_port: Annotated[int | None, typer.Option(help="Port of probes and /metrics (default 9090).")] = None,
    device: Annotated[Device | None, typer.Option(help="cpu, cuda or tensorrt: never a silent fallback.")] = None,
    threads: Annotated[int | None, typer.Option(help="Threads of an engine call (default: measured).")] = None,
    drain_delay_s: Annotated[
        float | None, typer.Option(help="Serve on for so long after SIGTERM (default 0; 5 behind a load balancer).")
    ] = None,
    graceful_timeout_s: Annotated[
        float | None, typer.Option(help="Then let running requests finish for so long (default 30).")
    ] = None,
    log_level: Annotated[str | None, typer.Option(help="debug, info, warning or error (default info).")] = None,
) -> None:
    """Serve every model of a store over REST.

    Rewards at /rm/v1/score, calibrated preference probabilities at /rm/v1/preference, best of n at /rm/v1/rank;
    what is served at /rm/v1/models, the API's description at /docs. New versions are picked up while it runs.

    Every setting is also an environment variable, nested names joined by two underscores: PLURALITY_STORE,
    PLURALITY_HTTP__PORT, PLURALITY_LIMITS__MAX_QUEUE_ITEMS, ... (docs/guides/settings.md lists all). Flags win.
    """
    from service.server import run_server
    from service.settings import read_settings

    run_server(
        read_settings(
            {
                "store": store,
                "default_model": default_model,
                "log_level": log_level,
                "http": {
                    "host": host,
                    "port": port,
                    "ops_port": ops_port,
                    "drain_delay_s": drain_delay_s,
                    "graceful_timeout_s": graceful_timeout_s,
                },
                "runtime": {"device": device, "threads": threads},
            },
            os.environ,
        )
    )
