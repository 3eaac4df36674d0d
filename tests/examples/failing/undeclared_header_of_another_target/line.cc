#include "point/point.h"

int x() { return POINT; }
