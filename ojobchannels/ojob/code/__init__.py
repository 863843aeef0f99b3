"""The code of jobs: its languages, their compilers, and the positions of its lines."""
