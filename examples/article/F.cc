#include "F.h"

static int count = 0;

int call() { return ++count; }

const void* address() { return &count; }
