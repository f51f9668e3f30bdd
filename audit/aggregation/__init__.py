"""What is counted over the parts, by groups of shards and without holding them all."""
