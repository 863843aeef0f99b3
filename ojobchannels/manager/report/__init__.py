"""The figures of `JobManager.report`, whose sums are kept in the state channel."""
