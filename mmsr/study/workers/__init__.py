"""What runs on Ray's workers, and what is known of the cluster: trials, messages, nodes, head."""
