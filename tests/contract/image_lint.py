"""`python -m tests.contract.image_lint`: hadolint on the Dockerfile, kubernetes-validate --strict on k8s/.

Needs neither an engine nor a cluster. What kubernetes-validate lets pass is a finding here: a kind without a schema,
a key given twice. kustomization.yaml has no schema there: it is checked for closed keys and complete lists.
"""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
KUSTOMIZATION = "kustomization.yaml"
_KUSTOMIZATION_KEYS = {
    "Kustomization": {"apiVersion", "kind", "resources", "components"},
    "Component": {"apiVersion", "kind", "resources"},
}


class _Loader(yaml.SafeLoader):
    """Refuses a key that stands twice, as the API server's strict validation does; PyYAML keeps the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        twice = {key for key in keys if keys.count(key) > 1}
        if twice:
            raise yaml.constructor.ConstructorError(None, None, f"given twice: {sorted(twice)}", node.start_mark)
        return super().construct_mapping(node, deep=deep)


def documents(path: Path) -> list[dict[str, Any]]:
    """A file's documents. Raises yaml.YAMLError also where a key stands twice."""
    return [entry for entry in yaml.load_all(path.read_text(encoding="utf-8"), Loader=_Loader) if entry]


def lint_dockerfile(path: Path) -> list[str]:
    """hadolint's findings of level info and above; inline ignores do not count."""
    code, lines = _run("hadolint", "--no-color", "--disable-ignore-pragma", "--failure-threshold", "info", str(path))
    return lines if code else []


def lint_manifest(path: Path) -> list[str]:
    """Findings of the newest bundled schemas, every document by itself."""
    try:
        if not documents(path):
            return ["no document"]
    except yaml.YAMLError as error:
        return [str(error)]
    code, lines = _run("kubernetes-validate", "--strict", str(path))
    # An unknown kind is only a WARN with exit code 0 there.
    return lines if code else [line for line in lines if not line.startswith("INFO ")]


def lint_kustomization(path: Path) -> list[str]:
    """What is listed exists, what exists is listed, and no key is misspelt."""
    try:
        (document,) = documents(path)
    except (yaml.YAMLError, ValueError) as error:
        return [str(error)]
    allowed = _KUSTOMIZATION_KEYS.get(str(document.get("kind")), set())
    problems = [f"unknown key: {key}" for key in sorted(document.keys() - allowed)]
    listed = [*document.get("resources", []), *document.get("components", [])]
    for entry in listed:
        target = path.parent / entry
        if not (target / KUSTOMIZATION if target.is_dir() else target).is_file():
            problems.append(f"listed, but not there: {entry}")
    present = {entry.name for pattern in ("*.yaml", "*.yml") for entry in path.parent.glob(pattern)}
    problems += [f"there, but not listed: {name}" for name in sorted(present - {*listed, KUSTOMIZATION})]
    return problems


def orphans(folder: Path) -> list[Path]:
    """Manifests in folders without a kustomization: nothing would ever apply them."""
    return [path for path in manifests(folder) if not (path.parent / KUSTOMIZATION).is_file()]


def manifests(folder: Path) -> list[Path]:
    """Every YAML file that is not a kustomization."""
    found = [path for pattern in ("*.yaml", "*.yml") for path in folder.rglob(pattern)]
    return sorted(path for path in found if path.name != KUSTOMIZATION)


def main(root: Path = ROOT) -> int:
    """Check everything, print one line a file; 0 when nothing was found."""
    folder = root / "k8s"
    checks: list[tuple[Path, Callable[[Path], list[str]]]] = [
        (root / "Dockerfile", lint_dockerfile),
        *((path, lint_kustomization) for path in sorted(folder.rglob(KUSTOMIZATION))),
        *((path, lint_manifest) for path in manifests(folder)),
        *((path, _orphan) for path in orphans(folder)),
    ]
    found = 0
    for path, check in checks:
        problems = check(path)
        found += len(problems)
        _say(f"{'FAIL' if problems else 'ok  '} {path.relative_to(root)}")
        for problem in problems:
            _say(f"     {problem}")
    if len(checks) == 1:
        _say("FAIL k8s: no manifest")
        return 1
    _say(f"{len(checks)} checks, {found} findings")
    return 1 if found else 0


def _orphan(path: Path) -> list[str]:
    return [f"no {KUSTOMIZATION} in {path.parent.name}/"]


def _run(tool: str, *arguments: str) -> tuple[int, list[str]]:
    """A tool's exit code and lines, from the same virtual environment as this Python."""
    executable = Path(sys.executable).parent / tool
    if not executable.is_file():
        return 127, [f"{executable} is not installed; install the extra `dev`"]
    # A user's own configuration of the tool changes nothing, and a user without a home folder can run it.
    environment = {**os.environ, "HOME": os.devnull, "XDG_CONFIG_HOME": os.devnull}
    command = [str(executable), *arguments]
    result = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    lines = [line for line in (result.stdout + result.stderr).splitlines() if line.strip()]
    return result.returncode, lines or [f"{tool} ended with {result.returncode}"]


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")


if __name__ == "__main__":
    sys.exit(main())
