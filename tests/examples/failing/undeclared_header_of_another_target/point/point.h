#define POINT 1
