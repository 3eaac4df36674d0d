#include "rules_cc/cc/runfiles/runfiles.h"

#include <climits>
#include <cstdlib>

#include <sys/stat.h>
#include <unistd.h>

namespace rules_cc {
namespace cc {
namespace runfiles {
namespace {

std::string Variable(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

bool IsFolder(const std::string& path) {
  struct stat status;
  return stat(path.c_str(), &status) == 0 && S_ISDIR(status.st_mode);
}

// Programs lie in `bin` of the package root.
std::string PackageRoot() {
  char path[PATH_MAX];
  const ssize_t length = readlink("/proc/self/exe", path, sizeof(path));
  if (length <= 0) return ".";
  std::string found(path, static_cast<std::size_t>(length));
  for (int up = 0; up < 2; ++up) found.erase(found.find_last_of('/'));
  return found;
}

bool IsNormal(const std::string& path) {
  if (path.empty() || path.find("//") != std::string::npos) return false;
  const std::string whole = "/" + path + "/";
  return whole.find("/./") == std::string::npos && whole.find("/../") == std::string::npos;
}

}  // namespace

Runfiles::Runfiles(std::string folder, std::string root)
    : folder_(std::move(folder)), root_(std::move(root)) {}

Runfiles* Runfiles::Create(const std::string&, const std::string&, const std::string& folder,
                           std::string*) {
  return new Runfiles(IsFolder(folder) ? folder : "", PackageRoot());
}

Runfiles* Runfiles::Create(const std::string& argv0, const std::string& manifest,
                           const std::string& folder, const std::string&, std::string* error) {
  return Create(argv0, manifest, folder, error);
}

Runfiles* Runfiles::Create(const std::string& argv0, std::string* error) {
  return Create(argv0, "", Variable("RUNFILES_DIR"), error);
}

Runfiles* Runfiles::Create(const std::string& argv0, const std::string&, std::string* error) {
  return Create(argv0, error);
}

Runfiles* Runfiles::CreateForTest(std::string* error) {
  const std::string folder = Variable("TEST_SRCDIR");
  if (!IsFolder(folder)) {
    if (error != nullptr) *error = "TEST_SRCDIR names no folder: this is not a test";
    return nullptr;
  }
  return new Runfiles(folder, PackageRoot());
}

Runfiles* Runfiles::CreateForTest(const std::string&, std::string* error) {
  return CreateForTest(error);
}

std::string Runfiles::Rlocation(const std::string& path) const {
  if (!IsNormal(path)) return "";
  if (path[0] == '/') return path;
  if (!folder_.empty()) return folder_ + "/" + path;
  const std::string::size_type slash = path.find('/');
  const std::string rest = slash == std::string::npos ? "" : path.substr(slash);
  const std::string other = root_ + "/external/" + path.substr(0, slash);
  return (IsFolder(other) ? other : root_) + rest;
}

std::string Runfiles::Rlocation(const std::string& path, const std::string&) const {
  return Rlocation(path);
}

std::vector<std::pair<std::string, std::string>> Runfiles::EnvVars() const {
  if (folder_.empty()) return {};
  return {{"RUNFILES_DIR", folder_}, {"JAVA_RUNFILES", folder_}};
}

std::unique_ptr<Runfiles> Runfiles::WithSourceRepository(const std::string&) const {
  return std::unique_ptr<Runfiles>(new Runfiles(*this));
}

}  // namespace runfiles
}  // namespace cc
}  // namespace rules_cc
