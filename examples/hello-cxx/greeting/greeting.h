#pragma once

#include <string>

namespace greeting {

std::string to(const std::string& name);

}  // namespace greeting
