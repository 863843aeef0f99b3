"""What the screens show: read in the background, and laid out for the eye."""
