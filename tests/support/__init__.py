"""Support code of the tests, of the experiments in faults/, and of the benchmarks."""
