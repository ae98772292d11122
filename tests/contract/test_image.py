"""Policies on the Dockerfile. No image is built here: what an engine would do with it is not tested."""

import json
import os
import re
import subprocess
import sys
import threading
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from service.settings import read_settings
from tests.contract.image_lint import ROOT, documents, lint_dockerfile, manifests

DOCKERFILE = ROOT / "Dockerfile"
TARGETS = ("service", "trainer")
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PACKAGES = sorted(name.rstrip("*") for name in PROJECT["tool"]["setuptools"]["packages"]["find"]["include"])


@dataclass(frozen=True, slots=True)
class Stage:
    """One FROM with what follows it; `base` is a stage's name or an image."""

    name: str
    base: str
    steps: list[tuple[str, str]] = field(default_factory=list)

    def of(self, *instructions: str) -> list[str]:
        return [argument for instruction, argument in self.steps if instruction in instructions]


def _parse(text: str) -> tuple[dict[str, str], dict[str, Stage]]:
    """The global build arguments and the stages, in order. Comments go first, then continued lines are joined."""
    lines = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#"))
    arguments: dict[str, str] = {}
    stages: dict[str, Stage] = {}
    for line in lines.replace("\\\n", " ").splitlines():
        if not line.strip():
            continue
        instruction, rest = line.split(None, 1)
        if instruction == "FROM":
            base, _, name = rest.split()
            stages[name] = current = Stage(name, base)
        elif stages:
            current.steps.append((instruction, " ".join(rest.split())))
        else:
            key, _, value = rest.partition("=")
            arguments[key] = value
    return arguments, stages


ARGUMENTS, STAGES = _parse(DOCKERFILE.read_text(encoding="utf-8"))


def _lineage(name: str) -> list[Stage]:
    """A stage and those it is built FROM, nearest first."""
    found = []
    while name in STAGES:
        found.append(STAGES[name])
        name = STAGES[name].base
    return found


def _closure(name: str) -> set[str]:
    """Every stage whose files can reach this one: by FROM or by COPY --from."""
    found: set[str] = set()
    todo = [name]
    while todo:
        for stage in _lineage(todo.pop()):
            if stage.name not in found:
                found.add(stage.name)
                todo += re.findall(r"--from=(\S+)", "\n".join(stage.of("COPY")))
    return found


def _last(name: str, instruction: str) -> str:
    """The value in force at the end of a stage: the last one of the nearest stage that sets it."""
    return next(stage.of(instruction)[-1] for stage in _lineage(name) if stage.of(instruction))


def _environment(name: str) -> dict[str, str]:
    lines = [line for stage in reversed(_lineage(name)) for line in stage.of("ENV")]
    return dict(pair.split("=", 1) for line in lines for pair in line.split())


def test_targets() -> None:
    """Both targets exist, and a build without --target makes the service."""
    assert set(TARGETS) <= STAGES.keys()
    assert list(STAGES)[-1] == "service"


@pytest.mark.parametrize("target", TARGETS)
def test_multi_stage(target: str) -> None:
    """What is shipped starts from the bare base and receives the finished environment alone: no source, no pip run."""
    for stage in _lineage(target):
        assert all(copied.startswith("--from=build-") for copied in stage.of("COPY"))
        assert not any("pip" in command for command in stage.of("RUN"))
    assert _lineage(target)[-1].base == "${BASE}"
    assert STAGES[target].of("COPY") == [f"--from=build-{target} /opt/venv /opt/venv"]


def test_base_is_an_argument() -> None:
    """Every stage comes from one argument, so that a release pins the base by digest; its default has a version."""
    images = {stage.base for stage in STAGES.values()} - STAGES.keys()
    assert images == {"${BASE}"}
    assert re.fullmatch(r"python:3\.\d+-slim-[a-z]+", ARGUMENTS["BASE"])


def test_no_registry_is_named() -> None:
    """No host name stands in the Dockerfile or the manifests: where things come from is configuration."""
    for path in (DOCKERFILE, *manifests(ROOT / "k8s")):
        text = re.sub(r"apiVersion: \S+|prometheus\.io/\S+", "", path.read_text(encoding="utf-8"))
        assert not re.search(r"https?://|\b(docker|quay|ghcr|gcr|pypi|pythonhosted|pytorch)\.(io|com|org)\b", text), (
            path
        )


