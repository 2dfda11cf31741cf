"""Programs that a benchmark runs as processes of their own, ours and the peers'."""
