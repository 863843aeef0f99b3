"""Args of jobs: their layers, templates in them, rules for them."""
