"""The screens, each a function from a request to a page."""
