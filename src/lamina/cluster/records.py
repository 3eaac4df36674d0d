"""What is kept of jobs where they were submitted: one folder for each.

    <id>/job.json        the job, where it was sent, and how long that took
    <id>/...             what the launcher keeps there: logs, exit codes

The folder lies in `$XDG_STATE_HOME/lamina/jobs`, or where the cluster says that all nodes see it.
A line in the first names jobs whose folder is elsewhere.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from lamina.core.classes import asdict, dataclass, field, replace
from lamina.core.errors import UserError
from lamina.core.job import Job, Resources, Spec
from lamina.linux import filesystem

FILE = "job.json"
_FORMAT = 1
_ID = re.compile(r"[A-Za-z0-9_.-]+")


@dataclass(frozen=True, slots=True)
class Record:
    """A job that was submitted from here."""

    job: Job
    cluster: str  # name of its profile
    native: str  # what the scheduler calls it; empty while it is being submitted
    folder: Path
    submitted: float  # seconds since the epoch
    settings: Mapping[str, object] = field(default_factory=dict)  # of the cluster at that time
    seconds: Mapping[str, float] = field(default_factory=dict)  # of the stages before: build, push
    sent: Mapping[str, int] = field(default_factory=dict)  # bytes and blobs that were pushed


def top() -> Path:
    """The folder that tells all jobs of this user."""
    state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(state).absolute() / "lamina" / "jobs"


def new_id(name: str) -> str:
    """A name for a job that no other has."""
    plain = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:40] or "job"
    return f"{plain}-{os.urandom(4).hex()}"


def make_folder(job: str, where: str) -> Path:
    """The folder of a new job, in `where` if the cluster says so."""
    folder = Path(where).expanduser().absolute() / job if where else top() / job
    try:
        folder.mkdir(parents=True, mode=0o700)
    except OSError as error:
        raise UserError(
            f"cannot make the folder of the job, `{folder}`: {error.strerror}",
            hint="`logs` of the cluster names one that you and all its nodes may write",
        ) from error
    if where:
        (top()).mkdir(parents=True, exist_ok=True)
        filesystem.write_atomic(top() / f"{job}.at", f"{folder}\n".encode())
    return folder


def write(record: Record, *, durable: bool = True) -> None:
    """Keep a record, whole or not at all; what is not `durable` a power cut may take."""
    document = {
        "format": _FORMAT,
        "job": asdict(replace(record.job, carried="")),  # that is for the nodes alone
        "cluster": record.cluster,
        "native": record.native,
        "submitted": record.submitted,
        "settings": dict(record.settings),
        "seconds": dict(record.seconds),
        "sent": dict(record.sent),
    }
    data = json.dumps(document, indent=1).encode() + b"\n"
    filesystem.write_atomic(record.folder / FILE, data, durable=durable)


def read(folder: Path) -> Record:
    """The record in a folder; raises UserError where there is none that can be read."""
    try:
        document = json.loads((folder / FILE).read_bytes())
        if document["format"] != _FORMAT:
            raise UserError(f"`{folder}` was kept by another lamina", hint="use a newer one")
        return Record(
            job=job_of(document["job"]),
            cluster=str(document["cluster"]),
            native=str(document["native"]),
            folder=folder,
            submitted=float(document["submitted"]),
            settings=document["settings"],
            seconds=document["seconds"],
            sent=document["sent"],
        )
    except FileNotFoundError:
        raise UserError(f"there is no job in `{folder}`") from None
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"what is kept of the job in `{folder}` is damaged: {error!r}") from error


def job_of(found: Mapping[str, object]) -> Job:
    """The job that `asdict` told; raises KeyError, TypeError or ValueError where it is damaged."""
    fields = dict(found)
    spec = spec_of(fields.pop("spec"))  # type: ignore[arg-type]
    fields["entry_point"] = tuple(fields.pop("entry_point", ()))  # type: ignore[arg-type]
    return Job(**fields, spec=spec)  # type: ignore[arg-type]


def spec_of(found: Mapping[str, object]) -> Spec:
    """The same for how a job is run."""
    spec = dict(found)
    resources = Resources(**spec.pop("resources"))  # type: ignore[arg-type]
    pairs: Iterable[Sequence[str]] = spec.pop("environment")  # type: ignore[assignment]
    environment = tuple((str(name), str(value)) for name, value in pairs)
    values = {key: tuple(each) if isinstance(each, list) else each for key, each in spec.items()}
    return Spec(environment=environment, resources=resources, **values)  # type: ignore[arg-type]


def folders() -> list[Path]:
    """The folders of all jobs, the newest last."""
    try:
        entries = sorted(top().iterdir())
    except FileNotFoundError:
        return []
    found = [each for each in entries if (each / FILE).is_file()]
    for each in entries:
        if each.suffix == ".at" and (folder := _elsewhere(each)) is not None:
            found.append(folder)
    return sorted(found, key=lambda folder: (folder / FILE).stat().st_mtime)


def _elsewhere(pointer: Path) -> Path | None:
    folder = Path(pointer.read_text(encoding="utf-8", errors="replace").strip())
    return folder if (folder / FILE).is_file() else None


def find(name: str) -> Record | None:
    """The job of an id, or of the beginning of one; None where there is none.

    Raises UserError where several begin so.
    """
    if not _ID.fullmatch(name):
        return None
    known = {folder.name: folder for folder in folders()}
    close = [name] if name in known else [each for each in known if each.startswith(name)]
    if len(close) > 1:
        raise UserError(f"several jobs begin with `{name}`: {', '.join(close[:5])}")
    return read(known[close[0]]) if close else None


def forget(record: Record) -> None:
    """Remove what is kept of a job."""
    filesystem.remove_tree(record.folder)
    (top() / f"{record.job.id}.at").unlink(missing_ok=True)
