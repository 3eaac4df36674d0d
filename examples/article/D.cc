// What ctypes calls has C names.
#include "F.h"

extern "C" int d_call() { return call(); }

extern "C" const void* d_address() { return address(); }
