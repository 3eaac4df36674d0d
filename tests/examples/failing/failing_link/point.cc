int distance(int x);

int twice(int x) { return distance(x) + distance(x); }
