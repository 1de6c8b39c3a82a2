"""What one network gets right and wrong, slice by slice."""
