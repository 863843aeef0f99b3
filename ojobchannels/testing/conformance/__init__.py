"""The option --ojob-conformance, which runs the conformance kit on an installed channel type."""
