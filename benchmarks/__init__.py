"""Speed and quality, side by side with peers; `python -m benchmarks` runs all of it."""

import charlm  # noqa: F401  (first, so that TensorFlow starts without its messages)
