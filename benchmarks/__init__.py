"""What is measured and how, runnable: ``python -m benchmarks.process``."""
