"""`lamina submit`: build a target, push what changed, and let a cluster run it."""

from __future__ import annotations

import argparse
import contextlib
import time
from pathlib import Path
from typing import TYPE_CHECKING

from lamina.cli import arguments, jobs, output, repositories
from lamina.core.classes import asdict, dataclass, replace
from lamina.core.errors import Interrupted, LaminaError, UserError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from lamina.cli.session import Session
    from lamina.cli.shipping import Shipped
    from lamina.cluster.launcher import Launcher
    from lamina.cluster.records import Record
    from lamina.core.job import Job, Spec

_COUNTS = (
    (("--nodes", "-N"), "nodes", "machines"),
    (("--tasks-per-node",), "tasks_per_node", "processes on each"),
    (("--tasks", "-n", "--ntasks"), "tasks", "processes in all, wherever they fit"),
    (("--retries",), "retries", "how often it is started again when it fails"),
)
_TEXTS = (
    (("--partition", "-p"), "partition", "NAME", "the queue; the namespace of Kubernetes"),
    (("--constraint",), "constraint", "WORDS", "what nodes must have"),
)
_LISTS = (
    (("--env",), "env", "NAME[=VALUE]", "a variable; without a value the one of this shell"),
    (("--mount", "--volume"), "mount", "SOURCE:TARGET[:ro]", "a folder of the nodes"),
    (("--setup",), "setup", "LINE", "a line of shell that each task runs before the program"),
    (("--array",), "array", "ARGUMENTS", "a job for each, with further arguments; `0-9`: ten"),
)


