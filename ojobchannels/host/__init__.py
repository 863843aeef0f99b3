"""What backends on one host share: a clock, gates between processes, liveness, and waiting rooms."""
