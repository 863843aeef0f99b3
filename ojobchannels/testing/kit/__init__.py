"""The conformance kit: what it runs promises with, and how it reports them."""
