"""The floors of the start-up: programs that do next to nothing."""

from typing import Final

IMPORT: Final = "pass"
CLICK_HELLO: Final = """
import click

@click.command()
@click.option("--name", default="world", help="The name to greet.")
def hello(name):
    '''Greets.'''
    click.echo(f"hello {name}")

hello()
"""
