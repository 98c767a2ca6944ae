"""What other pruning policies would have done on recorded histories."""
