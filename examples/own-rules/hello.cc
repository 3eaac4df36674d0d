#include <cstdio>

#include "greeting/greetings.h"

int main() { std::puts(HELLO); }
