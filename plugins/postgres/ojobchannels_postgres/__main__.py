"""The command ``python -m ojobchannels_postgres``: prints the statements for an administrator."""

import argparse
import sys

from ojobchannels_postgres.options import DEFAULT_SCHEMA
from ojobchannels_postgres.schema import counting_ddl, ddl


def main() -> None:
    """Print the statements."""
    parser = argparse.ArgumentParser(
        prog="python -m ojobchannels_postgres",
        description="Print the SQL that creates the tables of the channel type postgres.",
    )
    parser.add_argument("--schema", default=DEFAULT_SCHEMA, help="(default: %(default)s)")
    parser.add_argument(
        "--counts", action="store_true", help="the table and triggers that count entries, instead"
    )
    options = parser.parse_args()
    schema: str = options.schema
    if options.counts:
        sys.stdout.write(counting_ddl(schema))
    else:
        sys.stdout.write(f'CREATE SCHEMA IF NOT EXISTS "{schema}";\n{ddl(schema)}')


if __name__ == "__main__":
    main()
