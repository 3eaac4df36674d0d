"""What Slurm is told of a job: the script for `sbatch`, and what each of its tasks does.

Nothing but a shell, lamina and Slurm's own programs is needed on a node. The tasks of a node share
one store there, so what is missing comes once for all of them.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path

from lamina.cluster import command, environment, features
from lamina.core.cluster import Cluster
from lamina.core.job import Job, Spec
from lamina.node import carried

MARK = "lamina: attempt"  # a line of the job's own output before each attempt
_MEBIBYTE = 1 << 20
_MANY, _MUCH = 15, 64 << 20  # nodes and bytes above which a broadcast is sooner there

# Names begin with `lamina_`: any other may be a variable of the job, which is not to be changed.
_BATCH = """\
set -u
lamina_folder={folder}
lamina_element=${{SLURM_ARRAY_TASK_ID:-0}}
{master}export MASTER_PORT=$(({first_port} + SLURM_JOB_ID % {ports}))
export LAMINA_JOB_ID={id} LAMINA_ARRAY_INDEX="$lamina_element"
{carried}{exports}{elements}{broadcast}lamina_try=0
while :; do
    export LAMINA_ATTEMPT=$((${{SLURM_RESTART_COUNT:-0}} + lamina_try + 1))
    echo "{mark} $LAMINA_ATTEMPT" >&2
    srun {srun}/bin/sh -c {task} task {command} "$@"
    lamina_code=$?
    [ "$lamina_code" -ne 0 ] && [ "$lamina_try" -lt {retries} ] || break
    lamina_try=$((lamina_try + 1))
done
if [ -w "$lamina_folder" ]; then
    echo "$lamina_code" >"$lamina_folder/.exit-$lamina_element" &&
        mv "$lamina_folder/.exit-$lamina_element" "$lamina_folder/exit-$lamina_element"
fi
exit "$lamina_code"
"""

# The address of the first node, that of rank 0: of `a,b`, or of `n[1-4,7]`; what has more brackets,
# or a text behind them, Slurm takes apart.
_MASTER = """\
lamina_first=${SLURM_JOB_NODELIST%%,*}
case $lamina_first in *\\[*)
    lamina_rest=${SLURM_JOB_NODELIST#*\\]}
    case $lamina_rest in
        "" | ,*)
            lamina_rest=${lamina_first#*\\[}
            lamina_first=${lamina_first%%\\[*}${lamina_rest%%[],-]*}
            ;;
        *) lamina_first=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1) ;;
    esac
    ;;
esac
lamina_told=$(scontrol -o show node "$lamina_first")
case $lamina_told in
    *" NodeAddr="*) lamina_told=${lamina_told#* NodeAddr=} lamina_told=${lamina_told%% *} ;;
    *) lamina_told= ;;
esac
export MASTER_ADDR="${lamina_told:-$lamina_first}"
"""

# Where many nodes lack much, the first pulls, and Slurm hands its archive on from node to node.
_BROADCAST = """\
lamina_lacks=0
[ "$SLURM_NNODES" -le {nodes} ] ||
    lamina_lacks=$({store}{lamina} inspect --missing --json {access}{package} |
        sed -n 's/.*"missing": \\([0-9]*\\).*/\\1/p')
if [ "${{lamina_lacks:-0}}" -gt {size} ]; then
    lamina_archive=/var/tmp/lamina-$SLURM_JOB_ID.tar
    ({store}{lamina} copy {access}{package} "oci-archive:$lamina_archive:all") >&2 &&
        sbcast --force --fanout=3 "$lamina_archive" "$lamina_archive" &&
        srun --ntasks-per-node=1 --ntasks="$SLURM_NNODES" --overlap /bin/sh -c {unpack} unpack \
            {lamina} pull "oci-archive:$lamina_archive@{digest}" >&2
    srun --ntasks-per-node=1 --ntasks="$SLURM_NNODES" --overlap rm -f "$lamina_archive"
