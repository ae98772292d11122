"""The service as a user runs it: a process, sockets, signals."""

import asyncio
import json
import signal
import socket
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from tests.contract.test_imports import OFFLINE_ONLY, ROOT
from tests.e2e.process import serving

pytestmark = pytest.mark.e2e
BODY = {"items": [{"prompt": "What is it?", "response": "It is " + "very " * i + "good."} for i in range(6)]}


def test_probes_metrics_and_scores(published: Path) -> None:
    """Probes and metrics answer on their own port, scores on the other; a SIGTERM ends it with 0."""
    with serving(published) as served:
        for probe in ("/livez", "/startupz", "/readyz"):
            assert httpx.get(served.ops + probe).status_code == 200
        assert len(httpx.post(served.api + "/rm/v1/score", json=BODY).json()["items"]) == 6
        text = httpx.get(served.ops + "/metrics").text
        assert 'rm_items_total{model="tiny",outcome="ok"' in text
        assert "process_resident_memory_bytes" in text
        assert httpx.get(served.api + "/metrics").status_code == 404
        assert served.stop() == 0
        assert served.log[-1]["event"] == "stopped"


def test_not_ready_without_a_version(tmp_path: Path) -> None:
    """With an empty store the process lives, is not ready, and answers 503 with Retry-After."""
    with serving(tmp_path) as served:
        assert httpx.get(served.ops + "/livez").status_code == 200
        assert httpx.get(served.ops + "/startupz").status_code == 503
        assert httpx.get(served.ops + "/readyz").status_code == 503
        reply = httpx.post(served.api + "/rm/v1/score", json=BODY)
        assert (reply.status_code, reply.json()["error"]["code"]) == (503, "not_ready")
        assert served.stop() == 0


def test_a_leaving_client_is_no_error(published: Path) -> None:
    """Clients that close the connection while their items are scored: no traceback, status 499, the rest goes on."""
    body = json.dumps({"items": [{"prompt": "word " * 400, "response": str(i)} for i in range(200)]}).encode()
    with serving(published) as served:
        address = urlsplit(served.api)
        head = f"POST /rm/v1/score HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n".encode()
        for _ in range(3):
            with socket.create_connection((address.hostname, address.port)) as client:
                client.sendall(head + body)
        left = 'rm_requests_total{model="",route="/rm/v1/score",status="499",version=""} 3.0'
        while left not in httpx.get(served.ops + "/metrics").text:
            assert served.process.poll() is None
        assert httpx.post(served.api + "/rm/v1/score", json=BODY).status_code == 200
        assert served.stop() == 0
        assert served.noise == []


def test_sigterm_under_load_loses_nothing(published: Path) -> None:
    """Sixteen clients keep asking; after SIGTERM each request that was sent is answered, then connections close."""

    async def client(url: str, count: list[int], started: asyncio.Event) -> str:
        async with httpx.AsyncClient(timeout=60) as session:
            while True:
                try:
                    reply = await session.post(url, json=BODY)
                except httpx.ConnectError:
                    return "refused"
                assert reply.status_code == 200, reply.text
                assert len(reply.json()["items"]) == 6
                count[0] += 1
                if count[0] >= 50:
                    started.set()
                if reply.headers.get("connection") == "close":
                    return "told to leave"

    async def story(url: str, process: "subprocess.Popen[str]") -> tuple[list[str], int]:
        count, started = [0], asyncio.Event()
        clients = [asyncio.create_task(client(url, count, started)) for _ in range(16)]
        await asyncio.wait_for(started.wait(), 60)
        process.send_signal(signal.SIGTERM)
        return await asyncio.wait_for(asyncio.gather(*clients), 60), count[0]

    with serving(published, "--drain-delay-s", "1.5") as served:
        ends, count = asyncio.run(story(served.api + "/rm/v1/score", served.process))
        assert set(ends) <= {"told to leave", "refused"}
        assert count >= 50
        assert served.wait() == 0


