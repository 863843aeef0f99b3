"""``ojob schema``: print the JSON Schema of job files."""

import click


@click.command(short_help="Print the JSON Schema of job files.")
def schema() -> None:
    """Print the JSON Schema (draft-07) of job files, for editors that check and complete them.

    Save it beside a job file, and make this the first line of the job file:

        # yaml-language-server: $schema=ojob.schema.json
    """
    import json

    from ojobchannels.ojob.schema.json_schema import json_schema

    click.echo(json.dumps(json_schema(), indent=2, ensure_ascii=False))