fi
"""

# Slurm sends signals to the first process of a task alone, so that becomes the program. All nodes
# do this, each for all its tasks: the shell starts nothing that it can do itself. How many tasks
# a node has is told as `2(x3),1`: three nodes with two, and one with one.
_TASK = """\
lamina_index=$((LAMINA_ARRAY_INDEX * SLURM_NTASKS + SLURM_PROCID))
lamina_folder={folder}
if [ -w "$lamina_folder" ]; then
    exec >>"$lamina_folder/task-$lamina_index.log" 2>&1
    echo "$SLURMD_NODENAME" >"$lamina_folder/task-$lamina_index.node"
    export {report}="$lamina_folder/task-$lamina_index.json"
    [ ! -e "${report}" ] || rm -f "${report}"
fi
{store}export LAMINA_TASK_INDEX="$SLURM_PROCID" LAMINA_TASK_COUNT="$SLURM_NTASKS"
export LAMINA_NODE_INDEX="$SLURM_NODEID" LAMINA_NODE_COUNT="$SLURM_NNODES"
export RANK="$SLURM_PROCID" WORLD_SIZE="$SLURM_NTASKS" GROUP_RANK="$SLURM_NODEID"
lamina_rest=$SLURM_STEP_TASKS_PER_NODE,
lamina_nodes=0
while [ "$SLURM_NODEID" -ge "$lamina_nodes" ] && [ -n "$lamina_rest" ]; do
    lamina_part=${{lamina_rest%%,*}}
    lamina_rest=${{lamina_rest#*,}}
    case $lamina_part in
        *x*) lamina_many=${{lamina_part#*x}} lamina_many=${{lamina_many%)}} ;;
        *) lamina_many=1 ;;
    esac
    lamina_nodes=$((lamina_nodes + lamina_many))
done
export LOCAL_RANK="$SLURM_LOCALID" LOCAL_WORLD_SIZE="${{lamina_part%%(*}}"
{setup}exec "$@"
"""

# A folder of one's own on the disk of the node: the home may be on a file server.
_OWN_STORE = """\
export LAMINA_STORE="/var/tmp/lamina-${SLURM_JOB_UID:-$(id -u)}"
[ -d "$LAMINA_STORE" ] || mkdir -p -m 700 "$LAMINA_STORE"
if [ -L "$LAMINA_STORE" ] || [ ! -O "$LAMINA_STORE" ]; then
    echo "error: $LAMINA_STORE is somebody else's" >&2
    exit 125
fi
"""


def script(job: Job, cluster: Cluster, folder: Path, feature: str = "") -> str:
    """The script that `sbatch` is given; raises UserError for what Slurm cannot do.

    Nodes with a `feature` are preferred.
    """
    spec = job.spec
    task = _TASK.format(
        folder=shlex.quote(str(folder)),
        report=command.REPORT,
        store=store(cluster),
        setup=_setup(spec.setup, job.carried),
    )
    exports = "".join(f"export {name}={shlex.quote(text)}\n" for name, text in spec.environment)
    body = _BATCH.format(
        folder=shlex.quote(str(folder)),
        mark=MARK,
        master=_MASTER,
        first_port=environment.FIRST_PORT,
        ports=environment.PORTS,
        id=shlex.quote(job.id),
        carried=_carried(job.carried),
        exports=exports,
        elements=_elements(spec.elements),
        broadcast=_broadcast(job, cluster),
        srun=_srun(job),
        task=shlex.quote(task),
        command=shlex.join(command.words(job, cluster, (), limited=False)),
        retries=spec.retries,
    )
    lines = [f"#SBATCH {line}" for line in directives(job, cluster, folder, feature)]
    return "\n".join(["#!/bin/sh", *lines, body])


def directives(job: Job, cluster: Cluster, folder: Path, feature: str = "") -> Iterator[str]:
    """The options of `sbatch`; https://slurm.schedmd.com/sbatch.html."""
    spec, resources = job.spec, job.spec.resources
    is_array = len(spec.elements) > 1
    yield f"--job-name={shlex.quote(job.name)}"
    yield f"--comment=lamina:{job.id}"
    log = folder / ("batch-%a.log" if is_array else "batch.log")
    yield f"--output={shlex.quote(str(log))}"
    yield "--open-mode=append"
    if spec.tasks:
        yield f"--ntasks={spec.tasks}"
        if spec.nodes:
            yield f"--nodes={spec.nodes}"
    else:
        yield f"--nodes={max(spec.nodes, 1)}"
        yield f"--ntasks-per-node={max(spec.tasks_per_node, 1)}"
    if resources.cpus:
        yield f"--cpus-per-task={resources.cpus}"
    if resources.memory:
        # By processor, as it is not known how many tasks a node will have.
        per_cpu = -(-resources.memory // (_MEBIBYTE * max(resources.cpus, 1)))
        yield f"--mem-per-cpu={per_cpu}M"
    if resources.gpus:
        yield f"--gpus-per-task={resources.gpus}"
    yield from _times(spec)
    for name, value in (
        ("partition", spec.partition or cluster.partition),
        ("account", cluster.account),
        ("qos", cluster.qos),
        ("constraint", spec.constraint or cluster.constraint),
    ):
        if value:
            yield f"--{name}={shlex.quote(value)}"
    if feature:
        wanted = features.preference(feature, spec.constraint or cluster.constraint)
        yield f"--prefer={shlex.quote(wanted)}"
    if spec.exclusive:
        yield "--exclusive"
    if is_array:
        yield f"--array=0-{len(spec.elements) - 1}"
    yield "--requeue"  # where a node fails
    yield from cluster.options


def _times(spec: Spec) -> Iterator[str]:
    if spec.time_limit:
        minutes, seconds = divmod(spec.time_limit, 60)
        yield f"--time={minutes}:{seconds:02}"
    if spec.warning:
        yield f"--signal=TERM@{spec.warning}"


def _broadcast(job: Job, cluster: Cluster) -> str:
    """How nodes get a package from each other; nothing where each pulls it."""
    if cluster.transfer == "pull":
        return ""
    always = cluster.transfer == "broadcast"
    return _BROADCAST.format(
        store=store(cluster),
        lamina=shlex.quote(cluster.lamina),
        access="".join(f"{word} " for word in command.access(cluster)),
        package=shlex.quote(job.package),
        digest=job.package.rpartition("@")[2],
        nodes=1 if always else _MANY,
        size=0 if always else _MUCH,
        unpack=shlex.quote(f'{store(cluster)}exec "$@"'),
    )


def _srun(job: Job) -> str:
    found = ["--kill-on-bad-exit=1"]
    if job.spec.resources.cpus:  # srun does not take it from sbatch
        found.append(f"--cpus-per-task={job.spec.resources.cpus}")
    return "".join(f"{each} " for each in found)


def store(cluster: Cluster) -> str:
    """Lines of shell that choose the store of a node."""
    if cluster.store:
        return f"export LAMINA_STORE={shlex.quote(cluster.store)}\n"
    return _OWN_STORE


def _carried(text: str) -> str:
    """What `srun` gives to all nodes with the environment: it goes from node to node as that."""
    return f"export {carried.VARIABLE}={text}\n" if text else ""


def _setup(lines: Sequence[str], blobs: str) -> str:
    if not lines:
        return ""
    # What the lines start is not to have it.
    before = [f"lamina_carried=${carried.VARIABLE}", f"unset {carried.VARIABLE}"] if blobs else []
    after = [f'export {carried.VARIABLE}="$lamina_carried"'] if blobs else []
    return "".join(f"{line}\n" for line in (*before, "set -e", *lines, "set +e", *after))


def _elements(elements: Sequence[Sequence[str]]) -> str:
    if len(elements) == 1:
        words = shlex.join(elements[0])
        return f"set -- {words}\n" if words else "set --\n"
    cases = (f"{number}) set -- {shlex.join(words)} ;;\n" for number, words in enumerate(elements))
    return 'case "$lamina_element" in\n' + "".join(cases) + "esac\n"
