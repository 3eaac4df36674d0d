from greeting.greetings import HELLO

print(HELLO)