def test_readiness_falls_first(published: Path) -> None:
    """While draining the API still answers, readyz does not, and a second signal ends the wait."""
    with serving(published, "--drain-delay-s", "120") as served:
        served.process.send_signal(signal.SIGTERM)
        served.read_until("draining")
        assert httpx.get(served.ops + "/readyz").status_code == 503
        assert httpx.get(served.ops + "/livez").status_code == 200
        reply = httpx.post(served.api + "/rm/v1/score", json=BODY)
        assert reply.status_code == 200
        assert reply.headers["connection"] == "close"
        assert served.stop() == 0


def test_a_stuck_request_cannot_hold_the_process(published: Path) -> None:
    """A client that never finishes its body is cut off when the time to finish is over; the process ends with 0."""
    head = b"POST /rm/v1/score HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 1000\r\n\r\n{"
    with serving(published, "--graceful-timeout-s", "0") as served, httpx.Client() as session:
        address = urlsplit(served.api)
        with socket.create_connection((address.hostname or "", address.port or 0)) as connection:
            connection.sendall(head)
            # The request is in flight as soon as its head is read, and stays so: the body never comes.
            while b"rm_in_flight_requests 1.0" not in session.get(served.ops + "/metrics").content:
                pass
            assert served.stop() == 0


def test_no_torch_after_serving_a_request(published: Path) -> None:
    """After a served request sys.modules holds no offline library."""
    code = f"""
import asyncio, sys
from pathlib import Path
import httpx
from service.app import build_service, create_app, running
from service.settings import read_settings
async def main():
    settings = read_settings({{"store": Path({str(published)!r}), "log_level": "error"}}, {{}})
    async with running(build_service(settings)) as service:
        transport = httpx.ASGITransport(create_app(service))
        async with httpx.AsyncClient(transport=transport, base_url="http://t") as client:
            reply = await client.post("/rm/v1/score", json={BODY!r})
            assert reply.status_code == 200, reply.text
asyncio.run(main())
import service.server
bad = {OFFLINE_ONLY!r} & set(sys.modules)
assert not bad, bad
"""
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


@pytest.mark.parametrize(
    ("flags", "environment", "named"),
    [
        (["--store", "/nonexistent"], {}, "/nonexistent"),
        ([], {}, "store"),
        (["--store", "."], {"PLURALITY_SURPRISE": "1"}, "PLURALITY_SURPRISE"),
        (["--store", "."], {"PLURALITY_HTTP__PORT": "many"}, "http.port"),
        (["--store", ".", "--port", "70000"], {}, "http.port"),
        (["--store", ".", "--device", "cuda"], {}, "CUDAExecutionProvider"),
    ],
)
def test_bad_configuration_refuses_to_start(
    flags: list[str], environment: dict[str, str], named: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit code 2 and one line that names the key."""
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    command = [sys.executable, "-m", "plurality", "serve", *flags]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=ROOT, check=False)
    assert done.returncode == 2, done.stderr
    assert named in done.stderr
    assert "Traceback" not in done.stderr


def test_a_taken_port(published: Path) -> None:
    """A port in use is named; nothing else is left listening."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        command = [
            sys.executable,
            "-m",
            "plurality",
            "serve",
            "--store",
            str(published),
            "--port",
            port,
            "--ops-port",
            "0",
        ]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=ROOT, check=False)
    assert done.returncode == 2
    assert port in done.stderr


def test_the_module_serves_from_the_environment(published: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`python -m service` takes the same settings from the environment, and refuses as the command does."""
    monkeypatch.setenv("PLURALITY_STORE", str(published))
    monkeypatch.setenv("PLURALITY_HTTP__PORT", "0")
    monkeypatch.setenv("PLURALITY_HTTP__OPS_PORT", "0")
    with serving(published, module="service") as served:
        assert httpx.post(served.api + "/rm/v1/score", json=BODY).status_code == 200
        assert served.stop() == 0
    monkeypatch.delenv("PLURALITY_STORE")
    done = subprocess.run(
        [sys.executable, "-m", "service"], capture_output=True, text=True, timeout=60, cwd=ROOT, check=False
    )
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
