"""Programs that track events and then end, or are ended: what is lost, library by library."""
