"""The code of jobs: its language, how Python and shell run it, where its lines are."""
