"""Keep-alive of leases: which are renewed together, and the threads that do it."""
