#include <iostream>

#include "greeting/greeting.h"
#include "shouting/shouting.h"

int main(int argc, char** argv) {
  for (int i = 1; i < argc; ++i) {
    std::cout << shouting::loud(greeting::to(argv[i])) << "\n";
  }
  if (argc < 2) {
    std::cout << greeting::to("world") << "\n";
  }
}
