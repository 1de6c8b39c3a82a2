"""Where a run computes, in which precision and how fast: the Trainer and what it is told about the machine."""
