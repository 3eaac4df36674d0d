"""Prints the sum of the areas of some squares."""

import click
import numpy

from shapes import Square


@click.command()
@click.argument("sides", nargs=-1, type=float)
def main(sides: tuple[float, ...]) -> None:
    areas = numpy.array([Square(side).area for side in sides])
    click.echo(f"{len(areas)} squares, {areas.sum():g} in all")


main()
