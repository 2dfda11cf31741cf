"""The collector: takes events over HTTP, keeps them durably, and loads them into the warehouse."""
