"""What runs on the other side of Ray: the trial, its messages, the nodes and the head."""
