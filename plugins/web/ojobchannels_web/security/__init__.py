"""Who may reach the page, from where, and what a browser may do with it."""
