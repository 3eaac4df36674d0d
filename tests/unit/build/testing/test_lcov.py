"""Coverage of two tools, added up."""

from __future__ import annotations

from lamina.build.testing.lcov import Coverage

GCOV = (
    '{"files": [{"file": "a.c", "lines": [{"line_number": 1, "count": 2},'
    ' {"line_number": 3, "count": 0}]}]}\n'
)


def test_what_gcov_tells_of_several_objects_is_added() -> None:
    found = Coverage()

    found.add_gcov(GCOV + GCOV)

    assert found.lines == {"a.c": {1: 4, 3: 0}}


def test_files_of_the_package_root_are_those_of_the_workspace() -> None:
    found = Coverage()
    text = "TN:\nSF:/root/new/name.py\nDA:1,1,hash\nDA:2,0\nend_of_record\nSF:other.py\nDA:1,1\n"

    found.add_lcov(text, {"new/name.py": "lib/f.py"}, "/root")

    assert found.lines == {"lib/f.py": {1: 1, 2: 0}}


def test_a_report_reads_back() -> None:
    found, again = Coverage({"a.c": {1: 4, 3: 0}, "b/c.py": {2: 1}}), Coverage()

    again.add_lcov(found.text(), {path: path for path in found.lines}, "")

    assert again == found


def test_the_table_has_a_line_for_all() -> None:
    found = Coverage({"a.c": {1: 4, 3: 0}, "b.c": {2: 1}})

    assert found.table() == [("a.c", "1/2", "50.0 %"), ("b.c", "1/1", "100.0 %"),
                             ("all", "2/3", "66.7 %")]  # fmt: skip
