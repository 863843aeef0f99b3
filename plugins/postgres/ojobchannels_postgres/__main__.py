"""The command ``python -m ojobchannels_postgres``: prints the statements that create the tables."""

import argparse
import sys

from ojobchannels_postgres.options import DEFAULT_SCHEMA
from ojobchannels_postgres.schema import ddl


def main() -> None:
    """Print the statements."""
    parser = argparse.ArgumentParser(
        prog="python -m ojobchannels_postgres",
        description="Print the SQL that creates the tables of the channel type postgres.",
    )
    parser.add_argument("--schema", default=DEFAULT_SCHEMA, help="(default: %(default)s)")
    schema = parser.parse_args().schema
    sys.stdout.write(f'CREATE SCHEMA IF NOT EXISTS "{schema}";\n{ddl(schema)}')


if __name__ == "__main__":
    main()
