int one();
int two();
int main() { return one() + two(); }
