import importlib.util
import unittest

from shapes import Square


class SquareTest(unittest.TestCase):
    def test_area(self) -> None:
        self.assertEqual(Square(3).area, 9)

    def test_what_is_not_in_deps_is_not_there(self) -> None:
        self.assertIsNone(importlib.util.find_spec("six"))
