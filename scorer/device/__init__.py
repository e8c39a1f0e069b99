"""The device that scores: backend, BLAS, memory, threads, dispatch."""
