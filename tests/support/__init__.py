"""What several tests, the experiments in faults/ and the benchmarks have in common."""
