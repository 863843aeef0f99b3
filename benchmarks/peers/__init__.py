"""The peers, one module for each kind; their packages are imported when they are opened."""
