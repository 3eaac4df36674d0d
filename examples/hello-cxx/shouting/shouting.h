#pragma once

#include <string>

namespace shouting {

std::string loud(std::string text);

}  // namespace shouting
