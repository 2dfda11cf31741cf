"""Questions to a warehouse: one file each, from a Question to a small answer."""
