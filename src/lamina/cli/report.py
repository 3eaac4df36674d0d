"""The result of a build as a file for programs: `lamina build --build-report FILE`.

    {"success": true, "project_root": "/repo", "failures": {},
     "results": {"//a:b": {"success": "SUCCESS", "outputs": {"DEFAULT": ["lamina-out/a/b"]}}}}

The fields are those that Buck2's report has under these names.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lamina.core.errors import LaminaError, UserError
from lamina.linux import filesystem


def success(root: Path, outputs: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """The report of a build that made all."""
    results = _made(outputs)
    return {"success": True, "project_root": str(root), "results": results, "failures": {}}


def failure(
    root: Path,
    outputs: Mapping[str, Sequence[str]],
    failed: Mapping[str, str],
    error: LaminaError,
) -> dict[str, Any]:
    """The report of a build that has failed: what was made, and each target whose actions did."""
    results = _made(outputs) | {label: {"success": "FAIL", "outputs": {}} for label in failed}
    return {
        "success": False,
        "project_root": str(root),
        "results": results,
        "failures": dict(failed),
        "error": {"message": error.message, "hint": error.hint},
    }


def _made(outputs: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    return {
        label: {"success": "SUCCESS", "outputs": {"DEFAULT": list(paths)}}
        for label, paths in outputs.items()
    }


def write(path: Path, report: Mapping[str, Any]) -> None:
    """Write a report; raises UserError where it cannot be."""
    try:
        filesystem.write_atomic(path, json.dumps(report, indent=2).encode() + b"\n")
    except OSError as error:
        raise UserError(f"cannot write `{path}`: {error.strerror}") from error
