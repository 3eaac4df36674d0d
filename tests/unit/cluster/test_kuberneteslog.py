from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from lamina.cluster import kuberneteslog
from lamina.cluster.kuberneteslog import after, without_time

SECOND = b"2026-01-02T03:04:05"

printed = st.lists(
    st.tuples(st.integers(0, 10**9 - 1), st.binary(max_size=6).filter(lambda b: b"\n" not in b)),
    min_size=1, max_size=8,
)  # fmt: skip


def told(found: list[tuple[int, bytes]]) -> list[bytes]:
    """As a kubelet tells lines, the fraction of a second as some write it."""
    return [
        SECOND + (b".%09d" % nanoseconds).rstrip(b"0").rstrip(b".") + b"Z " + text + b"\n"
        for nanoseconds, text in sorted(found)
    ]


@given(printed, st.data())
def test_what_follows_a_line_is_found_wherever_the_answer_begins(
    found: list[tuple[int, bytes]], data: st.DataObject
) -> None:
    lines = list(dict.fromkeys(told(found)))
    seen = data.draw(st.integers(0, len(lines) - 1))
    begin = data.draw(st.integers(0, seen))

    rest = b"".join(after(lines[begin:], lines[seen]))

    assert rest == b"".join(without_time(line) for line in lines[seen + 1 :])


def test_a_line_that_was_cut_off_goes_on() -> None:
    whole = SECOND + b".1Z half a line\n"

    assert after([whole], whole[:-8]) == [b" a line\n"]


def test_without_the_line_what_is_later_counts() -> None:
    earlier, last, later = (SECOND + text for text in (b".5Z a\n", b".51Z b\n", b".6Z c\n"))

    assert after([earlier, later], last) == [b"c\n"]


def test_times_have_zones() -> None:
    line = b"2026-01-02T03:04:05.123456789+02:00 text\n"

    assert kuberneteslog._second(line) == "2026-01-02T03:04:05+02:00"
    assert after([line], b"2026-01-02T02:04:05Z x\n") == []
