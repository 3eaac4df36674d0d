#include "greeting/greeting.h"

namespace greeting {

std::string to(const std::string& name) { return "Hello, " + name; }

}  // namespace greeting
