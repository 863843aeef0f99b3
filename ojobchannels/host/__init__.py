"""What backends on one host share: clock, gates between processes, liveness, waiting rooms."""
