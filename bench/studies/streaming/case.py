"""What fastmlp and the peers train on the large file: a net, and the rows of a batch."""

SIZES, BATCH = (54, 128, 128, 1), 1024
