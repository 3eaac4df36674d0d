"""Sources of layers, found from actions."""

from __future__ import annotations

from lamina.build.layersources import layer_sources
from lamina.build.providers import Analysed
from lamina.core.action import Action, Artifact, Source
from lamina.core.label import Label

LIBRARY, PROGRAM, DATA = (Label.parse(f"//:{name}") for name in ("library", "program", "data"))


def action(output: str, **inputs: Artifact) -> Action:
    return Action("Make", "//:x", ("true",), tuple(inputs.items()), (output,))


def test_an_own_file_that_is_a_source_is_its_own_origin() -> None:
    found = layer_sources([Analysed(DATA, own={"a.txt": Source("p/a.txt"), "d": Source("p/d")})])

    assert found[DATA] == {"p/a.txt", "p/d"}


def test_sources_are_found_through_files_that_lie_in_no_layer() -> None:
    header = action("h", template=Source("h.in"))
    compiled = action("o", source=Source("a.cc"), header=header.output("h"))
    linked = action("so", compiled=compiled.output("o"))

    found = layer_sources([Analysed(LIBRARY, own={"lib/a.so": linked.output("so")})])

    assert found[LIBRARY] == {"h.in", "a.cc"}


def test_what_has_a_layer_of_its_own_is_not_looked_through() -> None:
    library = action("so", source=Source("library.cc")).output("so")
    program = action("bin", source=Source("main.cc"), library=library).output("bin")

    found = layer_sources(
        [Analysed(LIBRARY, own={"lib/l.so": library}), Analysed(PROGRAM, own={"p": program})]
    )

    assert found == {LIBRARY: {"library.cc"}, PROGRAM: {"main.cc"}}


def test_a_chain_of_thousands_of_actions_is_followed() -> None:
    last = action("0", source=Source("first"))
    for number in range(5000):
        last = action(f"{number + 1}", before=last.output(last.outputs[0]))

    found = layer_sources([Analysed(DATA, own={"x": last.output(last.outputs[0])})])

    assert found[DATA] == {"first"}
