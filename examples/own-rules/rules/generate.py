"""Makes a C++ header and a Python module of a file with lines `NAME = text`."""

import sys


def main() -> None:
    source, header, module = sys.argv[1:]
    with open(source) as file:
        lines = [line.partition("=") for line in file if "=" in line]
    texts = {name.strip(): text.strip() for name, _, text in lines}
    with open(header, "w") as file:
        file.write("#pragma once\n")
        for name, text in texts.items():
            file.write(f'inline const char* const {name} = "{text}";\n')
    with open(module, "w") as file:
        for name, text in texts.items():
            file.write(f"{name} = {text!r}\n")


main()
