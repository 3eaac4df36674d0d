int one();
int two();
int both() { return one() + two(); }
