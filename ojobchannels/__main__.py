"""Run the command ``ojob`` with ``python -m ojobchannels``."""

from ojobchannels.cli import main

if __name__ == "__main__":
    main()
