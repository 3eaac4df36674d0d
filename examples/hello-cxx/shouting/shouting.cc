#include "shouting/shouting.h"

#include <cctype>

namespace shouting {

std::string loud(std::string text) {
  for (char& letter : text) {
    letter = static_cast<char>(std::toupper(static_cast<unsigned char>(letter)));
  }
  return text + "!";
}

}  // namespace shouting
