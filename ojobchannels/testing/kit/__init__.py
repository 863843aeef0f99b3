"""The parts of the conformance kit: how it runs promises, and how it reports them."""
