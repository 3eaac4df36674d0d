// Finds the files in `data` of a program, by the name of their cell and their path in it.
//
// Under `lamina test` the roots of all cells lie side by side in one folder, as under Bazel.
// Elsewhere there is the package root alone, with the files of the workspace at their path, and
// those of other cells below `external`.
#ifndef RULES_CC_CC_RUNFILES_RUNFILES_H_
#define RULES_CC_CC_RUNFILES_RUNFILES_H_

#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace rules_cc {
namespace cc {
namespace runfiles {

class Runfiles {
 public:
  // The files of the program that runs, which is called `argv0`; the caller owns what comes back.
  static Runfiles* Create(const std::string& argv0, std::string* error = nullptr);
  static Runfiles* Create(const std::string& argv0, const std::string& source_repository,
                          std::string* error = nullptr);
  static Runfiles* Create(const std::string& argv0, const std::string& manifest,
                          const std::string& folder, std::string* error = nullptr);
  static Runfiles* Create(const std::string& argv0, const std::string& manifest,
                          const std::string& folder, const std::string& source_repository,
                          std::string* error = nullptr);

  // The same for a test; null, with an error, where the program is none.
  static Runfiles* CreateForTest(std::string* error = nullptr);
  static Runfiles* CreateForTest(const std::string& source_repository,
                                 std::string* error = nullptr);

  // The path of `cell/folder/file`; the workspace itself is called `_main`. Empty for a path that
  // is not normal.
  std::string Rlocation(const std::string& path) const;
  std::string Rlocation(const std::string& path, const std::string& source_repo) const;

  // What a program that this one starts needs to find the same files.
  std::vector<std::pair<std::string, std::string>> EnvVars() const;

  std::unique_ptr<Runfiles> WithSourceRepository(const std::string& source_repository) const;

 private:
  Runfiles(std::string folder, std::string root);

  std::string folder_;  // holds the roots of cells; else empty
  std::string root_;    // the package root
};

}  // namespace runfiles
}  // namespace cc
}  // namespace rules_cc

#endif  // RULES_CC_CC_RUNFILES_RUNFILES_H_
