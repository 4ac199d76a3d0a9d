"""Models of users and items without an order: graphs of who interacted with what."""
