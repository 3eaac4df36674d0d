"""Train a tiny language model on the processor: `lamina run //:train -- --steps 400`."""

import argparse
import pathlib
import random

import tensor
from model import Model


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--rate", type=float, default=0.5)
    args = parser.parse_args()
    text = (pathlib.Path(__file__).parent / "text.txt").read_text().replace("\n", " ")
    model = Model(sorted(set(text)))
    samples = [
        (text[place : place + model.context], text[place + model.context])
        for place in range(len(text) - model.context)
    ]
    draw = random.Random(1)
    print(f"{model.size} weights, {len(samples)} samples, products by {tensor.NAME}")
    for step in range(args.steps + 1):
        loss = model.step(draw.sample(samples, 64), args.rate)
        if step % (args.steps // 6 or 1) == 0:
            print(f"step {step:4}  loss {loss:.3f}")
    print(model.write("the", 60))


if __name__ == "__main__":
    main()
