"""`lamina submit --on kubernetes --dry-run`: without a cluster, and without a registry."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

Lamina = Callable[..., subprocess.CompletedProcess[str]]
REGISTRY = ("--on", "kubernetes", "--registry", "registry.site:5000/team", "--dry-run")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    root = tmp_path / "project"
    root.mkdir()
    (root / "lamina.toml").write_text("")
    (root / "BUILD").write_text(
        'cxx_binary(name = "hi", srcs = ["hi.c"], linker_flags = ["-static"])\n'
        'python_binary(name = "main", main = "main.py")\n'
        'job(name = "train", binary = ":hi", tasks = 3, mounts = ["pvc:data:/data"])\n'
    )
    (root / "hi.c").write_text("int main(void) { return 0; }\n")
    (root / "main.py").write_text("")
    return root


def test_the_plan_is_what_kubectl_would_apply(lamina: Lamina, project: Path) -> None:
    nowhere = {"KUBECONFIG": str(project / "absent")}
    done = lamina(project, "submit", "//:train", *REGISTRY, environment=nowhere)

    assert done.returncode == 0, done.stderr
    job, service = yaml.safe_load_all(done.stdout)
    assert (job["kind"], service["kind"]) == ("Job", "Service")
    [container] = job["spec"]["template"]["spec"]["containers"]
    assert container["image"].startswith("registry.site:5000/team/hi@sha256:")
    assert job["spec"]["completions"] == 3


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("//:main", *REGISTRY), "error: `//:main` needs an image below it"),
        (("//:hi", "--on", "kubernetes", "--dry-run"), "has no registry for packages"),
        (("//:hi", *REGISTRY, "--setup", "true"), "a shell in its image"),
        (("//:train", "--on", "local"), "`pvc:data:/data` is a claim of Kubernetes"),
    ],
)
def test_what_is_missing_is_told(
    lamina: Lamina, project: Path, words: tuple[str, ...], message: str
) -> None:
    nowhere = {"KUBECONFIG": str(project / "absent"), "XDG_STATE_HOME": str(project / "state")}

    done = lamina(project, "submit", *words, environment=nowhere)

    assert done.returncode == 3
    assert message in done.stderr
