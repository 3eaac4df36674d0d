# Runs a test: run.sh <seconds> <program, from the runfiles> <arguments>.
#
# How it ends, what it prints and how long it takes are outputs, so that a failure is a result too.
# The environment is the one that Bazel gives to tests.
work=$PWD
out=$PWD/out/.test
limit=$1
shift
mkdir -p "$out/outputs" "$out/coverage" /tmp/test
: >"$out/xml"

# Files cannot be written, but a test may put others beside them, as some do: folders of links.
cp -rs "$work/runfiles" /tmp/
export TEST_SRCDIR=/tmp/runfiles
export RUNFILES_DIR=$TEST_SRCDIR PYTHON_RUNFILES=$TEST_SRCDIR JAVA_RUNFILES=$TEST_SRCDIR
export TEST_TMPDIR=/tmp/test GTEST_TMP_DIR=/tmp/test HOME=/tmp/test USER=lamina LOGNAME=lamina
export XML_OUTPUT_FILE=$out/xml
export TEST_UNDECLARED_OUTPUTS_DIR=$out/outputs
export TEST_PREMATURE_EXIT_FILE=/tmp/premature TEST_WARNINGS_OUTPUT_FILE=/tmp/warnings
export TEST_INFRASTRUCTURE_FAILURE_FILE=/tmp/infrastructure
export TEST_LOGSPLITTER_OUTPUT_FILE=/tmp/split TEST_UNUSED_RUNFILES_LOG_FILE=/tmp/unused
export PYTHONUNBUFFERED=1
if [ -n "${TEST_TOTAL_SHARDS-}" ]; then
  export TEST_SHARD_STATUS_FILE=/tmp/shard GTEST_SHARD_STATUS_FILE=/tmp/shard
fi
if [ -n "${COVERAGE-}" ]; then
  export COVERAGE_DIR=$out/coverage GCOV_PREFIX=$out/coverage
fi

program=$work/runfiles/$TEST_WORKSPACE/$1
shift
cd "$TEST_SRCDIR/$TEST_WORKSPACE" || exit 1
ulimit -c 0
begun=${EPOCHREALTIME/[.,]/}
{
  timeout --kill-after=10 "$limit" ${RUN_UNDER-} "$program" "$@" </dev/null >"$out/log" 2>&1
  code=$?
} 2>/dev/null # where bash itself tells of a signal
ended=${EPOCHREALTIME/[.,]/}

failure=
if [ $code -ne 0 ]; then
  failure="exit $code"
  if [ $code -gt 128 ]; then
    failure="signal $((code - 128))"
  fi
  if [ $((ended - begun)) -ge $((limit * 1000000)) ]; then
    failure=timeout
  fi
elif [ -e /tmp/premature ]; then
  failure=premature
elif [ -n "${TEST_TOTAL_SHARDS-}" ] && [ ! -e /tmp/shard ]; then
  failure=unsharded
fi
printf %s "$failure" >"$out/failure"
printf %s $((ended - begun)) >"$out/microseconds"
