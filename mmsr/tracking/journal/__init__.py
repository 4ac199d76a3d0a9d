"""The journal that every event is written to first, and its way to the tracking server."""
