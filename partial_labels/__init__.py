"""The vocabulary of the project: the batch, the class table, the heads and the stores on disk. Imports none of ours."""
