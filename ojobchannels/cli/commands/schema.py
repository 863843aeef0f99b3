"""``ojob schema``: prints the JSON Schema of job files."""

from __future__ import annotations

import click


@click.command(short_help="Print the JSON Schema of job files.")
def schema() -> None:
    """Prints the JSON Schema of job files (draft-07), by which editors check and complete them.

    Save it beside a job file, and begin that one with the line

        # yaml-language-server: $schema=ojob.schema.json
    """
    import json

    from ojobchannels.ojob.schema.json_schema import json_schema

    click.echo(json.dumps(json_schema(), indent=2, ensure_ascii=False))
