#include "point.h"

int x() { return POINT; }