@pytest.mark.parametrize("target", TARGETS)
def test_user_is_a_number(target: str) -> None:
    """The last USER is numeric and not root: `runAsNonRoot` cannot check a name."""
    assert _last(target, "USER") == "10001:10001"


@pytest.mark.parametrize("target", TARGETS)
def test_exec_form(target: str) -> None:
    """ENTRYPOINT and CMD are JSON lists: no shell stands between SIGTERM and the process."""
    assert json.loads(_last(target, "ENTRYPOINT")) == ["plurality"]
    assert all(isinstance(word, str) for word in json.loads(_last(target, "CMD")))
    assert _last(target, "STOPSIGNAL") == "SIGTERM"


def test_no_risky_step() -> None:
    """Nothing is fetched but through pip: no ADD, no curl into a shell, no `latest`; no secret in ARG or ENV."""
    for stage in STAGES.values():
        assert not stage.of("ADD")
        for command in stage.of("RUN"):
            assert not re.search(r"\b(curl|wget|sudo)\b", command)
        for line in stage.of("ARG", "ENV"):
            assert not re.search(r"(?i)password|secret|token|api_?key", line)
    assert "latest" not in DOCKERFILE.read_text(encoding="utf-8")


def test_service_has_no_torch() -> None:
    """No stage that reaches the service's image installs torch or the train extra; the trainer's do."""
    installs = {
        target: "\n".join(command for name in _closure(target) for command in STAGES[name].of("RUN", "ARG"))
        for target in TARGETS
    }
    assert not re.search(r"(?i)torch|\btrain|\bdemo|\bdev\b", installs["service"])
    assert ",train]" in installs["trainer"]
    assert "build-service" in _closure("service")


def test_installs_are_constrained() -> None:
    """Each pip install has constraints.txt, brings no dependencies, or is torch with its own pin."""
    commands = [part for stage in STAGES.values() for run in stage.of("RUN") for part in run.split("&&")]
    for command in (part for part in commands if "pip install" in part):
        assert re.search(r"-c constraints\.txt|--no-deps|-r torch\.txt", command), command


