int x() {
  return "one";
}
