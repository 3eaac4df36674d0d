#include "E.h"

#include "F.h"

namespace e {

int call() { return ::call(); }

const void* address() { return ::address(); }

}  // namespace e