def test_torch_is_what_make_installs() -> None:
    """The trainer's torch is the Makefile's."""
    found = re.search(r"^TORCH \?= (\S+)$", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    assert found
    assert f'TORCH="{found[1]}"' in STAGES["deps-trainer"].of("ARG")
    assert 'TORCH_INDEX=""' in STAGES["deps-trainer"].of("ARG")


@pytest.mark.parametrize("target", TARGETS)
def test_labels(target: str) -> None:
    """The image tells its title, its base, its revision and the project's version."""
    labels = " ".join(line for stage in _lineage(target) for line in stage.of("LABEL"))
    for name in ("title", "description", "version", "revision", "base.name"):
        assert f"org.opencontainers.image.{name}=" in labels
    assert f"VERSION={PROJECT['project']['version']}" in STAGES["runtime"].of("ARG")


@pytest.mark.parametrize("target", TARGETS)
def test_read_only_root(target: str) -> None:
    """Nothing is written beside the mounts but under /tmp: home is there, and Python writes no bytecode."""
    environment = _environment(target)
    assert environment["HOME"] == _last(target, "WORKDIR") == "/tmp"  # noqa: S108 - the image's, not ours
    assert environment["PYTHONDONTWRITEBYTECODE"] == "1"


def test_service_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """The image's own environment is one that the service accepts, and it says which ports are exposed."""
    ours = _isolated(_environment("service"), monkeypatch)
    http = read_settings({}, ours).http
    assert http.host == "0.0.0.0"  # noqa: S104 - inside a container there is nothing else to listen on
    assert STAGES["service"].of("EXPOSE") == [f"{http.port} {http.ops_port}"]


def _isolated(ours: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Leave in the process environment only these of the service's variables."""
    for key in [key for key in os.environ if key.startswith("PLURALITY_")]:
        monkeypatch.delenv(key)
    for key, value in ours.items():
        monkeypatch.setenv(key, value)
    return ours


@contextmanager
def _answering(status: int) -> Iterator[int]:
    """A server on a free port of 127.0.0.1 that answers /livez with a status and all else with 404."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status if self.path == "/livez" else 404)
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _health(port: int) -> int:
    command = json.loads(STAGES["service"].of("HEALTHCHECK")[0].partition("CMD ")[2])
    assert command[0] == "python"
    # A proxy that refuses: the check must not ask it.
    environment = {"PLURALITY_HTTP__OPS_PORT": str(port), "http_proxy": "http://127.0.0.1:1"}
    return subprocess.run(
        [sys.executable, *command[1:]], env=environment, capture_output=True, timeout=30, check=False
    ).returncode


def test_healthcheck_runs() -> None:
    """The HEALTHCHECK's own words pass on 200 and fail on 503 and on silence, whatever proxy is set."""
    with _answering(200) as port:
        assert _health(port) == 0
    assert _health(port) != 0
    with _answering(503) as port:
        assert _health(port) != 0


def _ignored(path: str) -> bool:
    """Docker's rule: the last pattern that matches a path or one of its parents decides."""
    ignored = False
    for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines():
        if not line or line.startswith("#"):
            continue
        pattern = re.escape(line.lstrip("!")).replace(r"\*\*/", "(.*/)?").replace(r"\*", "[^/]*")
        pattern = pattern.replace(r"\[", "[").replace(r"\]", "]")
        parts = path.split("/")
        if any(re.fullmatch(pattern, "/".join(parts[:end])) for end in range(1, len(parts) + 1)):
            ignored = not line.startswith("!")
    return ignored


@pytest.mark.parametrize(
    "path",
    [
        ".git/config", ".venv/bin/python", ".demo/store/pointer", ".env", "service/.env", "id.pem", "service/tls.key",
        ".kube/config", "kubeconfig", "tests/run.py", "service/__pycache__/app.pyc", "plurality/old.pyc", ".coverage",
        ".mypy_cache/x", "build/lib/service/app.py", "plurality.egg-info/PKG-INFO", "k8s/base/pvc.yaml", "Dockerfile",
    ],
)  # fmt: skip
def test_context_leaves_out(path: str) -> None:
    """Secrets, caches, histories and what no image needs stay out of the build context."""
    assert _ignored(path)


def test_context_holds_the_source() -> None:
    """Every package that the wheel lists is in the context, and every file that the build copies by name."""
    for package in PACKAGES:
        files = [path for path in (ROOT / package).rglob("*.py") if "__pycache__" not in path.parts]
        assert files
        assert not [path for path in files if _ignored(path.relative_to(ROOT).as_posix())]
    assert not [name for name in ("pyproject.toml", "constraints.txt", "README.md") if _ignored(name)]


def _command_lines() -> list[list[str]]:
    """Every argument list that the Dockerfile or a manifest gives to `plurality`."""
    found = [json.loads(_last(target, "CMD")) for target in TARGETS]
    for document in (entry for path in manifests(ROOT / "k8s") for entry in documents(path)):
        pod = document.get("spec", {}).get("template", {}).get("spec", {})
        found += [entry["args"] for entry in (*pod.get("initContainers", ()), *pod.get("containers", ()))]
    return found


@pytest.mark.parametrize("line", _command_lines(), ids=" ".join)
def test_flags_exist(line: list[str]) -> None:
    """Every verb and long flag given to `plurality` is one that its --help knows."""
    verb, *rest = line
    shown = subprocess.run(
        [sys.executable, "-m", "plurality", verb, "--help"],
        cwd=ROOT, env={**os.environ, "COLUMNS": "200", "NO_COLOR": "1"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert shown.returncode == 0, shown.stderr
    known = set(re.findall(r"(?<![\w-])--[a-z][a-z0-9-]*", shown.stdout))
    assert {word.partition("=")[0] for word in rest if word.startswith("--")} <= known


@pytest.mark.parametrize(
    "text",
    [
        'FROM python:latest\nCMD ["python"]\n',
        'FROM python:3.12-slim-bookworm\nADD pyproject.toml /src/\nCMD ["python"]\n',
        'FROM python:3.12-slim-bookworm\nRUN pip install --no-cache-dir torch\nCMD ["python"]\n',
        "FROM python:3.12-slim-bookworm\nCMD python\n",
        "# hadolint ignore=DL3007\nFROM python:latest\n",
    ],
    ids=["latest", "ADD", "no pin", "shell form", "ignored inline"],
)
def test_hadolint_sees(text: str, tmp_path: Path) -> None:
    """Negative controls: the linter that passes our Dockerfile refuses these."""
    path = tmp_path / "Dockerfile"
    path.write_text(text, encoding="utf-8")
    assert lint_dockerfile(path)
