"""A language model of characters: from the last few to the next, by one hidden layer."""

import random

import tensor


class Model:
    def __init__(self, letters, context=6, hidden=32, seed=0):
        self.letters, self.context = letters, context
        self.number = {letter: number for number, letter in enumerate(letters)}
        draw = random.Random(seed).gauss
        width = context * len(letters)
        self.inner = tensor.Matrix(width, hidden, (draw(0, 0.3) for _ in range(width * hidden)))
        self.outer = tensor.Matrix(
            hidden, len(letters), (draw(0, 0.3) for _ in range(hidden * len(letters)))
        )

    @property
    def size(self):
        return len(self.inner) + len(self.outer)

    def scores(self, contexts):
        """Scores of what comes next, and what takes their gradients back to the weights."""
        x = tensor.Matrix(len(contexts), self.inner.rows)
        for row, context in enumerate(contexts):
            for place, letter in enumerate(context):
                column = place * len(self.letters) + self.number[letter]
                x.data[row * x.columns + column] = 1.0
        between, first = tensor.product(x, self.inner)
        hidden, second = tensor.tanh(between)
        scores, third = tensor.product(hidden, self.outer)

        def back():
            for step in (third, second, first):
                step()

        return scores, back

    def step(self, samples, rate):
        """Learn from pairs of context and next letter; the loss before that."""
        scores, back = self.scores([context for context, _ in samples])
        loss = tensor.cross_entropy(scores, [self.number[letter] for _, letter in samples])
        back()
        tensor.descend((self.inner, self.outer), rate)
        return loss

    def write(self, start, length):
        """Go on with a text, each time by the letter that is most likely."""
        text = start
        for _ in range(length):
            scores = self.scores([text[-self.context :]])[0].data
            text += self.letters[max(range(len(self.letters)), key=scores.__getitem__)]
        return text
