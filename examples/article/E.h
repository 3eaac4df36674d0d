#pragma once

namespace e {

int call();
const void* address();

}  // namespace e
