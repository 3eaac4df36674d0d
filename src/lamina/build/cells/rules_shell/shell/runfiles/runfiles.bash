# Another name of `@bazel_tools//tools/bash/runfiles`.
source "$(dirname "${BASH_SOURCE[0]}")/../../../bazel_tools/tools/bash/runfiles/runfiles.bash"