def add_to(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    arguments.add_target(parser)
    jobs.add_cluster(parser)
    wish = parser.add_argument_group("the job", "in place of what its rule says")
    for names, field, text in _COUNTS:
        wish.add_argument(
            *names, dest=field, type=arguments.count(names[0]), metavar="N", help=text
        )
    wish.add_argument("--cpus-per-task", dest="cpus", metavar="N",
                      type=arguments.count("--cpus-per-task"),
                      help="processors for each task")  # fmt: skip
    wish.add_argument("--gpus-per-task", dest="gpus", metavar="N",
                      type=arguments.count("--gpus-per-task"),
                      help="GPUs for each task")  # fmt: skip
    wish.add_argument("--memory", metavar="SIZE", help="memory for each task, as `4G`")
    wish.add_argument("--time", "-t", "--time-limit", dest="time", metavar="TIME",
                      help="as `1h30m`, `2d`, `12:00:00`")  # fmt: skip
    wish.add_argument("--warning", metavar="TIME", help="before the limit, when tasks get SIGTERM")
    wish.add_argument("--exclusive", action="store_true", help="no other job on the same nodes")
    for names, field, metavar, text in _TEXTS:
        wish.add_argument(*names, dest=field, metavar=metavar, default="", help=text)
    for names, field, metavar, text in _LISTS:
        wish.add_argument(
            *names, dest=field, metavar=metavar, action="append", default=[], help=text
        )
    wish.add_argument("--name", default="", help="in place of the target's")
    parser.add_argument(
        "--registry", metavar="REPO", default="",
        help="where to push the package: `host/repository` or `oci:FOLDER`",
    )  # fmt: skip
    parser.add_argument("--follow", "-f", action="store_true", help="show what it prints")
    parser.add_argument("--wait", action="store_true", help="wait until it is over")
    parser.add_argument("--dry-run", action="store_true", help="print what would be sent")
    repositories.add_access(parser)
    arguments.add_build(parser)
    arguments.add_grouping(parser)
    arguments.add_json(parser)
    parser.epilog = "What stands after `--` is handed to the program, after the rule's arguments."


def run(args: argparse.Namespace) -> int:
    """Submit, and print the id; with `--wait` and `--follow` the job's exit code is this one's."""
    begun = time.time()
    from lamina.cli.session import Session
    from lamina.cluster import launchers, profiles

    cluster = profiles.find(args.on or "local", Path.cwd())
    if args.registry:
        cluster = replace(cluster, registry=args.registry)
    if args.plain_http:
        cluster = replace(cluster, plain_http=True)
    if args.ca:
        cluster = replace(cluster, ca=str(Path(args.ca).absolute()))
    launcher = launchers.of(cluster)
    with _ready(launcher, args), Session(arguments.options(args)) as session:
        found = target(session, args.target)
        wish = _Wish(replace(found, spec=_spec(args, found.spec)), begun)
        record = _submit(session, args, launcher, wish)
    # Others may build while the job runs.
    return 0 if record is None else _tell(args, record, launcher)


@contextlib.contextmanager
def _ready(launcher: Launcher, args: argparse.Namespace) -> Iterator[None]:
    """Let the launcher get ready for a job, where one is to be submitted."""
    from lamina.cluster.launcher import Preparing

    if args.dry_run or not isinstance(launcher, Preparing):
        yield
        return
    launcher.prepare()
    try:
        yield
    finally:
        launcher.dismiss()


@dataclass(frozen=True, slots=True)
class Target:
    """A target that can be submitted: the program that it is or names, and how that is run."""

    label: str
    binary: str
    spec: Spec


def target(session: Session, word: str) -> Target:
    """What a word names, from a record where no BUILD file has changed."""
    from lamina.cli import incremental
    from lamina.cluster import records

    key = session.key("job", word)
    known = incremental.go_on(session, key)
    if known is not None and not known.failure:
        result = known.result
        found = Target(result["label"], result["binary"], records.spec_of(result["spec"]))
        known.save(result)
        return found
    found = _analysed(session, word)
    incremental.finish(session, key, (), asdict(found), session.seen())
    return found


def _analysed(session: Session, word: str) -> Target:
    from lamina.core.job import Spec

    label = session.label(word)
    found = session.analyse([label])[label]
    if found.job is not None:
        return Target(str(label), str(found.job.binary), found.job.spec)
    if found.runnable is None:
        raise UserError(f"`{label}` is neither a job nor a program", hint="a `job`, or a binary")
    return Target(str(label), str(label), Spec())


def _spec(args: argparse.Namespace, usual: Spec) -> Spec:
    """What the command line says of a job, over what its rule says."""
    from lamina.core import job, quantity

    given: dict[str, object] = {
        name: getattr(args, name)
        for name in ("nodes", "tasks_per_node", "tasks", "retries", "partition", "constraint")
        if getattr(args, name)
    }
    if ("nodes" in given or "tasks_per_node" in given) and "tasks" not in given:
        given["tasks"] = 0
    if "tasks" in given and given["tasks"] and "tasks_per_node" not in given:
        given.setdefault("nodes", 0)
        given["tasks_per_node"] = 0
    if args.time:
        given["time_limit"] = quantity.duration(args.time)
    if args.warning:
        given["warning"] = quantity.duration(args.warning)
    if args.exclusive:
        given["exclusive"] = True
    if args.array:
        given["array"] = job.elements(tuple(args.array))
    resources = replace(
        usual.resources,
        cpus=args.cpus or usual.resources.cpus,
        gpus=args.gpus or usual.resources.gpus,
        memory=quantity.size(args.memory) if args.memory else usual.resources.memory,
    )
    spec = replace(
        usual,
        arguments=(*usual.arguments, *(args.program_arguments or ())),
        environment=tuple(sorted({**dict(usual.environment), **_environment(args.env)}.items())),
        mounts=(*usual.mounts, *args.mount),
        setup=(*usual.setup, *args.setup),
        resources=resources,
        **given,  # type: ignore[arg-type]
    )
    job.check(spec)
    return spec


def _environment(words: list[str]) -> dict[str, str]:
    import os

    found = {}
    for word in words:
        name, equals, value = word.partition("=")
        if equals:
            found[name] = value
        elif name in os.environ:
            found[name] = os.environ[name]
        else:
            raise UserError(f"there is no variable `{name}` here", hint=f"`--env {name}=VALUE`")
    return found


@dataclass(frozen=True, slots=True)
class _Wish:
    """What is to be run, and when that was asked for."""

    target: Target
    begun: float


def _submit(
    session: Session, args: argparse.Namespace, launcher: Launcher, wish: _Wish
) -> Record | None:
    """What was submitted; None where it was only printed."""
    from lamina.cli import shipping

    submission = _Submission(launcher, wish, args.name)
    early = None if args.dry_run else submission.begin
    try:
        shipped = shipping.ship(
            session, args, launcher, wish.target.binary,
            begun=wish.begun, push=not args.dry_run, early=early,
        )  # fmt: skip
    except BaseException:
        submission.withdraw()
        raise
    if args.dry_run:
        _print_plan(launcher.plan(submission.job(shipped)))
        return None
    if submission.record is None:
        submission.begin(shipped)
    assert submission.record is not None
    return submission.record


class _Submission:
    """A job on its way to a scheduler."""

    def __init__(self, launcher: Launcher, wish: _Wish, name: str) -> None:
        self._launcher = launcher
        self._wish = wish
        self._name = name or wish.target.label.rpartition(":")[2]
        self.record: Record | None = None  # once the scheduler has it

    def job(self, shipped: Shipped) -> Job:
        """A job that runs what was shipped."""
        from lamina.cluster import records
        from lamina.core.job import Job

        target = self._wish.target
        return Job(
            records.new_id(self._name), target.label, shipped.reference, target.spec,
            shipped.entry_point, shipped.carried,
        )  # fmt: skip

    def begin(self, shipped: Shipped) -> None:
        """Tell the scheduler, after another that it was told of for this is cancelled."""
        from lamina.cluster import records
        from lamina.cluster.records import Record

        self.withdraw()
        launcher, job = self._launcher, self.job(shipped)
        launcher.plan(job)  # what it cannot do is told before anything is kept
        folder = records.make_folder(job.id, launcher.cluster.logs)
        settings = {key: value for key, value in asdict(launcher.cluster).items() if key != "name"}
        record = Record(
            job, launcher.cluster.name, "", folder, self._wish.begun, settings,
            shipped.seconds, shipped.sent,
        )  # fmt: skip
        records.write(record, durable=False)  # for who kills this: a moment later it is told all
        try:
            native = launcher.submit(job, folder)
        except BaseException:
            records.forget(record)  # nobody has heard of it
            raise
        seconds = {**record.seconds, "submit": time.time() - shipped.ended}
        self.record = replace(record, native=native, seconds=seconds)
        records.write(self.record)

    def withdraw(self) -> None:
        """Cancel it, if it was begun: its package did not get to the registry as a whole."""
        if self.record is None:
            return
        record, self.record = self.record, None
        try:
            self._launcher.cancel(record)
        except LaminaError as error:
            output.warning(f"the job {record.job.id} cannot be cancelled: {error.message}")
            return
        output.note(f"the job {record.job.id} is cancelled: its package was not pushed as a whole")


def _print_plan(plan: Mapping[str, str]) -> None:
    for name, text in plan.items():
        if len(plan) > 1:
            output.data(f"# {name}")
        output.data(text.rstrip("\n"))


def _tell(args: argparse.Namespace, record: Record, launcher: Launcher) -> int:
    if args.json and not (args.follow or args.wait):
        output.document(
            {
                "id": record.job.id,
                "cluster": record.cluster,
                "native": record.native,
                "package": record.job.package,
                "folder": str(record.folder),
                "seconds": dict(record.seconds),
                "sent": dict(record.sent),
            }
        )
        return 0
    if not args.follow:
        output.data(record.job.id)
    elif not args.quiet:
        output.note(f"job {record.job.id}")
    if not (args.follow or args.wait):
        return 0
    try:
        if args.follow:
            lines = jobs.follow(record, launcher, None, go_on=True)
            jobs.print_lines(record, lines, None)
        status = jobs.ended(record, launcher)
    except Interrupted:
        name = record.job.id
        output.note(f"job {name} goes on: `lamina logs -f {name}`, `lamina cancel {name}`")
        raise
    if status.state.value != "succeeded":
        output.note(f"job {record.job.id}: {jobs.describe(status)}")
    return jobs.exit_code(status)
