import unittest

import tensor
from model import Model


class ModelTest(unittest.TestCase):
    def test_the_gradient_is_that_of_the_loss(self):
        model, samples = Model("ab", context=2, hidden=3), [("ab", "a"), ("ba", "b"), ("aa", "b")]

        def loss():
            scores, back = model.scores([context for context, _ in samples])
            return tensor.cross_entropy(scores, [0, 1, 1]), back

        loss()[1]()
        for weights in (model.inner, model.outer):
            for place, found in enumerate(weights.gradient):
                kept = weights.data[place]
                weights.data[place] = kept + 1e-2
                above = loss()[0]
                weights.data[place] = kept - 1e-2
                below = loss()[0]
                weights.data[place] = kept
                self.assertAlmostEqual(found, (above - below) / 2e-2, delta=2e-3)

    def test_it_learns(self):
        model, samples = Model("ab", context=1, hidden=4), [("a", "b"), ("b", "a")] * 8

        losses = [model.step(samples, 0.5) for _ in range(200)]

        self.assertLess(losses[-1], 0.1 * losses[0])
        self.assertEqual(model.write("a", 4), "ababa")


if __name__ == "__main__":
    unittest.main()
