"""Fit a curve by several tasks, each with its own part of the samples: `lamina submit //:job`."""

import argparse
import os
import random
import socket

import exchange

RATE = 0.1
SAMPLES = 256  # of each task, in each step
WANTED = (0.5, -1.25, 2.0, 0.75)  # of a polynomial, to be found


def samples(draw):
    """Points of the curve, with noise."""
    for _ in range(SAMPLES):
        x = draw.uniform(-1, 1)
        yield x, sum(weight * x**power for power, weight in enumerate(WANTED)) + draw.gauss(0, 0.01)


def gradient(weights, points):
    """The slope of the loss for each weight, and the loss."""
    slopes, loss = [0.0] * len(weights), 0.0
    for x, y in points:
        powers = [x**power for power in range(len(weights))]
        error = sum(map(float.__mul__, weights, powers)) - y
        loss += error * error
        slopes = [slope + 2 * error * power for slope, power in zip(slopes, powers, strict=True)]
    return [*slopes, loss]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=60)
    args = parser.parse_args()
    group = exchange.Group()
    node = os.environ.get("SLURMD_NODENAME") or socket.gethostname()
    print(f"task {group.rank} of {group.size} on {node}, sums by {exchange.NAME}", flush=True)
    weights = [0.0] * len(WANTED)
    draw = random.Random(group.rank)
    for step in range(args.steps + 1):
        *slopes, loss = group.sum(gradient(weights, samples(draw)))
        count = SAMPLES * group.size
        steps = (RATE * slope / count for slope in slopes)
        weights = list(map(float.__sub__, weights, steps))
        if group.rank == 0 and step % (args.steps // 6 or 1) == 0:
            print(f"step {step:4}  loss {loss / count:.4f}", flush=True)
    group.close()
    print(f"task {group.rank} ends with {' '.join(f'{weight:.3f}' for weight in weights)}")


if __name__ == "__main__":
    main()
