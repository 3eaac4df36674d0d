#pragma once

int call();             // counts its calls and returns how many there were
const void* address();  // where the count is kept
