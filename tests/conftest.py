"""Each worker computes on one thread: there is one for each core, and threads that wait spin."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # torch reads it when it is imported
