"""Many runs: the jobs of a sweep, and the trials of a search."""
