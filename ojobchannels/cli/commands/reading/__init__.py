"""Commands that show what runs, what ran and what is due."""
