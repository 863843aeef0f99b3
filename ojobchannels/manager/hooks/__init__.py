"""What plugins, callbacks and observers hear of runs."""
