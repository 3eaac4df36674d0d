// Another name of `@rules_cc//cc/runfiles`.
#ifndef BAZEL_TOOLS_TOOLS_CPP_RUNFILES_RUNFILES_H_
#define BAZEL_TOOLS_TOOLS_CPP_RUNFILES_RUNFILES_H_

#include "rules_cc/cc/runfiles/runfiles.h"

namespace bazel {
namespace tools {
namespace cpp {
namespace runfiles {

using Runfiles = ::rules_cc::cc::runfiles::Runfiles;

}  // namespace runfiles
}  // namespace cpp
}  // namespace tools
}  // namespace bazel

#endif  // BAZEL_TOOLS_TOOLS_CPP_RUNFILES_RUNFILES_H_
