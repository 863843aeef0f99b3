"""``python -m ojobchannels`` is the command ``ojob``."""

from ojobchannels.cli import main

if __name__ == "__main__":
    main()
