"""Makes a C++ header and a Python module of a file with lines `NAME = text`."""

import sys
from pathlib import Path


def main() -> None:
    source, header, module = map(Path, sys.argv[1:])
    lines = [line.partition("=") for line in source.read_text().splitlines() if "=" in line]
    texts = {name.strip(): text.strip() for name, _, text in lines}
    constants = [f'inline const char* const {name} = "{text}";\n' for name, text in texts.items()]
    header.write_text("#pragma once\n" + "".join(constants))
    module.write_text("".join(f"{name} = {text!r}\n" for name, text in texts.items()))


main()
