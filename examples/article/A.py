"""Shows that the two ways down to F end in one and the same F."""

import B
import C

print("Hello from A")
print(f"B calls D, D calls F: this is call {B.call()} of F")
print(f"C calls E, E calls F: this is call {C.call()} of F")
if B.address() == C.address():
    print("There is one F: D and E use one counter, at one address")
else:
    print("There are two copies of F, each with a counter of its own")
